"""The command line: subcommands in front of Hydra's `key=value`. Torch, pandas and matplotlib are imported late."""

import io
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from ticketsearch.commands import COMMANDS, command
from ticketsearch.commands.arguments import mended
from ticketsearch.errors import DataMissing, UsageError, closest, told
from ticketsearch.version import version

HELP = """\
ticketsearch - draw lottery tickets, train them, and measure everything the field asks of them

usage: ticketsearch COMMAND [key=value ...]

commands:
  run         draw, train and evaluate a ticket per round; the same command resumes
  plan        what a run or a sweep would do: cells, epochs, time, disk
  plot        draw the figures from the rows
  verdict     which tickets win everything, up to which sparsity, and what breaks them
  evaluate    add metrics to tickets that are trained
  results     collect the rows of every run; print or save them
  status      which rounds are done, in progress, held, broken
  verify      read every stored byte and compare it with its checksum
  list        what can be chosen: pruners, models, datasets, metrics, experiments, figures ...
  completion  make the Tab key complete commands, names and keys in bash, zsh or fish

examples:
  ticketsearch run pruner=lth model=resnet20
  ticketsearch run pruner=random schedule.rounds=10 replicates=3
  ticketsearch run -m pruner=lth,omp,random seed=0,1,2
  ticketsearch plan -m pruner=lth,omp,random seed=0,1,2
  ticketsearch plot
  ticketsearch verdict
  ticketsearch results --to results.csv
  ticketsearch list pruners

`ticketsearch COMMAND --help` says what each takes; `--debug` shows the traceback of an error.

exit codes: 0 done, 2 wrong usage (nothing was created), 3 data missing or changed, 4 the run failed (what was
  committed is kept), 5 some runs of a sweep failed, 6 stored files are corrupt, 7 a training
  diverged, 75 interrupted (the same command continues)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see `ticketsearch.errors`)."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # before torch loads: idle threads must not spin on a busy machine
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 is no reason to stop
    arguments = list(sys.argv[1:] if argv is None else argv)
    end = arguments.index("--") if "--" in arguments else len(arguments)  # what follows is no flag of this command
    debug = "--debug" in arguments[:end]
    arguments = [argument for argument in arguments[:end] if argument != "--debug"] + arguments[end:]
    try:
        return _until_the_reader_leaves(arguments)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what nobody foresaw is told in three lines too
        if debug:
            traceback.print_exc()
        said = told(error, f"ticketsearch {shlex.join(arguments)}")
        sys.stderr.write(f"{said}\n")
        return said.exit_code


def _until_the_reader_leaves(arguments: list[str]) -> int:
    """Run the command; a reader such as `head`, which has seen enough, is no error."""
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        _show(HELP)
        return 0
    if arguments[0] == "--version":
        _show(version())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        attempt = f"ticketsearch {{}} {shlex.join(rest) or '--help'}"
        raise closest(name, COMMANDS, f"no command {name!r}", attempt, "ticketsearch --help")
    chosen = command(name)
    if {"--help", "-h"} & set(rest[: rest.index("--")] if "--" in rest else rest):
        _show(chosen.help())
        return 0
    try:
        return chosen.main(rest)
    except UsageError as error:
        raise mended(error, name, rest) from error
    except DataMissing as error:
        *said, remedy = error.attempt.split()  # the last word is what the command that was typed lacks
        attempt = " ".join([*said[:2], remedy]) if name == "run" else f"ticketsearch {name} dataset.root=FOLDER"
        lacking = UsageError(error.what, error.right, attempt if said else "")
        raise DataMissing(error.what, error.right, mended(lacking, name, rest).attempt) from error


def _show(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
