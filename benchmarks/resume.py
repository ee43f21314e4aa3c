"""What a kill costs: CPU seconds of a search that is killed and run again, against one that nobody disturbs.

    python -m benchmarks.resume [--times 3] [--epochs 8]

The process is killed in the middle of a round of LeNet-300, behind an epoch that it has printed. The second one goes on
there, so what is lost is a start and at most an epoch. The tickets of both must be the same, bit for bit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.framework import ONE, cpu, searches
from benchmarks.goals import Goal, machine
from ticketsearch.store import Run

MOST = 4.0
"""CPU seconds: two for importing torch, two until the first step; an epoch that is trained again is short here."""


def command(epochs: int, out: str) -> list[str]:
    """A dense model and a round."""
    words = [*searches()["lenet"].words, f"recipe.epochs={epochs}", "dataset.subset=1200", f"out={out}", "--yes"]
    return [sys.executable, "-m", "ticketsearch", "run", "pruner=lth", "schedule.rounds=1", "threads=1", *words]


def killed(typed: Sequence[str], behind: str) -> float:
    """CPU seconds of a process that is killed as soon as it has printed this."""
    process = subprocess.Popen(typed, env=os.environ | ONE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    next(line for line in process.stdout if behind in line)
    process.kill()
    process.stdout.close()
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime


def tickets(out: str) -> list[str]:
    """The SHA-256 of every ticket."""
    return sorted(cell.sha for path in Path(out).iterdir() if path.is_dir() for cell in Run(path).cells())


def lost(epochs: int) -> float:
    """CPU seconds that a kill and a second start cost.

    Raises:
        ValueError: the tickets are others.
    """
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as parts:
        alone = cpu(command(epochs, whole))
        first = killed(command(epochs, parts), f"round  1 epoch {epochs // 2}/")
        second = cpu(command(epochs, parts))
        if tickets(whole) != tickets(parts):
            raise ValueError("a search that was killed has other tickets: the comparison is void")
    return first + second - alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 where it costs more than a start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args(arguments)
    goal = Goal("a kill and a second start", [lost(asked.epochs) for _ in range(asked.times)], MOST, " s")
    sys.stdout.write(f"{machine()}\n{goal.line()}\n")
    return int(not goal.met)


if __name__ == "__main__":
    sys.exit(main())
