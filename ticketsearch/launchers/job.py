"""A run of a sweep as a process of its own: what it asks for, whether that is there already, and what it said."""

import re
import shlex
import signal
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import torch

from ticketsearch.at_work import TAIL
from ticketsearch.cell import Cell
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.estimate import Estimate, estimate
from ticketsearch.evaluate import wanted
from ticketsearch.experiment import Experiment
from ticketsearch.lock import Holder, holder
from ticketsearch.results import read_rows, row_files
from ticketsearch.seal import digest
from ticketsearch.training.engine import Engine


@dataclass(frozen=True)
class Asked:
    """A cell that a job asks for.

    Attributes:
        cell: of one of its runs.
        dense: the cell that it is compared with.
        families: (family, settings) -> the reasons with which rows of it are skipped.
        splits: of which a dense cell keeps its logits.
        pointer: the file that says which dense cell is round 0 of its run; None: that is it.
    """

    cell: Cell
    dense: Cell
    families: tuple[tuple[tuple[str, str], frozenset[str]], ...]
    splits: tuple[str, ...]
    pointer: Path | None

    @property
    def words(self) -> list[Any]:
        """It in words for other processes, which may know its folder by another path."""
        families = [[*key, *sorted(reasons)] for key, reasons in sorted(self.families)]
        cells = [[cell.run.name, cell.seed, cell.round] for cell in (self.cell, self.dense)]
        return [cells, families, sorted(self.splits), self.pointer is not None]

    @property
    def there(self) -> bool:
        """Whether it is trained and measured; bytes are compared with checksums only where rows are read."""
        try:
            if not (self.cell.committed and self.dense.committed and (self.pointer is None or self.pointer.is_file())):
                return False
            done = self.cell.measured(self.dense.sha)
            logits = self.pointer or all(self.cell.logits(split) is not None for split in self.splits)
            return bool(logits) and all(done.get(key) == reasons for key, reasons in self.families)
        except CorruptStore:  # it is set aside, and made again, when the job is run
            return False


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        name: the run's, and its seeds.
        typed: the arguments that ask for it.
        asked: its cells, and those of the runs that it starts from.
        last: the cells of its last round, one for each seed.
        log: the file that gets what it prints.
    """

    name: str
    typed: tuple[str, ...]
    asked: tuple[Asked, ...]
    last: tuple[Cell, ...]
    log: Path

    @cached_property
    def dense(self) -> frozenset[Cell]:
        """The dense cells that it starts from."""
        return frozenset(asked.dense for asked in self.asked)

    @property
    def digest(self) -> str:
        """What it asks for, however that is typed: the same in every process, and another of what asks for more."""
        return digest(sorted(asked.words for asked in self.asked))

    @property
    def done(self) -> bool:
        """Whether all that it asks for is there."""
        return all(asked.there for asked in self.asked)

    @property
    def untrained(self) -> frozenset[Cell]:
        """Its dense cells that are not there."""
        return frozenset(cell for cell in self.dense if not cell.committed)

    @property
    def busy(self) -> bool:
        """Whether another process works on something that it lacks: it would wait for that sooner or later."""
        return any(working_on(asked.cell) for asked in self.asked if not asked.cell.committed)

    def command(self, device: str) -> str:
        """What a person would type for it alone."""
        return f"ticketsearch run {shlex.join([*self.typed, f'device={device}'])}"

    def said(self, since: int = 0) -> list[str]:
        """The last lines of its log.

        Args:
            since: the byte at which the process began to write.
        """
        try:
            with self.log.open("rb") as file:
                file.seek(max(since, file.seek(0, 2) - TAIL))
                return [line.rstrip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return []

    def reason(self, code: int, since: int) -> str:
        """Why its process ended with a code other than 0, in one line."""
        if code < 0:
            known = {int(number): number.name for number in signal.Signals}
            by = known.get(-code, f"signal {-code}")  # of those of real time, two have names
            memory = ", by somebody or by a kernel that was out of memory" if by == "SIGKILL" else ""
            return f"killed by {by}{memory}"
        lines = self.said(since)
        errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        if not errors:
            return f"ended with code {code}"
        return lines[errors[-1]].removeprefix("error: ")

    def value(self) -> float | None:
        """What a sweeper may maximise: the last round's validation accuracy after its last epoch, the mean over seeds.
        None: there is none, of a ticket that is not trained. Test images choose nothing.
        """
        found = [_validation(cell) for cell in self.last]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None


def working_on(cell: Cell) -> Holder | None:
    """The process that works on a cell by its own word; None: nobody does."""
    said = holder(cell.lock_file)
    return said if said and said.alive else None


def _validation(cell: Cell) -> float | None:
    try:
        tables = [read_rows(path, sha).to_pylist() for path, sha in row_files(cell.path)]
    except CorruptStore:
        return None
    epochs = {
        int(row["variant"][6:]): float(row["value"])
        for rows in tables
        for row in rows
        if (row["family"], row["metric"], row["split"]) == ("training", "accuracy", "val")
        and re.fullmatch(r"epoch-\d+", row["variant"])
    }
    return epochs[max(epochs)] if epochs else None


def jobs(configs: Sequence[Config], device: str, timed: bool) -> tuple[list[Job], Estimate]:
    """The job of each run, the same for two that ask for the same; and what is left to train.

    Each run is prepared for it, on the CPU: what cannot run is refused before anything begins.

    Args:
        configs: of the runs.
        device: of their processes, `cpu` or `cuda`.
        timed: whether to find out how long that takes here, on the CPU; else it takes no time.

    Raises:
        TicketError: one of them cannot run.
    """
    known, found, left = dict[tuple[Asked, ...], Job](), list[Job](), Estimate({})
    times, before = dict[str, float](), None
    for config in configs:
        if any(word.lstrip("+").startswith("device=") for word in config.overrides):
            right, attempt = "a launcher gives each run its device", "ticketsearch run -m hydra/launcher=devices"
            raise UsageError("device is typed", right, attempt, "device")
        Engine(config.options.engine).check(torch.device(device))
        here = replace(config, options=replace(config.options, device="cpu", engine="auto"))
        before = Experiment.open(here, Display(), before=before)
        missing = Estimate({c.path: 0.0 for stage in before.stages for c in stage.cells() if not c.committed})
        left |= estimate(before, times) if timed else missing
        job = _job(config, before, [job.log for job in known.values()])
        found.append(known.setdefault(job.asked, job))
    return found, left


def _job(config: Config, search: Experiment, taken: Container[Path]) -> Job:
    asked = []
    for stage in search.stages:
        families = tuple(sorted(wanted(stage.config).items()))
        for cell in stage.cells():
            pointer = None if stage.dense is stage else stage.run.pointer(cell.seed)
            dense = stage.dense.run.cell(cell.seed, 0)
            asked.append(Asked(cell, dense, families, tuple(search.data.splits()), pointer))
    seeds, last = config.seeds, config.rounds[-1]
    name = f"{config.run_name} seed {seeds[0]}" + (f" to {seeds[-1]}" if len(seeds) > 1 else "")
    logs = (Path(config.options.out) / "logs" / f"{name.replace(' ', '-')}{more}.log" for more in _numbered())
    log = next(log for log in logs if log not in taken)
    return Job(name, config.typed, tuple(asked), tuple(search.run.cell(seed, last) for seed in seeds), log)


def _numbered() -> Iterator[str]:
    """Endings of the names of logs, for runs that differ in their rounds or metrics only."""
    yield ""
    yield from (f"-{number}" for number in count(2))


def own_dense_first(found: Sequence[Job]) -> list[Job]:
    """Each job once, those first that bring a dense model that none before them has, so that nobody waits for one; else
    as typed.
    """
    known, first, later = set[Cell](), list[Job](), list[Job]()
    for job in dict.fromkeys(found):
        (first if job.dense - known else later).append(job)
        known |= job.dense
    return [*first, *later]
