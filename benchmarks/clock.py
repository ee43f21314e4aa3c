"""A search in a process of its own that notes what each round takes: `python -m benchmarks.clock FILE WORD ...`.

The file is a list of the rounds as JSON. The words are those of `ticketsearch run`.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from ticketsearch import commit, evaluate, runner
from ticketsearch.cell import Cell
from ticketsearch.cli import main as ticketsearch
from ticketsearch.experiment import Experiment
from ticketsearch.points import CellCheckpoint

SPENT: Counter[str] = Counter()
"""CPU seconds so far: `train` (without what is kept of it), `metrics` (forward passes at commit too), `keep`."""
ROUNDS: list[dict[str, float]] = []


def counted(owner: Any, name: str, kind: str) -> None:
    """Add the CPU seconds of a function to a kind."""
    setattr(owner, name, _timed(getattr(owner, name), kind))


def _timed(work: Callable[..., Any], kind: str) -> Callable[..., Any]:
    @wraps(work)
    def timed(*given: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return work(*given, **named)
        finally:
            SPENT[kind] += time.process_time() - began

    return timed


def _train(
    self: Experiment, jobs: Sequence[Any], own: Callable[..., Iterator[Any]] = Experiment.train
) -> Iterator[Any]:
    """The trainings, counted while they are waited for."""
    found = own(self, jobs)
    step = _timed(lambda: next(found, None), "train")
    while (trained := step()) is not None:
        yield trained


def _advance(stage: Experiment, wave: Sequence[Cell], own: Callable[..., None] = runner.advance) -> None:
    """One wave; what it took is noted."""
    began, before = time.process_time(), Counter(SPENT)
    own(stage, wave)
    spent = {kind: SPENT[kind] - before[kind] for kind in ("train", "metrics", "keep")}
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    size = sum(file.stat().st_size for file in stage.run.path.rglob("*") if file.is_file())
    whole = {"all": time.process_time() - began, "rss": pages * os.sysconf("SC_PAGE_SIZE"), "bytes": size}
    ROUNDS.append({"round": wave[0].round, **spent, **whole})


def main(arguments: Sequence[str]) -> int:
    """Run the search and write the file."""
    file, *words = arguments
    counted(evaluate, "_measure", "metrics")
    counted(commit, "predict", "metrics")
    counted(CellCheckpoint, "save", "keep")
    counted(CellCheckpoint, "snapshot", "keep")
    Experiment.train = _train  # type: ignore[method-assign]
    runner.advance = _advance
    code = ticketsearch(["run", *words])
    Path(file).write_text(json.dumps(ROUNDS), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
