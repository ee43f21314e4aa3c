"""The order of a sweep's runs in SLURM: dense models that several runs share are tasks of their own, which those runs
wait for without a GPU.

An array is of one folder of outputs, beside which its notes are, and no larger than SLURM takes by itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from ticketsearch.cell import Cell
from ticketsearch.launchers.job import Job

LARGEST = 1000
"""Tasks of an array: SLURM's MaxArraySize is 1001 unless a cluster says otherwise."""


@dataclass(frozen=True)
class Array:
    """Jobs that become tasks of one array.

    Attributes:
        jobs: in the order of their tasks.
        after: jobs of arrays before it that must be over first.
    """

    jobs: tuple[Job, ...]
    after: tuple[Job, ...] = ()


def arrays(found: Sequence[Job], together: bool) -> list[Array]:
    """The arrays of jobs that are not done, those that make shared dense models first.

    Args:
        found: each job once.
        together: whether the runs are one array, which waits for all shared dense models, and if they are several one
            after the other; else each waits for its own dense model.
    """
    makers = _makers(found)
    making = tuple(dict.fromkeys(makers.values()))
    groups: dict[tuple[Job, ...], list[Job]] = {}
    for job in found:
        if job not in making:
            after = [makers[cell] for cell in _lacking(job) if cell in makers]
            groups.setdefault(making if together else tuple(dict.fromkeys(after)), []).append(job)
    first = [Array(making)] if making else []
    whole = first + [Array(tuple(jobs), after) for after, jobs in groups.items()]
    parts = [Array(jobs, array.after) for array in whole for jobs in _parts(array.jobs)]
    if not together:
        return parts
    later = [replace(part, after=tuple(dict.fromkeys((*part.after, *before.jobs)))) for before, part in pairwise(parts)]
    return [*parts[:1], *later]


def _parts(jobs: Sequence[Job]) -> list[tuple[Job, ...]]:
    """Jobs by the folders of their logs, and no more at a time than an array can have."""
    folders: dict[Path, list[Job]] = {}
    for job in jobs:
        folders.setdefault(job.log.parent, []).append(job)
    return [tuple(each[first : first + LARGEST]) for each in folders.values() for first in range(0, len(each), LARGEST)]


def _makers(found: Sequence[Job]) -> dict[Cell, Job]:
    """Each dense cell that is not there, and that several jobs start from -> the job that makes it."""
    shared = {cell for cell, count in Counter(cell for job in found for cell in _lacking(job)).items() if count > 1}
    makers: dict[Cell, Job] = {}
    for job in sorted(found, key=lambda job: not _only_dense(job)):
        cells = [cell for cell in _lacking(job) if cell in shared]
        if any(cell not in makers for cell in cells):
            maker = job if _only_dense(job) else _dense_of(job)
            for cell in cells:
                makers.setdefault(cell, maker)
    return makers


def _lacking(job: Job) -> list[Cell]:
    """Its dense cells that are not trained, in one order."""
    untrained = job.untrained
    return [cell for cell in dict.fromkeys(asked.dense for asked in job.asked) if cell in untrained]


def _only_dense(job: Job) -> bool:
    return all(asked.pointer is None for asked in job.asked)


def _dense_of(job: Job) -> Job:
    """The job of the dense models that another starts from; it measures nothing."""
    asked = tuple(replace(asked, families=(), splits=()) for asked in job.asked if asked.pointer is None)
    log = job.log.with_name(f"{job.log.stem}-dense.log")
    return replace(job, name=f"dense model of {job.name}", typed=("--dense", *job.typed), asked=asked, last=(), log=log)
