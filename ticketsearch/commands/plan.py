"""`ticketsearch plan`."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError

if TYPE_CHECKING:
    from ticketsearch.conf import Conf
    from ticketsearch.plan import PlannedRun

HELP = """\
Say what `ticketsearch run` would do with the same words (--yes is passed over), before it does it: of every run how
many cells are new, go on from an epoch that is stored, are done, are held by another process or are damaged; epochs,
time, disk. Writes nothing into the outputs.

usage: ticketsearch plan [GROUP=NAME ...] [KEY=VALUE ...] [-m] [--no-probe] [--json] [--config-dir FOLDER]

time:        of training alone, one run after another; an epoch takes what it took in past rounds, else what a few steps
             take now, else it is unknown
disk:        of the tickets, without rows and rewind points
--no-probe   times nothing now, and reads no images (with dataset.download=true that would get them)
--json       a list of runs with their cells

examples:
  ticketsearch plan
  ticketsearch plan -m pruner=lth,omp,random seed=0,1,2 dataset=cifar10
  ticketsearch plan experiment=paper_c10_r20s --no-probe
  ticketsearch plan -m pruner=lth,omp --json | jq '.[].cells[] | select(.state == "resume")'
"""


def keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    """Those of `run`."""
    from ticketsearch.settings import of_a_run

    return of_a_run(typed, conf)


def main(arguments: list[str]) -> int:
    """Print the plan.

    Raises:
        TicketError: see `ticketsearch.errors`.
    """
    try:
        return _plan(arguments)
    except UsageError as error:  # what is shared with `run` suggests that
        attempt = error.attempt.replace("ticketsearch run", "ticketsearch plan", 1)
        raise UsageError(error.what, error.right, attempt, error.wrong) from error


def _plan(arguments: list[str]) -> int:
    from ticketsearch.commands.arguments import sort_out
    from ticketsearch.commands.run import composed
    from ticketsearch.conf import Conf
    from ticketsearch.launchers.chosen import taken_off

    typed = sort_out(arguments, "plan", COMMAND.switches, COMMAND.valued)
    conf = Conf.beside(typed.flags.get("--config-dir"), "plan")
    sweep = bool(typed.flags.keys() & {"-m", "--multirun"})
    words, _ = taken_off(typed.words, sweep, conf)  # where runs take place changes nothing of what they do
    configs = composed(words, conf, sweep)

    from ticketsearch.console import Display
    from ticketsearch.plan import plan

    class Told(Display):
        def notice(self, text: str) -> None:
            sys.stderr.write(f"{text}\n")

    runs = plan(configs, "--no-probe" not in typed.flags, Told())
    if "--json" in typed.flags:
        found = [{**asdict(run), "epochs": run.epochs, "time": run.time} for run in runs]
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        _print(runs)
    return 0


def _print(runs: "Sequence[PlannedRun]") -> None:
    from ticketsearch.plan import STATES, totals
    from ticketsearch.summary import plural

    wide, counts = max(len(run.name) for run in runs), list(STATES.values())
    heads = "".join(f"{state:>9}" for state in counts)
    sys.stdout.write(f"{'run':<{wide}}{heads}{'epochs':>9}{'time':>10}{'disk':>10}\n")
    for run in runs:
        cells = "".join(f"{sum(cell.state == state for cell in run.cells) or '':>9}" for state in counts)
        size = sum(cell.bytes for cell in run.left)
        what = run.label + (f", for {plural(len(run.used_by), 'run')}" if len(run.used_by) > 1 else "")
        sys.stdout.write(f"{run.name:<{wide}}{cells}{run.epochs:>9g}{_time(run):>10}{_size(size):>10}  {what}\n")
        for cell in run.cells:
            if cell.why:
                sys.stdout.write(f"  seed {cell.seed} round {cell.round}: {cell.state}, {cell.why}\n")
    all_cells, unknown = totals(runs), [run for run in runs if run.time is None]
    left, size = sum(len(run.left) for run in runs), sum(cell.bytes for run in runs for cell in run.left)
    sys.stdout.write(f"\n{plural(sum(all_cells.values()), 'cell')}, {left} to train: ")
    sys.stdout.write(f"{sum(run.epochs for run in runs):g} epochs, {_whole(runs)}, {_size(size)} of tickets\n")
    for why in sorted({run.measured for run in unknown}):
        sys.stdout.write(f"time of {plural(sum(run.measured == why for run in unknown), 'run')} unknown: {why}\n")


def _whole(runs: "Sequence[PlannedRun]") -> str:
    """The time of all, as far as it is known."""
    from ticketsearch.console import duration

    known = sum(run.time for run in runs if run.time is not None)
    if any(run.time is None for run in runs):
        return f"more than {duration(known)}" if known else "time unknown"
    return f"about {duration(known)} of training on one device" if known else "nothing to train"


def _time(run: "PlannedRun") -> str:
    from ticketsearch.console import duration

    return "unknown" if run.time is None else duration(run.time) if run.left else ""


def _size(count: int) -> str:
    for limit, unit in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if count < limit:
            return f"{1000 * count / limit:.3g} {unit}" if count else ""
    return f"{count / 1e12:.3g} TB"


COMMAND = Command(
    main,
    lambda: HELP,
    switches=("-m", "--multirun", "--no-probe", "--json", "--yes"),
    valued={"--config-dir": ()},
    keys=keys,
)
