"""Packing: cells a minute of two runs of one thread side by side, against one run of two threads after another.

    python -m benchmarks.packing                 LeNet-300-100 on MNIST, four seeds each
    python -m benchmarks.packing --model resnet20 --dataset digits --rounds 3

Both sides are `run -m hydra/launcher=devices` on the CPU, with everything that a user waits for: processes that start,
training, evaluation. The goal is 1.4 times as many cells a minute.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median

GOAL = 1.4
SIDES = {"two of one thread": (2, 1), "one of two threads": (1, 2)}
"""Side -> runs at a time, threads of each."""


def cells_a_minute(side: str, asked: argparse.Namespace) -> float:
    """What one sweep of dense models gives, a cell for each seed; `threads` is typed, so that small networks obey."""
    slots, threads = SIDES[side]
    seeds = ",".join(map(str, range(asked.seeds)))
    with tempfile.TemporaryDirectory() as out:
        what = ["pruner=dense", f"model={asked.model}", f"dataset={asked.dataset}", "metrics=fast", f"seed={seeds}"]
        how = [f"recipe.epochs={asked.epochs}", f"threads={threads}", f"out={out}", "hydra/launcher=devices"]
        how += ["hydra.launcher.devices=cpu", f"hydra.launcher.slots={slots}", f"hydra.launcher.threads={threads}"]
        command = [sys.executable, "-m", "ticketsearch", "run", "-m", "--yes", *what, *how]
        env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        started = time.monotonic()
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)  # noqa: S603
        return 60 * asked.seeds / (time.monotonic() - started)


def main(arguments: Sequence[str] | None = None) -> int:
    """Time the sides in turn; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lenet300")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1, help="how often each side is timed")
    asked = parser.parse_args(arguments)
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(asked.rounds):
        for side, rates in found.items():
            rates.append(cells_a_minute(side, asked))
            sys.stdout.write(f"{side}: {rates[-1]:.2f} cells a minute\n")
    packed, alone = (median(rates) for rates in found.values())
    met = "met" if packed >= GOAL * alone else "missed"
    sys.stdout.write(f"{packed / alone:.2f} times as many, goal {GOAL}x: {met}\n")
    return int(met == "missed")


if __name__ == "__main__":
    sys.exit(main())
