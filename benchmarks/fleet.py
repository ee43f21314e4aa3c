"""Fleet: what `plan` and `status` cost over 500 runs of 21 rounds, in seconds of CPU of the whole process.

    python -m benchmarks.fleet                   10,550 cells, trained; and none of them begun
    python -m benchmarks.fleet --working 500     with as many cells being trained

One small cell is really trained; every other is that one again, with a manifest of its own. The goal is 5 seconds for
each command.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.commands.run import composed
from ticketsearch.conf import OWN
from ticketsearch.config import Config
from ticketsearch.lock import Holder
from ticketsearch.plan import stages
from ticketsearch.seal import sealed_json
from ticketsearch.store import Run

GOAL = 5.0
PRUNERS = "lth,omp,random,snip,lamp,synflow,grasp,force,supermask,rigl"
MODELS = "resnet20,lenet300,conv2,vgg11,resnet18"
TINY = ("pruner=dense", "model.depth=8", "model.width=4", "dataset.subset=100", "recipe.epochs=1", "metrics=[accuracy]")
"""The cell that is really trained."""


def words(seeds: int, rounds: int, out: Path) -> list[str]:
    """What is typed: ten pruners, five models, and so many seeds."""
    seed = ",".join(map(str, range(seeds)))
    return [f"pruner={PRUNERS}", f"model={MODELS}", f"seed={seed}", f"schedule.rounds={rounds}", f"out={out}"]


def cells(configs: Sequence[Config]) -> Iterator[Cell]:
    """Every cell of every run, once, its run's folder made as a command makes it."""
    known = set[Cell]()
    for stage in (stage for config in configs for stage in stages(config)):
        run = Run(Path(stage.options.out) / stage.run_name)
        if not run.path.is_dir():
            Run.open(stage)
        new = [cell for n in stage.rounds for seed in stage.seeds if (cell := run.cell(seed, n)) not in known]
        if new:
            run.note({"seeds": list(stage.seeds), "rounds": list(stage.rounds)})
        known.update(new)
        yield from new


def fill(configs: Sequence[Config], trained: Cell, working: int) -> int:
    """Store every cell, or let it be held by this process; how many there are."""
    manifest, now = trained.manifest, time.time()
    who = json.dumps(asdict(Holder(platform.node(), os.getpid(), now, now)))
    for count, cell in enumerate(cells(configs)):
        cell.path.parent.mkdir(parents=True, exist_ok=True)
        if count < working:
            cell.path.with_suffix(".lock").write_text(who)
            continue
        cell.path.mkdir()
        for name in manifest["files"]:
            os.link(trained.path / name, cell.path / name)
        own = {"run": cell.run.name, "seed": cell.seed, "round": cell.round}
        (cell.path / "manifest.json").write_bytes(sealed_json(manifest | own))
        cell.path.with_suffix(".lock").touch()
    return count + 1


def seconds(*arguments: str) -> float:
    """Of CPU, user and system, that a command takes in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "ticketsearch", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs and time both commands; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="of fifty runs each")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--working", type=int, default=0, help="cells that are being trained")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        out, empty = Path(folder, "out"), words(asked.seeds, asked.rounds, Path(folder, "none"))
        typed = words(asked.seeds, asked.rounds, out)
        trained = ticketsearch.run([*TINY, f"out={folder}/tiny"])
        count = fill(composed(typed, OWN, sweep=True), Run(trained).cell(0, 0), asked.working)
        sys.stdout.write(f"{count} cells of {50 * asked.seeds} runs\n")
        found = {
            "plan, nothing begun": seconds("plan", "-m", "--no-probe", *empty),
            "plan": seconds("plan", "-m", "--no-probe", *typed),
            "status": seconds("status", f"out={out}"),
        }
    for name, taken in found.items():
        met = "met" if taken <= GOAL else "missed"
        sys.stdout.write(f"{name}: {taken:.2f} s of CPU, goal {GOAL:g} s: {met}\n")
    return int(max(found.values()) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
