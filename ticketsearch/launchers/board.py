"""What is told of a sweep on several slots: plain lines, or one table of the slots with the counts below it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ticketsearch.console import console, duration
from ticketsearch.launchers.outcome import Outcome, Running


class Board:
    """A line for each job that begins or ends: for pipes and log files."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.counts = {"done": 0, "there": 0, "failed": 0}

    def notice(self, text: str) -> None:
        """Something that a person should know, in one line."""
        console.print(text, markup=False)

    def begin(self, running: Running) -> None:
        """A job has got its slot."""
        self.notice(f"{running.slot.name} begins {running.job.name}: {' '.join(running.job.typed)}")

    def end(self, outcome: Outcome) -> None:
        """A job is over."""
        self.counts[outcome.state] += 1
        said = {
            "done": f"done in {duration(outcome.seconds)}",
            "there": "was done already",
            "failed": f"failed: {outcome.reason}",
        }[outcome.state]
        self.notice(f"[{sum(self.counts.values())}/{self.total}] {outcome.job.name} {said}")

    def look(self, running: Sequence[Running], waiting: int) -> None:
        """What runs now, and how many jobs wait; told several times a second."""


class LiveBoard(Board):
    """One table with a line for each slot that works; below it what is done. Failures scroll by above it."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._running: Sequence[Running] = ()
        self._waiting = total
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)
        self._live.start()

    def begin(self, running: Running) -> None:
        """It appears in the table."""

    def end(self, outcome: Outcome) -> None:
        if outcome.state == "failed":
            super().end(outcome)
        else:
            self.counts[outcome.state] += 1

    def look(self, running: Sequence[Running], waiting: int) -> None:
        self._running, self._waiting = tuple(running), waiting

    def stop(self) -> None:
        """Put the terminal back."""
        self._running = ()
        self._live.stop()

    def _render(self) -> Group:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), expand=True)
        for name in ("slot", "time"):
            table.add_column(name, no_wrap=True)
        table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
        for one in self._running:
            cells = (one.slot.name, duration(one.seconds), one.job.name, one.now)
            table.add_row(*(Text(cell) for cell in cells))
        return Group(*([table] if self._running else []), self._footer())

    def _footer(self) -> Table:
        over = sum(self.counts.values())
        parts = {"failed": self.counts["failed"], "running": len(self._running), "waiting": self._waiting}
        text = ", ".join([f"{over} of {self.total} runs over", *(f"{n} {word}" for word, n in parts.items() if n)])
        grid = Table.grid(padding=(0, 1))
        width = min(20, max(console.width - len(text) - 1, 1))
        grid.add_row(ProgressBar(self.total, over, width=width), Text(text))
        return grid


@contextmanager
def board(total: int) -> Iterator[Board]:
    """The board for where results go: live on a terminal that can move its cursor, plain elsewhere."""
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield Board(total)
        return
    live = LiveBoard(total)
    try:
        yield live
    finally:
        live.stop()


def failures(outcomes: Sequence[Outcome]) -> None:
    """The end table: which jobs failed, why, and where they have said more; in pipes and log files a line for each."""
    if not sys.stdout.isatty():
        for outcome in outcomes:
            console.print(f"failed: {outcome.job.name}: {outcome.reason}; log {outcome.job.log}", markup=False)
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    for name in ("failed", "reason, and log"):
        table.add_column(name, overflow="fold")
    for outcome in outcomes:
        table.add_row(Text(outcome.job.name), Text(f"{outcome.reason}\n{outcome.job.log}"))
    console.print(table, soft_wrap=False)
