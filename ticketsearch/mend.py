"""Before a cell is worked on: what cannot be used of it is set aside, so that it is made again. Nothing is deleted."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ticketsearch.aside import set_aside
from ticketsearch.cell import Cell
from ticketsearch.errors import CorruptStore
from ticketsearch.experiment import Experiment
from ticketsearch.origin import check_origin
from ticketsearch.results import metric_files, read_rows, rows_about
from ticketsearch.seal import verified


def mend(experiment: Experiment, cell: Cell) -> None:
    """Set aside what is damaged of a cell, and the cell itself if it was drawn from a ticket that is no more.

    A ticket that is made again bit for bit keeps its children; one that is not, loses them here, one after the other,
    as their turns come. The caller holds the cell.
    """
    if cell.round == 0:
        for point in experiment.run.rewinds(cell.seed):
            with point.lock():
                _aside_if_wrong(experiment, point.path, point.read)
    if not cell.committed:
        return
    mend_metrics(experiment, cell)
    _aside_if_wrong(experiment, cell.path, cell.check)
    if cell.committed:
        _aside_if_wrong(experiment, cell.path, partial(check_origin, cell))


def mend_metrics(experiment: Experiment, cell: Cell) -> None:
    """Set aside what was added to a committed cell and is damaged; what is missing is measured again like the rest."""
    damaged = cell.damaged_metrics()
    for path, why in damaged:
        if path.exists():
            _aside(experiment, path, why)
        else:
            experiment.display.notice(f"{why}: it is made again")
    if damaged:
        cell.list_added(path.name for path, _ in metric_files(cell.path))


def _aside_if_wrong(experiment: Experiment, path: Path, check: Callable[[], object]) -> None:
    try:
        check()
    except CorruptStore as error:
        _aside(experiment, path, error.what)


def _aside(experiment: Experiment, path: Path, why: str) -> None:
    experiment.display.notice(f"{why}: it is now {set_aside(experiment.run.path, path, why)}, and made again")


def take_back(cell: Cell) -> None:
    """Give a cell that was made again, bit for bit, the measurements of the one that was set aside: they hold of it."""
    name = "-".join(cell.path.relative_to(cell.run).parts)
    for folder in sorted((cell.run / "aside").glob(f"{name}.*/")):
        for path, sha in metric_files(folder, "*-*.parquet"):
            with suppress(CorruptStore):
                if rows_about(read_rows(path, sha)).get("of") == cell.sha:
                    cell.add(path.name, verified(path, sha))
