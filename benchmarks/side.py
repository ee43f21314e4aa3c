"""One side of the comparison, in a process of its own: `python -m benchmarks.side SIDE JOB FILE`.

Its CPU seconds are counted from when everything is imported to when the work is done; what it tells about the work is
found out before or after.
"""

import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch

from benchmarks.cases import CASES, Job
from benchmarks.report import Outcome, Report, digest
from benchmarks.search import search

Found = TypeVar("Found")
SIDES = ("ours", "plain", "tensors")
"""The product; a DataLoader over PIL images; the same loop on tensors in memory."""


def main(arguments: Sequence[str]) -> int:
    """Do the work and write the report."""
    name, text, file = arguments
    torch.set_num_threads(1)
    side = importlib.import_module(f"benchmarks.{name}")
    for module in side.IMPORTS:
        importlib.import_module(module)
    job = Job.read(text)
    work = _load if not CASES[job.case].trains else _ours if name == "ours" else _theirs
    imports = time.process_time()
    Path(file).write_text(Report(imports, *work(side, job)).text(), encoding="utf-8")
    return 0


def _timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """CPU seconds of it, and what it gives."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _ours(side: ModuleType, job: Job) -> tuple[float, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = _timed(lambda: side.search(job, Path(folder)))
        return seconds, side.outcome(job, Path(folder))


def _theirs(side: ModuleType, job: Job) -> tuple[float, Outcome]:
    return _timed(lambda: search(job, side.feed(job)))


def _load(side: ModuleType, job: Job) -> tuple[float, Outcome]:
    """Passes over the images; reading the files is no part of it."""
    feed = side.feed(job)
    seconds, _ = _timed(lambda: [None for epoch in range(job.epochs) for _ in feed.train(epoch)])
    first = list(feed.train(0))
    pixels, labels = digest(pixels for pixels, _ in first), digest(labels for _, labels in first)
    return seconds, Outcome(order=labels, pixels=pixels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
