"""`ticketsearch run`."""

import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError

if TYPE_CHECKING:
    from ticketsearch.conf import Conf
    from ticketsearch.config import Config

_HELP = """\
Draw a ticket per round, train it, evaluate it. What is done already is not done again: the same command resumes,
and more rounds or seeds extend a run.

usage: ticketsearch run [GROUP=NAME ...] [KEY=VALUE ...] [-m] [--dense] [--yes] [--config-dir FOLDER] [--cfg job]

groups, and what can be chosen in each (`ticketsearch list GROUP` says more):
{groups}

keys:
{keys}
  GROUP.SETTING   any setting of what was chosen: schedule.rounds schedule.rate recipe.epochs recipe.batch_size
                  recipe.lr dataset.root dataset.subset rewind.at ...; --cfg job shows them all

sweeps on several devices at once (`-m hydra/launcher=devices`; GPUs, their shares, or cores):
  hydra.launcher.devices      auto, cpu, cuda, or a list of GPUs: cuda:0,cuda:2
  hydra.launcher.per_device   runs on one GPU at a time
  hydra.launcher.slots        runs at a time; null: as many as there is room for
  hydra.launcher.threads      of a slot, which a run may use; null: 1 on the CPU

sweeps on a cluster (`-m hydra/launcher=slurm`; what it asks for is kept in --config-dir FOLDER/launcher/NAME.yaml):
{slurm}
                              any other option of sbatch in additional_parameters; docs/sweeps.md

flags:
  -m, --multirun       a sweep: every combination of the values in lists (seed=0,1,2), or of all
                       choices ('pruner=glob(*)')
  --dense              only the dense model that the search starts from, for all that start from it
  --yes                begin without asking, even if it takes more than an hour on a CPU
  --config-dir FOLDER  yamls of your own, in folders of their groups; packages with their code go in `extensions`
  --cfg job            show the configuration and stop

examples:
  ticketsearch run                                   LTH with ResNet-20 on the embedded digits, 21 rounds
  ticketsearch run pruner=random schedule.rounds=10
  ticketsearch run pruner=lth rewind=step rewind.at=2ep
  ticketsearch run pruner=omp replicates=3           seeds 0, 1 and 2
  ticketsearch run pruner=lth controls=true          and what should lose: reinit, shuffle, reshuffle, invert, reorder
  ticketsearch run -m pruner=lth,omp,random seed=0,1,2
  ticketsearch run -m pruner=lth,omp,random seed=0,1,2 hydra/launcher=devices
  ticketsearch run -m pruner=lth,omp hydra/launcher=devices hydra.launcher.per_device=2
  ticketsearch run -m pruner=lth,omp seed=0,1,2 hydra/launcher=slurm hydra.launcher.partition=gpu
  ticketsearch run experiment=smoke                  a preset: seconds, to see that everything works
  ticketsearch run pruner=lth debug=tiny             anything at its smallest, apart from real results
  ticketsearch run pruner=lth --cfg job
  ticketsearch run --config-dir my_conf 'extensions=[my_package]' pruner=mine
"""
MANY = 20
"""Runs of a sweep that take seconds to check."""
LONG = 3600
"""Seconds on a CPU that nobody wants to start by mistake."""


def help_text() -> str:
    """The help, with what can be chosen."""
    from ticketsearch.conf import OWN
    from ticketsearch.launchers.chosen import SETTINGS
    from ticketsearch.launchers.chosen import keys as launched
    from ticketsearch.settings import defaults, top_level

    groups = "\n".join(
        textwrap.fill(" ".join(OWN.choices(group)), 110, initial_indent=f"  {group:<11} ", subsequent_indent=" " * 14)
        for group in defaults()
    )
    keys = "\n".join(f"  {key:<11} {value:<9} {said}" for key, value, said in top_level())
    slurm = [key.rpartition(".")[2] for key in launched("slurm", OWN) if key.startswith(SETTINGS)]
    words = textwrap.fill(
        " ".join(slurm), 110, initial_indent="  hydra.launcher.             ", subsequent_indent=" " * 30
    )
    return _HELP.format(groups=groups, keys=keys, slurm=words)


def keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    """Groups, top-level keys, and the settings of what is chosen."""
    from ticketsearch.launchers import chosen
    from ticketsearch.settings import of_a_run

    return of_a_run(typed, conf) | chosen.keys(typed.get(chosen.GROUP, ""), conf)


def main(arguments: list[str]) -> int:
    """Run one configuration, or each of a sweep.

    Raises:
        TicketError: see `ticketsearch.errors`.
    """
    from ticketsearch.launchers.orphan import while_launched
    from ticketsearch.stopping import stoppable

    with stoppable(), while_launched():
        return _main(arguments)


def _main(arguments: list[str]) -> int:
    from ticketsearch.commands.arguments import sort_out
    from ticketsearch.conf import Conf
    from ticketsearch.launchers.chosen import taken_off

    typed = sort_out(arguments, "run", COMMAND.switches, COMMAND.valued)
    if typed.flags.get("--cfg", "job") != "job":
        raise UsageError("--cfg shows the job's configuration", "it is written --cfg job", "ticketsearch run --cfg job")
    conf = Conf.beside(typed.flags.get("--config-dir"))
    sweep = bool(typed.flags.keys() & {"-m", "--multirun"})
    words, launcher = taken_off(typed.words, sweep, conf)
    configs = composed(words, conf, sweep)
    if "--cfg" in typed.flags:
        return _show(configs)
    if sweep and "--dense" in typed.flags:
        raise UsageError("--dense is of one run", "launchers begin with dense models by themselves", "", "--dense")
    unasked = "" if "--yes" in typed.flags else f"ticketsearch run --yes {shlex.join(arguments)}"
    if launcher:
        launcher.launch(configs, lambda seconds: _ask(seconds, unasked))
        return 0
    return _run(configs, unasked, "--dense" in typed.flags)


def composed(words: Sequence[str], conf: "Conf", sweep: object) -> "list[Config]":
    """The configuration that words ask for, or with `sweep` each that they do.

    Raises:
        UsageError: a word is not acceptable.
    """
    from ticketsearch.compose import compose
    from ticketsearch.compositions import Compositions
    from ticketsearch.overrides import expanded

    jobs = expanded(words, conf) if sweep else [words]
    if len(jobs) > MANY:
        sys.stderr.write(f"checking {len(jobs)} runs\n")
    listed = conf.listed()
    if len(jobs) == 1 and not any(word.startswith("controls=") for word in words):
        return [compose(jobs[0], listed)]  # to remember what each choice of one run means takes longer than it saves
    composing = Compositions()
    return [compose(job, listed, composing) for job in jobs]


def _show(configs: "Sequence[Config]") -> int:
    """Print composed configurations as yaml."""
    from omegaconf import OmegaConf

    for number, config in enumerate(configs):
        sys.stdout.write("---\n" * (number > 0))
        sys.stdout.write(f"# {config.run_name}\n" + OmegaConf.to_yaml(OmegaConf.create(config.shown())))
    return 0


def _run(configs: "Sequence[Config]", unasked: str, dense: bool) -> int:
    from ticketsearch.estimate import estimate
    from ticketsearch.experiment import Experiment
    from ticketsearch.live import display
    from ticketsearch.runner import run
    from ticketsearch.sweep import planned, sweep
    from ticketsearch.training.device import choose_device

    on_cpu = any(choose_device(device).type == "cpu" for device in {config.options.device for config in configs})
    if len(configs) > 1:
        left = planned(configs)
        _ask(left.seconds if on_cpu else 0, unasked)
        sweep(configs, left)
        return 0
    with display() as shown:
        search = Experiment.open(configs[0], shown)
        for part in [stage for stage in search.stages if stage.dense is stage] if dense else [search]:
            left = estimate(part)
            _ask(left.seconds if on_cpu else 0, unasked)
            run(part, shown, left)
    return 0


def _ask(seconds: float, unasked: str) -> None:
    """Ask whether a long search on a CPU is meant, once.

    Args:
        seconds: that it takes on a CPU.
        unasked: the command that does not ask; "" where that is what was typed.

    Raises:
        UsageError: it is not, or there is nobody to ask.
    """
    from ticketsearch.console import duration

    if not unasked or seconds <= LONG:
        return
    long = f"this takes about {duration(seconds)} on the CPU"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(long, "there is no terminal to ask whether that is meant", unasked, "--yes")
    sys.stderr.write(f"{long}. Begin? [y/N] ")  # stdout may go to a log
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("not begun", "nothing was created")


COMMAND = Command(
    main,
    help_text,
    switches=("-m", "--multirun", "--dense", "--yes"),
    valued={"--config-dir": (), "--cfg": ("job",)},
    keys=keys,
)
