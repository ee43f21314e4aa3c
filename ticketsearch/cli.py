"""The command line: subcommands in front of Hydra's `key=value`. Torch, pandas and matplotlib are imported late."""

import io
import os
import sys
from collections.abc import Callable, Sequence

from ticketsearch.errors import Interrupted, RunFailed, TicketError, UsageError

HELP = """\
ticketsearch - draw lottery tickets, train them, and measure everything the field asks of them

usage: ticketsearch COMMAND [key=value ...]

commands:
  run       draw, train and evaluate a ticket per round; the same command resumes
  plot      draw the figures from the rows
  evaluate  add metrics to tickets that are trained
  results   collect the rows of every run; print or save them
  status    which rounds are done, in progress, held, broken
  verify    read every stored byte and compare it with its checksum

examples:
  ticketsearch run pruner=lth model=resnet20
  ticketsearch run pruner=random schedule.rounds=10 replicates=3
  ticketsearch plot
  ticketsearch results --to results.csv

`ticketsearch COMMAND --help` says what each takes; `--debug` shows the traceback of an error.

exit codes: 0 done, 2 wrong usage (nothing was created), 3 data missing or changed, 4 the run failed (what was
  committed is kept), 6 stored files are corrupt, 75 interrupted (the same command continues)
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
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _until_the_reader_leaves(arguments)
    except (Exception, KeyboardInterrupt) as error:  # what nobody foresaw is told in three lines too
        if debug:
            raise
        told = _told(error, arguments)
        sys.stderr.write(f"{told}\n")
        return told.exit_code


def _told(error: BaseException, arguments: list[str]) -> TicketError:
    """Any error as one that says what is wrong, what would be right, and the command to try."""
    if isinstance(error, TicketError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted", "what was committed is kept; the same command continues")
    if isinstance(error, OSError):
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        return RunFailed(what, "what was committed is kept; the same command continues")
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    right = "a pruner, model or metric raised it, or it is a bug here; what was committed is kept"
    return RunFailed(what, right, f"ticketsearch {' '.join(arguments)} --debug")


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
        from importlib.metadata import version

        _show(version("ticketsearch"))
        return 0
    name, rest = arguments[0], arguments[1:]
    commands = _commands()
    if name not in commands:
        import difflib

        near = difflib.get_close_matches(name, commands, 1, 0.5)
        hint = f"did you mean {near[0]!r}?  " if near else ""
        attempt = f"ticketsearch {near[0]} --help" if near else "ticketsearch --help"
        raise UsageError(f"no command {name!r}", f"{hint}(commands: {' '.join(commands)})", attempt)
    help_text, command = commands[name]
    if "--help" in rest or "-h" in rest:
        _show(help_text)
        return 0
    return command(rest)


def _commands() -> dict[str, tuple[str, Callable[[list[str]], int]]]:
    from ticketsearch.commands import evaluate, plot, results, run, status, verify

    modules = (run, plot, evaluate, results, status, verify)
    return {module.__name__.rpartition(".")[2]: (module.HELP, module.main) for module in modules}


def _show(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
