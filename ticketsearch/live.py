"""The table that a terminal shows: a line for each ticket, the one in training among them, and the time left below."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ticketsearch.cell import Cell
from ticketsearch.console import Display, PlainDisplay, console, duration, figures

COLUMNS = {
    "ticket": 0, "seed": 76, "round": 0, "sparsity": 0, "epoch": 50, "loss": 64, "val": 56, "accuracy": 0, "time": 70,
    "NLL": 92, "ECE": 100,
}  # fmt: skip
"""The columns, in order, and how wide a terminal must be to show each."""

TRAINING = ("epoch", "loss", "val", "time")
"""Those that only a training fills."""
ROOM = 8
"""Lines of the terminal that are left to what stands above and below the table while it grows."""


@dataclass
class _Line:
    """One ticket in the table."""

    cells: dict[str, str]
    begun: float = field(default_factory=time.monotonic)
    share: float = 0.0
    done: bool = False
    trained: bool = False


class LiveDisplay(PlainDisplay):
    """One table that fills up, its last line the ticket in training; below it what is done and the time left."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._lines: dict[Cell, _Line] = {}
        self._todo, self._seconds, self._opened = 0, 0.0, time.monotonic()
        self._live: Live | None = None

    def open(self, line: str, todo: int, seconds: float) -> None:
        self._console.print(line, markup=False, soft_wrap=False)  # folded between words
        self._todo, self._seconds, self._opened = todo, seconds, time.monotonic()
        # A new one each time: what was on the screen before it stays there.
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)
        self._live.start()

    def begin(self, cell: Cell, label: str, sparsity: float) -> None:
        self._lines[cell] = _Line(_named(cell, label) | {"sparsity": f"{sparsity:.2%}"})

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        line = self._lines[cell]
        line.share = record["epoch"] / epochs
        line.cells |= {"epoch": f"{record['epoch']:.0f}/{epochs}", "loss": f"{record['loss']:.4f}"}
        if "val_accuracy" in record:
            line.cells["val"] = f"{record['val_accuracy']:.2%}"

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        if not rows and not trained:
            self._complete += 1
            return
        line = self._lines.setdefault(cell, _Line({}))
        line.done, line.trained = True, trained
        if trained:
            line.cells["time"] = duration(time.monotonic() - line.begun)
        if rows:
            found = figures(rows)
            known = _named(cell, rows[0]["label"]) | {"sparsity": f"{rows[0]['sparsity']:.2%}"}
            measured = {"accuracy": found.get("accuracy", ""), "NLL": found.get("nll", ""), "ECE": found.get("ece", "")}
            line.cells = known | line.cells | measured

    def close(self, line: str) -> None:
        self.stop()
        super().close(line)
        self._lines.clear()

    def stop(self) -> None:
        """Put the terminal back, whatever happened; what was interrupted stays in sight."""
        live, self._live = self._live, None
        if live:
            live.stop()

    @property
    def _left(self) -> float:
        """The seconds left: as was estimated, until what is trained says it better."""
        done = sum(1.0 if line.trained else line.share for line in self._lines.values())
        passed = time.monotonic() - self._opened
        if done < 0.5:
            return max(self._seconds - passed, 0)
        return passed / done * max(self._todo - done, 0)

    def _render(self) -> Group:
        width = self._console.width
        several = {key: len({line.cells.get(key) for line in self._lines.values()}) > 1 for key in ("ticket", "seed")}
        names = [name for name, least in COLUMNS.items() if width >= least and several.get(name, True)]
        names = [name for name in names if self._todo or name not in TRAINING]
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for name in names:
            table.add_column(name, justify="left" if name == "ticket" else "right", no_wrap=True, overflow="crop")
        lines = list(self._lines.values())
        for line in lines[-max(self._console.height - ROOM, 1) :] if self._live else lines:
            table.add_row(*(line.cells.get(name, "") for name in names), style="" if line.done else "bold")
        return Group(table, self._footer(width)) if self._live and self._todo else Group(table)

    def _footer(self, width: int) -> Table:
        done = sum(line.trained for line in self._lines.values())
        grid = Table.grid(padding=(0, 1))
        text = f"{done} of {self._todo} trained"
        if self._todo > done:
            text += f", about {duration(self._left)} left"
        grid.add_row(ProgressBar(self._todo or 1, done, width=min(20, max(width - len(text) - 1, 1))), Text(text))
        return grid


@contextmanager
def display() -> Iterator[Display]:
    """The display for where results go: live on a terminal that can move its cursor, plain elsewhere."""
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield PlainDisplay()
        return
    live = LiveDisplay(console)
    try:
        yield live
    finally:
        live.stop()


def _named(cell: Cell, label: str) -> dict[str, str]:
    return {"ticket": label, "seed": str(cell.seed), "round": str(cell.round)}
