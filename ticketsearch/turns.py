"""Which cells are worked on next: what is free in sorted order, what other processes hold last."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby

from ticketsearch.cell import Cell
from ticketsearch.experiment import Experiment
from ticketsearch.lock import holder

POLL = 0.2
"""Seconds between two looks at cells that others hold."""


def turns(
    stages: Sequence[Experiment], notice: Callable[[str], None], size: int = 1
) -> Generator[tuple[Experiment, list[Cell]], None, None]:
    """Every cell of every stage, in waves: cells of one stage that do not depend on each other, held while they are
    worked on.

    A cell comes after those that it needs. One that another process holds is passed over as long as there are others;
    then it is waited for.

    Args:
        stages: the runs; what one needs of another comes first.
        notice: told for whom it waits, in one line, each time that this changes.
        size: at most so many cells in a wave.
    """
    left = {cell.path: (stage, cell) for stage in stages for cell in stage.cells()}
    told = ""
    while left:
        ready = [(stage, cell) for stage, cell in left.values() if not stage.needs(cell) & left.keys()]
        held = []
        for stage, wave in _waves(ready, size):
            with ExitStack() as locks:
                mine = [cell for cell in wave if _take(cell, locks, notice)]
                held += [cell for cell in wave if cell not in mine]
                if mine:
                    yield stage, mine
                for cell in mine:
                    del left[cell.path]
        if len(held) == len(ready):
            told = _tell(held, told, notice)
            time.sleep(POLL)


def _waves(ready: Sequence[tuple[Experiment, Cell]], size: int) -> Iterator[tuple[Experiment, list[Cell]]]:
    """Consecutive cells of one stage, at most `size` together."""
    for _, group in groupby(ready, lambda task: task[0].run.name):
        tasks = list(group)
        for first in range(0, len(tasks), size):
            yield tasks[0][0], [cell for _, cell in tasks[first : first + size]]


def _take(cell: Cell, locks: ExitStack, notice: Callable[[str], None]) -> bool:
    lock = cell.lock()
    taken = lock.take(notice)
    if taken:
        locks.callback(lock.release)
    return taken


def _tell(held: Sequence[Cell], told: str, notice: Callable[[str], None]) -> str:
    """Say for whom this process waits, unless that was said last."""
    first = held[0]
    who = holder(first.lock_file) or "another process"
    more = f", and for {len(held) - 1} more" if len(held) > 1 else ""
    waiting = f"waiting for {first.run.name} seed {first.seed} round {first.round}, held by {who}{more}"
    if waiting != told:
        notice(waiting)
    return waiting
