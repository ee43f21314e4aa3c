"""The rounds: every side in a process of its own, one after the other, and again."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cases import CASES, Job
from benchmarks.report import Outcome, Report
from benchmarks.side import SIDES
from ticketsearch.errors import RunFailed


@dataclass
class Measured:
    """What the rounds have given.

    Attributes:
        job: what each side was given.
        gates: side -> what its first steps gave; empty where nothing is trained.
        outcomes: of each round, side -> what came out.
        seconds: side -> CPU seconds of each round, from after the imports to the end of the work.
        with_imports: side -> CPU seconds of each round, those of the imports and the work.
    """

    job: Job
    gates: dict[str, Outcome] = field(default_factory=dict)
    outcomes: list[dict[str, Outcome]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    with_imports: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})


def measure(job: Job, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Compare the first steps, then time the sides in turn.

    Args:
        job: the work.
        rounds: how often each side does it.
        tell: told, in a line, of what is done.

    Raises:
        RunFailed: a side has failed.
    """
    found = Measured(job)
    if CASES[job.case].trains:
        found.gates = {side: _child(side, job.gate()).outcome for side in SIDES}
        tell("first steps: done")
    for number in range(1, rounds + 1):
        reports = {side: _child(side, job) for side in SIDES}
        found.outcomes.append({side: report.outcome for side, report in reports.items()})
        for side, report in reports.items():
            found.seconds[side].append(report.seconds)
            found.with_imports[side].append(report.seconds + report.imports)
        taken = ", ".join(f"{side} {report.seconds:.2f}" for side, report in reports.items())
        tell(f"round {number} of {rounds}: {taken} CPU-seconds")
    return found


def _child(side: str, job: Job) -> Report:
    """What a side's process reports."""
    here = str(Path(__file__).resolve().parent.parent)
    beside = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    one = {"PYTHONPATH": beside, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", "benchmarks.side", side, job.text(), str(file)]
        done = subprocess.run(command, env=os.environ | one, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or not file.is_file():
            what = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            right = f"the process of the side {side} ended with {done.returncode}"
            raise RunFailed(what, right, f"python -m benchmarks.run --case {job.case} --data synthetic")
        return Report.read(file.read_text(encoding="utf-8"))
