"""`ticketsearch verdict`."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError

if TYPE_CHECKING:
    from ticketsearch.analysis.page import Part
    from ticketsearch.conf import Conf

HELP = """\
Say which tickets win everything (LTH-PASS): of each run the end of Region I, the last winning round of each metric, the
last round at which none is worse than dense, and what breaks it. Trains nothing, imports no torch.

usage: ticketsearch verdict [out=outputs | published=chen2022] [key=value ...] [--to FILE.md|FILE.csv|FILE.parquet]
                            [--strict]

what is judged:  dataset model pruner prunable settings (one or a list: all if left out)
by what:         metrics (a list), tolerance=0.01 (Region I: accuracy at most that much below dense),
                 accuracy=0.01, comparable=0.05 (not worse by more than max(2 paired standard errors, 5 % of dense))

strict is at least as good as dense, comparable not worse by more than that. A metric that nobody asked for is left out
and named; one that was asked for and failed or is missing is unknown, and wins nothing. --to FILE.md saves what is
printed; .csv and .parquet save a line for each run, metric and round, `all` being the metrics together.

A round of which rows are damaged or lost is left out, with a warning; with --strict it is an error (exit code 6).

examples:
  ticketsearch verdict
  ticketsearch verdict pruner=lth 'metrics=[accuracy,ece,nll]' comparable=0.02
  ticketsearch verdict --to verdict.md
  ticketsearch verdict published=chen2022 'metrics=[accuracy,mce,ood_auroc,ece,nll,fidelity,stability]'
"""
LISTS = ("dataset", "model", "pruner", "prunable", "settings", "metrics")
_PLACES = ("out", "published")
_SETTINGS = "ticketsearch.analysis.criteria.Settings"
_ENDINGS = (".md", ".csv", ".parquet")


def keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    """Which runs, and how they are judged."""
    from ticketsearch.settings import below

    settings = below("", {"_target_": _SETTINGS}, lists=True)
    choices = {group: tuple(conf.choices(group)) for group in ("dataset", "model", "pruner")}
    readings = Path(__file__).resolve().parents[1] / "published"
    places = {"out": (), "published": tuple(sorted(path.stem for path in readings.glob("*.yaml")))}
    return {key.removeprefix("."): values for key, values in settings.items()} | choices | places


def main(arguments: list[str]) -> int:
    """Judge, then print or save.

    Raises:
        UsageError: an argument is wrong, or there is nothing to judge.
        CorruptStore: with --strict: a stored file is not what its checksum says.
    """
    try:
        return _verdict(arguments)
    except UsageError as error:  # what is shared with `plot` suggests that
        attempt = error.attempt.replace("ticketsearch plot", "ticketsearch verdict", 1)
        raise UsageError(error.what, error.right, attempt, error.wrong) from error


def _verdict(arguments: list[str]) -> int:
    from ticketsearch.build import build
    from ticketsearch.commands.arguments import leave_out, pairs, sort_out

    flagged = sort_out(arguments, "verdict", COMMAND.switches, COMMAND.valued)
    typed, target = pairs(flagged.words, "verdict", LISTS, _PLACES), flagged.flags.get("--to")
    if target and Path(target).suffix not in _ENDINGS:
        right = f"the file must end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}"
        raise UsageError(f"cannot save to {target}", right, "ticketsearch verdict --to verdict.md")
    if "out" in typed and "published" in typed:
        right = "published readings are judged by themselves, or your own rows"
        raise UsageError("out and published are both given", right, f"ticketsearch verdict out={typed['out']}")
    out, name = Path(typed.pop("out", "outputs")), typed.pop("published", None)
    settings = build({"_target_": _SETTINGS} | typed, "", known=_PLACES, command="verdict")

    from ticketsearch.analysis.findings import findings
    from ticketsearch.analysis.page import page
    from ticketsearch.analysis.passing import passing, span
    from ticketsearch.analysis.verdict import verdict
    from ticketsearch.results import load_results

    notes, reading, rows = list[str](), dict[str, float](), None
    if name is not None:
        rows, reading, notes = _published(name)
    else:
        rows = load_results(out, leave_out("--strict" in flagged.flags))
    found = verdict(rows, settings, reading)
    runs = passing(found, settings.pruner)
    parts = page(found, runs, findings(found), [*notes, *([span(runs)] if name is not None else [])])
    if target is None:
        _show(parts)
        return 0
    _save(Path(target), found.rounds[found.rounds["run"].isin([run.run for run in runs])], parts)
    return 0


def _published(name: str) -> tuple[Any, dict[str, float], list[str]]:
    """The rows of a publication's figures, their reading errors, and what is to be said of them."""
    from ticketsearch.analysis.published import published

    found = published(name)
    reading = {metric: float(about["error"]) for metric, about in found.metrics.items() if "error" in about}
    unread = [metric for metric in found.metrics if metric not in reading]
    notes = [f"{found.source}; {found.reading}.", f"Claimed there: {found.claim}."]
    notes.append(
        "Readings nearer to dense than their reading error are told equal, and no tolerance is smaller; nobody has "
        f"estimated that of {', '.join(unread)}."
    )
    return found.rows(), reading, notes


def _show(parts: Sequence["Part"]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    from ticketsearch.analysis.page import Heading, Table, narrow

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # Rich would end with code 1; a reader that has seen enough is no error

    console = Piped(file=sys.stdout, highlight=False)
    wide = Piped(file=sys.stdout, highlight=False, width=10_000)  # in one that is too narrow Rich cuts numbers
    for part in parts:
        if isinstance(part, Heading):
            console.print(f"\n{part.text}", style="bold", markup=False)
        elif isinstance(part, str):
            console.print(part, markup=False)
        for block in narrow(part, console.width) if isinstance(part, Table) else ():
            drawn = Drawn(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
            for n, head in enumerate(block.head):
                drawn.add_column(head, no_wrap=True, justify="left" if n == 0 else "right", min_width=len(head))
            for line in block.lines:
                drawn.add_row(*map(Text, line))
            wide.print(drawn)


def _save(target: Path, rounds: Any, parts: Sequence["Part"]) -> None:
    """Write a file whole or not at all."""
    from ticketsearch.analysis.page import markdown

    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.suffix == ".md":
            beside.write_text(markdown(parts), encoding="utf-8")
        elif target.suffix == ".csv":
            rounds.to_csv(beside, index=False, lineterminator="\n")
        else:
            rounds.to_parquet(beside, index=False)
        os.replace(beside, target)
    except OSError as error:
        right = "it must be a file in a folder that is there and that you may write to"
        raise UsageError(f"cannot save to {target}: {error.strerror or error}", right) from error
    finally:
        beside.unlink(missing_ok=True)


COMMAND = Command(main, lambda: HELP, switches=("--strict",), valued={"--to": ()}, keys=keys, lists=LISTS)
