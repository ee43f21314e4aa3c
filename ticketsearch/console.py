"""What is told while a search runs, and how it is told in plain lines; `ticketsearch.live` has the table."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ticketsearch.cell import Cell

if TYPE_CHECKING:
    from ticketsearch.estimate import Estimate


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Training for hours does not end because somebody has seen enough of it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


console = _Console(highlight=False, soft_wrap=True)
"""Where results go."""


class Display:
    """Told of what happens; this one shows nothing (for use from Python)."""

    def open(self, line: str, left: "Estimate") -> None:
        """A search begins: what it is, in one line, and what is left to train."""

    def notice(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def begin(self, cell: Cell, label: str, sparsity: float) -> None:
        """A ticket is to be drawn and trained: its pruner's label, and the fraction of weights that it is to prune."""

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        """An epoch of a cell is trained."""

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        """A cell is complete: `rows` are those measured now, and `trained` whether it was trained now."""

    def close(self, line: str) -> None:
        """The search is done: where its results are."""


class PlainDisplay(Display):
    """One line an epoch, one a round: for pipes and log files."""

    def __init__(self) -> None:
        self._complete = 0

    def say(self, text: str) -> None:
        """Print a line; it stays one however long it is."""
        console.print(text, markup=False)

    def open(self, line: str, left: "Estimate") -> None:
        self.say(line)

    def notice(self, text: str) -> None:
        self.say(text)

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        val = f", val {record['val_accuracy']:.2%}" if "val_accuracy" in record else ""
        progress = f"epoch {record['epoch']:.0f}/{epochs}"
        self.say(f"{_where(cell)} {progress}: loss {record['loss']:.4f}, train {record['accuracy']:.2%}{val}")

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        if rows or trained:
            self.say(f"{_where(cell)} done: {_summary(rows) if rows else 'trained'}")
        else:
            self._complete += 1

    def close(self, line: str) -> None:
        if self._complete:
            were = "cell was" if self._complete == 1 else "cells were"
            self.say(f"{self._complete} {were} complete already")
            self._complete = 0
        self.say(line)


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 3 min, 2.5 h, 4 days."""
    for limit, unit, form in ((90, 1, "{:.0f} s"), (5400, 60, "{:.0f} min"), (172_800, 3600, "{:.1f} h")):
        if seconds < limit:
            return form.format(max(seconds, 1) / unit)
    return f"{seconds / 86_400:.1f} days"


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What was measured of trained tickets on the test images, as people read it: accuracy in percent, the others with
    four decimals.
    """
    own = [row for row in rows if row["at"] == "end" and row["status"] == "ok"]
    test = [row for row in own if row["split"] == "test" and row["variant"] == ""]
    return {
        row["metric"]: f"{row['value']:.2%}" if row["metric"] == "accuracy" else f"{row['value']:.4f}" for row in test
    }


def _where(cell: Cell) -> str:
    return f"{cell.run.name} seed {cell.seed} round {cell.round:2d}"


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    found = figures(rows)
    shown = [f"{name} {found[name]}" for name in ("accuracy", "nll", "ece") if name in found]
    return ", ".join([f"sparsity {rows[0]['sparsity']:.2%}", *shown])
