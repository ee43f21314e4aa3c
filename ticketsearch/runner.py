"""The algorithm: draw a ticket per round, train, commit and evaluate it. Knows no pruner, model or metric by name."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby

from ticketsearch.commit import commit, share_dense
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.draw import draw
from ticketsearch.evaluate import evaluate
from ticketsearch.experiment import Experiment
from ticketsearch.pruners.base import Source
from ticketsearch.store import Cell, Run
from ticketsearch.summary import closing, opening, to_train


def run(config: Config, display: Display) -> Run:
    """Bring a run to what is asked for; what is committed is not done again, so resuming is the same call.

    Raises:
        TicketError: see `ticketsearch.errors`; what was committed before it stays.
    """
    search = Experiment.open(config, display)
    display.open(opening(search), to_train(search))
    advance(search.dense)
    if search is not search.dense:
        share_dense(search)
        advance(search)
    display.close(closing(search))
    return search.run


def advance(search: Experiment) -> None:
    """Draw, train, commit and evaluate every cell of one run."""
    search.begin()
    for wave in waves(search.cells(), search.config.pruner.source):
        with ExitStack() as locks:
            for cell in wave:
                locks.enter_context(cell.lock(search.display.notice))
            drawn = [draw(search, cell) for cell in wave if not cell.committed]
            for ticket, trained in zip(drawn, search.train([t.assignment for t in drawn]), strict=True):
                commit(search, ticket, trained)
            trained_now = [ticket.cell for ticket in drawn]
            for cell in wave:
                search.display.cell(cell, evaluate(search, cell), cell in trained_now)


def waves(cells: Sequence[Cell], source: Source, size: int = 1) -> Iterator[list[Cell]]:
    """Groups of cells that do not depend on each other, at most `size` in each.

    Rounds depend on one another when a pruner looks at the round before; seeds never do.
    """
    groups = [list(cells)]
    if source is Source.PREVIOUS:
        groups = [list(group) for _, group in groupby(cells, lambda cell: cell.round)]
    for group in groups:
        for first in range(0, len(group), size):
            yield group[first : first + size]
