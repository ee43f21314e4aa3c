"""What a person sees while a search runs: one live table on a terminal, one plain line an epoch elsewhere."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from ticketsearch.cell import Cell


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Training for hours does not end because somebody has seen enough of it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


console = _Console(highlight=False, soft_wrap=True)
"""Where results go."""


class Display:
    """Told of what happens; this one shows nothing (for use from Python)."""

    def open(self, line: str, todo: int) -> None:
        """A search begins: what it is, in one line, and how many cells are to be trained."""

    def notice(self, text: str) -> None:
        """Something that a person should know, in one line."""

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

    def open(self, line: str, todo: int) -> None:
        console.print(line, markup=False)

    def notice(self, text: str) -> None:
        console.print(text, markup=False)

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        val = f", val {record['val_accuracy']:.2%}" if "val_accuracy" in record else ""
        progress = f"epoch {record['epoch']:.0f}/{epochs}"
        console.print(
            f"{_where(cell)} {progress}: loss {record['loss']:.4f}, train {record['accuracy']:.2%}{val}", markup=False
        )

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        if rows or trained:
            console.print(f"{_where(cell)} done: {_summary(rows) if rows else 'trained'}", markup=False)
        else:
            self._complete += 1

    def close(self, line: str) -> None:
        if self._complete:
            console.print(f"{self._complete} cells were complete already", markup=False)
            self._complete = 0
        console.print(line, markup=False)


class LiveDisplay(PlainDisplay):
    """One table that fills up, with the epoch in progress and the time left below it."""

    def __init__(self, shown: int = 12) -> None:
        super().__init__()
        self._shown, self._rows = shown, list[tuple[str, ...]]()
        self._status, self._started, self._trained, self._left = "", time.monotonic(), 0, 0
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def open(self, line: str, todo: int) -> None:
        super().open(line, todo)
        self._left = todo
        self._started = time.monotonic()
        self._live.start()

    def notice(self, text: str) -> None:
        self._live.console.print(text, markup=False)

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        share = record["epoch"] / epochs
        bar = "#" * round(20 * share) + "-" * (20 - round(20 * share))
        now = f"epoch {record['epoch']:.0f}/{epochs}, loss {record['loss']:.4f}"
        self._status = f"{_where(cell)} [{bar}] {now}{self._remaining(share)}"

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        if not rows and not trained:
            self._complete += 1
            return
        self._trained += trained
        found = _figures(rows)
        names = ("accuracy", "nll", "ece")
        sparsity = f"{rows[0]['sparsity']:.2%}" if rows else ""
        self._rows.append(
            (cell.run.name, str(cell.seed), str(cell.round), sparsity, *(found.get(name, "") for name in names))
        )

    def close(self, line: str) -> None:
        self._status = ""
        self._live.stop()
        super().close(line)

    def stop(self) -> None:
        """Put the terminal back, whatever happened."""
        self._live.stop()

    def _remaining(self, share: float) -> str:
        done = self._trained + share
        seconds = (time.monotonic() - self._started) / done * max(self._left - done, 0) if done > 0.5 else None
        return "" if seconds is None else f", about {duration(seconds)} left"

    def _render(self) -> Group:
        table = Table(Column("run", overflow="fold"), box=None, header_style="bold")
        for name in ("seed", "round", "sparsity", "accuracy", "NLL", "ECE"):
            table.add_column(name, no_wrap=True)
        for row in self._rows[-self._shown :]:
            table.add_row(*row)
        return Group(table, Text(self._status))


@contextmanager
def display() -> Iterator[Display]:
    """The display for where results go: live on a terminal, plain elsewhere."""
    if not console.is_terminal:
        yield PlainDisplay()
        return
    live = LiveDisplay()
    try:
        yield live
    finally:
        live.stop()


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _where(cell: Cell) -> str:
    return f"{cell.run.name} seed {cell.seed} round {cell.round:2d}"


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    test = [row for row in rows if row["split"] == "test" and row["variant"] == "" and row["status"] == "ok"]
    return {
        row["metric"]: f"{row['value']:.2%}" if row["metric"] == "accuracy" else f"{row['value']:.4f}" for row in test
    }


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    found = _figures(rows)
    shown = [f"{name} {found[name]}" for name in ("accuracy", "nll", "ece") if name in found]
    return ", ".join([f"sparsity {rows[0]['sparsity']:.2%}", *shown])
