"""Engines: what a training step takes by each of them beside the eager one, by turns.

    python -m benchmarks.engines                   seconds of CPU, on one thread
    python -m benchmarks.engines --device cuda     seconds of a GPU; and several trainings at once, each in its stream

Images are made up, and a mask keeps four fifths of the weights. What is compiled or recorded is made before, in seconds
that are told apart.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.goals import Goal, machine
from benchmarks.ratios import isa
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.schedule import Geometric
from ticketsearch.ticket import Mask, Ticket, keep_top, prunable_layers
from ticketsearch.training.engine import Engine, Name
from ticketsearch.training.recipe import Recipe

Step = Callable[[], object]
WAVES = (2, 4, 8)
"""Trainings at once on a GPU."""


@dataclass(frozen=True)
class Case:
    """A network and its recipe.

    Attributes:
        name: for people.
        words: what is composed.
        shape: of an image.
        steps: timed together, on a CPU and on a GPU.
        engines: besides the eager one, on a CPU.
        fast: in bfloat16 where the device has instructions for it, and channels-last.
    """

    name: str
    words: tuple[str, ...]
    shape: tuple[int, int, int]
    steps: tuple[int, int]
    engines: tuple[Name, ...]
    fast: bool = False


CASES = (
    Case("LeNet-300", ("model=lenet300", "dataset=mnist"), (1, 28, 28), (200, 500), ("auto",)),
    Case("ResNet-20", ("model=resnet20", "dataset=cifar10"), (3, 32, 32), (3, 200), ("auto", "compiled"), fast=True),
)


def step(case: Case, engine: Engine, device: torch.device, seed: int = 0) -> tuple[Step, Recipe]:
    """An update of a network of its own on one batch, and the recipe that it is by."""
    config = compose(case.words, OWN)
    half = case.fast and (device.type == "cuda" or isa() != "none")
    more = {"precision": "bfloat16" if half else "float32", "channels_last": case.fast}
    recipe = replace(config.recipe, **more)  # type: ignore[arg-type]
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model = config.model.initial(config.dataset, seed).to(device, memory_format=layout)  # type: ignore[call-overload]
    start, layers = {name: t.cpu().clone() for name, t in model.state_dict().items()}, prunable_layers(model)
    dense = Mask.ones(layers)
    mask = keep_top({name: start[name].abs() for name in layers}, dense, Geometric().keep(1, dense.total))
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(recipe.batch_size, *case.shape, generator=generator).to(device, memory_format=layout)
    labels = torch.randint(config.dataset.classes, (recipe.batch_size,), generator=generator).to(device)
    update = engine.update(model.train(), recipe)
    update.hold(Ticket(mask, start))
    return lambda: update(pixels, labels, 1e-4), recipe


def seconds(steps: Sequence[Step], times: int, device: torch.device) -> float:
    """That steps of several trainings take, one of each in turn."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    for _ in range(times):
        for each in steps:
            each()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def engines(case: Case, device: torch.device, rounds: int) -> list[Goal]:
    """Each engine beside the eager one, and how many images a second it trains on."""
    names: tuple[Name, ...] = ("eager", "auto", "compiled") if device.type == "cuda" else ("eager", *case.engines)
    times, told = case.steps[device.type == "cuda"], list[Goal]()
    steps = dict[str, Step]()
    for name in names:
        steps[name], recipe = step(case, Engine(name), device)
        told.append(Goal(f"{case.name}, first step, {name}", [seconds([steps[name]], 1, device)], unit=" s"))
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(seconds([steps[name]], times, device))
    for name in names:
        ratios = [eager / other for eager, other in zip(found["eager"], found[name], strict=True)]
        rates = [recipe.batch_size * times / spent for spent in found[name]]
        told.append(Goal(f"{case.name} in {recipe.precision}, {name}", rates, unit=" images/s"))
        if name != "eager":
            told.append(Goal(f"{case.name} in {recipe.precision}, ratio eager / {name}", ratios, unit="x"))
    return told


def waves(case: Case, device: torch.device, rounds: int) -> list[Goal]:
    """Several trainings at once on a GPU, in streams of their own."""
    told = list[Goal]()
    for size in WAVES:
        engine, steps = Engine("auto"), list[Step]()
        for number in range(size):
            with engine.stream(device, number):
                one, recipe = step(case, engine, device, seed=number)
                one()
            steps.append(_within(engine, device, number, one))
        found = [seconds(steps, case.steps[1], device) for _ in range(rounds)]
        rates = [size * recipe.batch_size * case.steps[1] / spent for spent in found]
        told.append(Goal(f"{case.name}, {size} at once", rates, unit=" images/s"))
    return told


def _within(engine: Engine, device: torch.device, number: int, one: Step) -> Step:
    stream = engine.stream(device, number)

    def taken() -> None:
        with stream:
            one()

    return taken


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 3 where there is no such device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=6)
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.stdout.write("not run on a GPU\n")
        return 3
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    device = torch.device(asked.device)
    sys.stdout.write(f"{machine()}\n")
    for case in CASES:
        for goal in engines(case, device, asked.rounds) + (
            waves(case, device, asked.rounds) if device.type == "cuda" else []
        ):
            sys.stdout.write(f"{goal.line()}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
