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
    cell.tidy()  # of a writer that was killed between the commit and this
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
    there = [path.name for path, _ in metric_files(cell.path)]
    if damaged or sorted(there) != cell.added():  # a writer may have been killed between the file and the list
        cell.list_added(there)


def mend_rows(experiment: Experiment, cell: Cell) -> None:
    """Set aside measurements of a whole cell that are of another ticket, or compared with another dense one, than there
    is now: beside what is measured instead, they would make the round look wrong for ever.

    Raises:
        CorruptStore: the cell's manifest, or the dense one's, is damaged.
    """
    stale = [path for path, about in _about(cell.path) if about != _now(experiment, cell)]
    for path in stale:
        _aside(experiment, path, f"{path} is about another ticket, or another dense one, than there is now")
    if stale:
        cell.list_added(path.name for path, _ in metric_files(cell.path))


def _now(experiment: Experiment, cell: Cell) -> dict[str, str]:
    """What measurements of a cell must be about."""
    return {"of": cell.sha, "dense": experiment.dense.run.cell(cell.seed, 0).sha}


def _about(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Every whole file of measurements in the folder of a cell, and what it is about."""
    found = []
    for path, sha in metric_files(folder, "*-*.parquet"):
        with suppress(CorruptStore):
            found.append((path, rows_about(read_rows(path, sha))))
    return found


def _aside_if_wrong(experiment: Experiment, path: Path, check: Callable[[], object]) -> None:
    try:
        check()
    except CorruptStore as error:
        _aside(experiment, path, error.what)


def _aside(experiment: Experiment, path: Path, why: str) -> None:
    experiment.display.notice(f"{why}: it is now {set_aside(experiment.run.path, path, why)}, and made again")


def take_back(experiment: Experiment, cell: Cell) -> None:
    """Give a cell that was made again, bit for bit, the measurements of the one that was set aside: they hold of it,
    unless its dense model is another one now.
    """
    name = "-".join(cell.path.relative_to(cell.run).parts)
    for folder in sorted((cell.run / "aside").glob(f"{name}.*/")):
        for path, about in _about(folder):
            if about == _now(experiment, cell):
                cell.add(path.name, path.read_bytes())
