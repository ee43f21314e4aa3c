"""Reading every byte of what is stored and comparing it with its checksum, and every pointer with what it points to.

Changes nothing, and takes no locks: it can run beside a search, and on outputs that may only be read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ticketsearch.cell import Cell
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.layout import rounds, seeds
from ticketsearch.origin import check_origin
from ticketsearch.part import read_part
from ticketsearch.results import check_about, derived_files, intact, metric_files, read_rows
from ticketsearch.seal import digest, unsealed
from ticketsearch.store import Run

PASSING = (".part", ".drawn", ".lock")
"""Files that come and go beside a search that runs."""


@dataclass(frozen=True)
class Checked:
    """One run, read to the last byte.

    Attributes:
        run: its folder.
        cells: committed cells in it.
        size: bytes read.
        wrong: what is wrong, a line each.
        aside: how many files and folders were set aside before; they are not looked at.
    """

    run: Path
    cells: int
    size: int
    wrong: tuple[str, ...]
    aside: int


def verify(out: Path) -> Iterator[Checked]:
    """Check every run under `out`, one after the other.

    Raises:
        UsageError: there are no runs.
    """
    runs = [Run(path) for path in sorted(out.glob("*/")) if (path / "config.yaml").is_file() or any(seeds(path))]
    if not runs:
        raise UsageError(f"no runs in {out}", "`out` must be a folder that `ticketsearch run` has written to")
    for run in runs:
        aside = sum(path.suffix != ".txt" for path in run.path.glob("aside/*"))
        yield Checked(run.path, len(run.cells()), _size(run.path), tuple(_wrong(run)), aside)


def derived(out: Path) -> list[str]:
    """What is wrong with the collected rows; they are made again when they are asked for."""
    path, label = derived_files(out)
    both = path.exists() and label.exists()  # one without the other is what a kill or a clean-up leaves
    return (
        [f"{path} is not what its checksum says; `ticketsearch results` makes it again"]
        if both and not intact(out)
        else []
    )


def _size(run: Path) -> int:
    inside = (path for path in run.rglob("*") if "aside" not in path.relative_to(run).parts)
    return sum(path.stat().st_size for path in inside if path.is_file() and not path.name.endswith(PASSING))


def _wrong(run: Run) -> Iterator[str]:
    """Every fault of a run, in a line each."""
    checks: list[Callable[[], object]] = [partial(_check_name, run), partial(_check_notes, run)]
    for _, seed in seeds(run.path):
        checks += [partial(_check_pointer, run, pointer) for _, pointer in rounds(seed, ".json")]
    for cell in run.cells():
        checks += [cell.check, partial(check_origin, cell), partial(_check_metrics, cell)]
    checks += [point.read for point in run.rewinds()]
    checks.append(partial(_check_parts, run))
    told = set()
    for check in checks:
        try:
            check()
        except (CorruptStore, UsageError, OSError) as error:
            what = str(error) if isinstance(error, OSError) else error.what
            if what not in told:
                yield what
            told.add(what)


def _check_name(run: Run) -> None:
    """The configuration is the one that the folder is named after."""
    identity = run.config().get("identity")
    if not run.name.endswith(f"-{digest(identity)[:8]}"):
        raise CorruptStore(f"{run.path / 'config.yaml'} is of another run than its folder's name says", "")


def _check_notes(run: Run) -> None:
    """Every command that worked on the run is noted; a pruned run says which dense cells it starts from."""
    if run.damaged_notes() or not run.notes():
        raise CorruptStore(f"{run.path / 'invocations.jsonl'} is missing or has lines that are not as written", "")
    for cell in run.cells():
        if cell.round and not run.pointer(cell.seed).is_file():
            raise CorruptStore(f"{run.pointer(cell.seed)} is missing: nothing says which dense model this is", "")


def _check_parts(run: Run) -> None:
    """What is stored of rounds in progress is whole."""
    for _, seed in seeds(run.path):
        for part in [path for suffix in (".part", ".drawn") for _, path in rounds(seed, suffix)]:
            try:
                read_part(part)
            except CorruptStore:
                if part.exists():  # a search that goes on meanwhile may have committed it
                    raise


def _check_pointer(run: Run, pointer: Path) -> None:
    """Round 0 points to a dense cell that is there and is the one that was meant."""
    said = unsealed(pointer)
    dense = Cell(run.path.parent / Path(said["run"]).name, int(said["seed"]), 0)
    if not dense.committed:
        raise CorruptStore(f"{pointer} points to {dense.path}, which is not there", "")
    try:
        now = dense.sha
    except CorruptStore:
        return  # told where it lies
    if now != said["sha256"]:
        raise CorruptStore(f"{pointer} points to another ticket than {dense.path} is now", "")


def _check_metrics(cell: Cell) -> None:
    """Every added file is what its name says, and its rows are about this ticket."""
    damaged = [why for _, why in cell.damaged_metrics()]
    if damaged:
        raise CorruptStore("; ".join(damaged), "")
    tables = [read_rows(path, sha) for path, sha in metric_files(cell.path, "*-*.parquet")]
    check_about(cell.run.parent, cell.path, tables)
