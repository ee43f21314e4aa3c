"""What a search takes besides steps and metrics: CPU seconds of a round, of commands, and until the first step.

    python -m benchmarks.framework                    shares, commands, first step
    python -m benchmarks.framework --scaling          17 rounds: time, memory and bytes of each

Each search is a process of one thread. A round is measured on few images and epochs; steps are multiplied up to the
recipe's, and so is what is kept of each epoch. Where there is no folder of MNIST and CIFAR-10 the digits stand in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.goals import Goal, machine
from ticketsearch.data.stored import data_folder

ONE = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
SHORT = (["--help"], ["run", "--help"], ["list"])
"""Commands that say something and end."""


@dataclass(frozen=True)
class Search:
    """A search whose rounds are measured small.

    Attributes:
        name: for people.
        words: as typed.
        epochs, images: of a round as measured.
        whole: epochs and images of a round of its recipe.
    """

    name: str
    words: tuple[str, ...]
    epochs: int
    images: int
    whole: tuple[int, int]

    def typed(self, out: Path) -> list[str]:
        """All words."""
        sizes = [f"recipe.epochs={self.epochs}", f"dataset.subset={self.images}", f"out={out}", "--yes"]
        return [*self.words, *sizes, "device=cpu", "threads=1"]


def searches() -> dict[str, Search]:
    """By name."""
    real = all((data_folder(None) / name).is_dir() for name in ("MNIST", "cifar-10-batches-py"))
    if not real:
        small = ("dataset=digits", "metrics=fast")
        lenet = Search("LeNet-300 on digits", ("model=lenet300", *small), 2, 600, (12, 1200))
        return {"lenet": lenet, "resnet": Search("ResNet-20 on digits", ("model=resnet20", *small), 2, 256, (12, 1200))}
    lenet = Search("LeNet-300 on MNIST", ("model=lenet300", "dataset=mnist", "metrics=fast"), 2, 6000, (20, 55_000))
    words = ("model=resnet20", "dataset=cifar10", "metrics=fast", "dataset.validation=128", "dataset.test=256")
    return {"lenet": lenet, "resnet": Search("ResNet-20 on CIFAR-10", words, 1, 512, (182, 45_000))}


def rounds(words: Sequence[str]) -> list[dict[str, float]]:
    """What each round of a search took (`benchmarks.clock`)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rounds.json"
        command = [sys.executable, "-m", "benchmarks.clock", str(file), *words]
        subprocess.run(command, check=True, env=os.environ | ONE, stdout=subprocess.DEVNULL)  # noqa: S603
        return list(json.loads(file.read_text()))


def share(search: Search) -> Goal:
    """The part of each round of the recipe, metrics apart, that is neither step nor metric, in percent."""
    with tempfile.TemporaryDirectory() as out:
        found = rounds(["pruner=lth", "schedule.rounds=4", *search.typed(Path(out))])[1:]
    epochs, images = search.whole
    shares = []
    for each in found:
        fixed = each["all"] - each["train"] - each["metrics"]
        kept = each["keep"] / search.epochs * epochs
        steps = (each["train"] - each["keep"]) * epochs * images / search.epochs / search.images
        shares.append(100 * (fixed + kept) / (fixed + kept + steps))
    return Goal(f"framework time of a round, {search.name}", shares, 2, " %")


def cpu(command: Sequence[str]) -> float:
    """CPU seconds of a process."""
    process = subprocess.Popen(command, env=os.environ | ONE, stdout=subprocess.DEVNULL)  # noqa: S603
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime


def first_step(search: Search) -> float:
    """CPU seconds from the start of the process to the end of an epoch of one step, as it prints it."""
    with tempfile.TemporaryDirectory() as out:
        words = ["pruner=dense", *search.words, "dataset.subset=60", "recipe.batch_size=60", f"out={out}", "--yes"]
        command = [sys.executable, "-m", "ticketsearch", "run", "device=cpu", "threads=1", *words]
        process = subprocess.Popen(command, env=os.environ | ONE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert process.stdout is not None
        next(line for line in process.stdout if " epoch 1/" in line)
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        process.kill()
        process.communicate()
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def commands(times: int) -> list[Goal]:
    """Commands that end at once, and the first step beyond what importing torch takes, in turn."""
    run = [sys.executable, "-m", "ticketsearch"]
    found = [
        Goal(f"ticketsearch {' '.join(words)}", [cpu([*run, *words]) for _ in range(times)], 0.3, " s")
        for words in SHORT
    ]
    for search in searches().values():
        beyond = []
        for _ in range(times):
            torch = cpu([sys.executable, "-c", "import torch"])
            beyond.append(first_step(search) - torch)
        found.append(Goal(f"to the first step beyond import torch, {search.name}", beyond, 2, " s"))
    return found


def scaling(last: int) -> list[Goal]:
    """How rounds grow: memory from round 2 on, time of the later half against the earlier, bytes of each."""
    search = searches()["lenet"]
    with tempfile.TemporaryDirectory() as out:
        found = rounds(["pruner=lth", f"schedule.rounds={last}", *search.typed(Path(out))])[2:]
    memory = 100 * (found[-1]["rss"] / found[0]["rss"] - 1)
    half = len(found) // 2
    early, late = (sum(each["all"] for each in part) / half for part in (found[:half], found[-half:]))
    written = [(after["bytes"] - before["bytes"]) / 1e3 for before, after in pairwise(found)]
    return [
        Goal(f"memory of round {last} beyond that of round 2", [memory], 2, " %"),
        Goal("time of a round of the later half beyond one of the earlier", [100 * (late / early - 1)], 5, " %"),
        Goal("bytes that a round writes", written, unit=" kB"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scaling", nargs="?", type=int, const=17, metavar="ROUNDS", help="how rounds grow (17)")
    parser.add_argument("--times", type=int, default=3, help="how often commands are measured (3)")
    asked = parser.parse_args(arguments)
    sys.stdout.write(f"{machine()}\n")
    goals = scaling(asked.scaling) if asked.scaling else [*map(share, searches().values()), *commands(asked.times)]
    sys.stdout.write("".join(f"{goal.line()}\n" for goal in goals))
    return int(not all(goal.met for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
