"""The algorithm: draw a ticket per round, train, commit and evaluate it. Knows no pruner, model or metric by name."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ticketsearch.cell import Cell
from ticketsearch.commit import commit, share_dense
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.draw import Drawn, draw
from ticketsearch.errors import CorruptStore, RunFailed, UsageError
from ticketsearch.estimate import Estimate, estimate
from ticketsearch.evaluate import evaluate
from ticketsearch.experiment import Experiment
from ticketsearch.mend import mend, mend_metrics, mend_rows, take_back
from ticketsearch.stopping import deferred
from ticketsearch.store import Run
from ticketsearch.summary import ending, measuring, opening
from ticketsearch.turns import turns


def run(search: Experiment, display: Display, left: Estimate | None = None) -> Run:
    """Bring a run to what is asked for; what is committed is not done again, so resuming is the same call.

    Args:
        search: what is asked for.
        display: told of what happens.
        left: what is left to train, where that is known already.

    Raises:
        TicketError: see `ticketsearch.errors`; what was committed before it stays.
    """
    left = left or estimate(search)
    for stage in search.stages:
        stage.begin()
    display.open(opening(search, left), left)
    with closing(
        turns(search.stages, display.notice, search.config.options.wave)
    ) as waves:  # lets go of its locks whatever happens
        for stage, wave in waves:
            advance(stage, wave)
            for cell in wave:
                share_dense(search.stages, stage, cell)
    display.close(ending(search))
    return search.run


def measure(path: Path, config: Config, display: Display, done: set[str]) -> None:
    """Measure what is asked for and not yet there on every trained ticket of a stored run; trains nothing.

    Args:
        path: the run's folder.
        config: as it was stored, with the metrics that are asked for.
        display: told of what happens.
        done: names of runs that have been looked at, and are not again; those of this call are added.

    Raises:
        UsageError: the run's numbers were made by another revision of its parts than this version has.
        CorruptStore: a ticket is damaged; the others have been measured.
    """
    if config.run_name != path.name:
        right = "its folder was renamed, or a part of it has another revision in this version"
        raise UsageError(f"{path.name} would be {config.run_name} now", right, "ticketsearch evaluate run=ANOTHER")
    search = Experiment.open(config, display, trained=True)
    stages = [stage for stage in search.stages if stage.run.name not in done]
    done.update(stage.run.name for stage in stages)
    for stage in stages:
        stage.begin("evaluate")
    display.open(measuring(search, stages), Estimate({}))
    damaged = []
    with closing(turns(stages, display.notice)) as waves:
        for stage, wave in waves:
            stage.set_threads()
            for cell in wave:
                mend_metrics(stage, cell)
                try:
                    cell.check()
                    mend_rows(stage, cell)
                    display.cell(cell, evaluate(stage, cell), trained=False)
                except CorruptStore as error:
                    damaged.append(error)
                    display.notice(error.what)
    display.close(ending(search))
    if damaged:
        raise damaged[0]


def advance(stage: Experiment, wave: Sequence[Cell]) -> None:
    """Draw, train, commit and evaluate cells that do not depend on each other; the caller holds them."""
    stage.set_threads()
    for cell in wave:
        mend(stage, cell)
    drawn, known, failed = list[Drawn](), {}, list[RunFailed]()
    for cell in (cell for cell in wave if not cell.committed):
        try:
            drawn.append(draw(stage, cell))
        except RunFailed as error:  # the others are trained first
            failed.append(error)
    with deferred():  # what is trained is committed, whoever asks this process to end
        for number, trained in stage.train([ticket.assignment for ticket in drawn]):
            ticket = drawn[number]
            commit(stage, ticket, trained)
            known[ticket.cell] = trained.logits
            take_back(stage, ticket.cell)
    if failed:
        raise failed[0]
    for cell in wave:
        mend_rows(stage, cell)
        stage.display.cell(cell, evaluate(stage, cell, known.get(cell, {})), cell in known)
