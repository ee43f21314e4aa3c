"""The table that a terminal shows: a line for each ticket, the one in training among them, and the time left below."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ticketsearch.cell import Cell
from ticketsearch.console import Display, PlainDisplay, console, duration, figures

if TYPE_CHECKING:
    from ticketsearch.estimate import Estimate

COLUMNS = ("ticket", "seed", "round", "sparsity", "epoch", "loss", "val", "accuracy", "time", "NLL", "ECE")
LEFT_OUT = ("ECE", "NLL", "time", "loss", "val", "epoch", "seed", "ticket")
"""The columns that a narrow terminal does without, the first of them first; a number is never cut."""
TRAINING = ("epoch", "loss", "val", "time")
"""Those that only a training fills."""
GAP = 2
"""Spaces between columns."""
ROOM = 8
"""Lines of the terminal that are left to what stands above and below the table while it grows."""


@dataclass
class _Line:
    """One ticket in the table."""

    cells: dict[str, str]
    begun: float = field(default_factory=time.monotonic)
    share: float = 0.0
    done: bool = False


class LiveDisplay(PlainDisplay):
    """One table that fills up, its last line the ticket in training; below it what is done and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[Cell, _Line] = {}
        self._todo: set[Path] = set()
        self._trained: set[Path] = set()
        self._seconds, self._opened = 0.0, time.monotonic()
        self._live: Live | None = None

    def open(self, line: str, left: "Estimate") -> None:
        console.print(line, markup=False, soft_wrap=False)  # folded between words
        self._todo, self._trained, self._seconds = set(left.cells), set(), left.seconds
        self._opened = time.monotonic()
        # A new one each time: what was on the screen before it stays there.
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)
        self._live.start()

    def begin(self, cell: Cell, label: str, sparsity: float) -> None:
        self._lines[cell] = _Line(_named(cell, label) | {"sparsity": f"{sparsity:.2%}"})

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        line, loss = self._lines[cell], record["loss"]
        line.share = record["epoch"] / epochs
        line.cells |= {
            "epoch": f"{record['epoch']:.0f}/{epochs}",
            "loss": f"{loss:.4f}" if loss < 1e4 else f"{loss:.1e}",
        }
        if "val_accuracy" in record:
            line.cells["val"] = f"{record['val_accuracy']:.2%}"

    def cell(self, cell: Cell, rows: Sequence[Mapping[str, Any]], trained: bool) -> None:
        if cell.path in self._todo:  # by whichever process
            self._trained.add(cell.path)
        if not rows and not trained:
            self._complete += 1
            return
        line = self._lines.setdefault(cell, _Line({}))
        line.done = True
        if trained:
            line.cells["time"] = duration(time.monotonic() - line.begun)
        if rows:
            found = figures(rows)
            known = _named(cell, rows[0]["label"]) | {"sparsity": f"{rows[0]['sparsity']:.2%}"}
            measured = {"accuracy": found.get("accuracy", ""), "NLL": found.get("nll", ""), "ECE": found.get("ece", "")}
            line.cells = line.cells | known | measured

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
        done = len(self._trained) + sum(line.share for line in self._lines.values() if not line.done)
        passed = time.monotonic() - self._opened
        if done < 0.5:
            return max(self._seconds - passed, 0)
        return passed / done * max(len(self._todo) - done, 0)

    def _render(self) -> Group:
        lines = list(self._lines.values())
        shown = lines[-max(console.height - ROOM, 1) :] if self._live else lines
        table = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0))
        names = self._columns(shown)
        for name in names:
            table.add_column(name, justify="left" if name == "ticket" else "right", no_wrap=True, overflow="crop")
        for line in shown:
            table.add_row(*(line.cells.get(name, "") for name in names), style="" if line.done else "bold")
        return Group(*([table] if lines else []), *([self._footer()] if self._live and self._todo else []))

    def _columns(self, lines: Sequence[_Line]) -> list[str]:
        """The columns that have something to say, as many as there is room for."""
        several = {key: len({line.cells.get(key) for line in self._lines.values()}) > 1 for key in ("ticket", "seed")}
        names = [n for n in COLUMNS if several.get(n, True) and (self._todo or n not in TRAINING)]
        widths = {
            name: max(len(word) for word in [name, *(line.cells.get(name, "") for line in lines)]) for name in names
        }
        for name in LEFT_OUT:
            if sum(widths[n] + GAP for n in names) > console.width and name in names:
                names.remove(name)
        return names

    def _footer(self) -> Table:
        grid, text = Table.grid(padding=(0, 1)), f"{len(self._trained)} of {len(self._todo)} trained"
        if len(self._trained) < len(self._todo):
            text += f", about {duration(self._left)} left"
        bar = ProgressBar(len(self._todo), len(self._trained), width=min(20, max(console.width - len(text) - 1, 1)))
        grid.add_row(bar, Text(text))
        return grid


@contextmanager
def display() -> Iterator[Display]:
    """The display for where results go: live on a terminal that can move its cursor, plain elsewhere."""
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield PlainDisplay()
        return
    live = LiveDisplay()
    try:
        yield live
    finally:
        live.stop()


def _named(cell: Cell, label: str) -> dict[str, str]:
    return {"ticket": label, "seed": str(cell.seed), "round": str(cell.round)}
