"""Images per second of every model on one CPU thread, forward and a training step, beside its multiply-adds.

    python -m benchmarks.models [--batch 8] [--seconds 1] [--models resnet20,lenet5]

At each model's native images, in float32; those of 224x224 in batches of an eighth. A step is forward, backward and
SGD with momentum. Each is repeated for so many seconds after a first one that is not timed, and the median is told.
GMAC/s is what both would be the same in if multiply-adds were all that costs; a backward pass counts twice.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ticketsearch.build import build
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.errors import UsageError
from ticketsearch.metrics.ticket import macs_per_weight
from ticketsearch.models.base import Normalise

LARGE = 64
"""Pixels of a side from which on a batch is an eighth."""


@dataclass(frozen=True)
class Speed:
    """Of one model: its parameters, multiply-adds of an image, images per second of both."""

    parameters: int
    macs: int
    forward: float
    step: float


def native(name: str) -> tuple[tuple[int, int, int], int]:
    """Shape of the images that a yaml's head names, and how many classes."""
    shape, _, classes = OWN.head("model", name).facts["native"].partition(", ")
    channels, height, width = map(int, shape.split("x"))
    return (channels, height, width), int(classes.split()[0])


def seconds(work: Callable[[], object], least: float) -> float:
    """The median of one call, over calls for this long."""
    work()
    taken, begun = list[float](), time.perf_counter()
    while not taken or time.perf_counter() - begun < least:
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def speed(name: str, batch: int, least: float) -> Speed:
    """Of the model of a yaml."""
    shape, classes = native(name)
    batch = max(2, batch // 8) if shape[1] >= LARGE else batch
    model = build(OWN.load("model", name), "model", (), PARTS["model"])
    network: nn.Module = model.build(shape, classes, Normalise([0.5] * shape[0], [0.25] * shape[0]))
    pixels, labels = torch.rand(batch, *shape), torch.arange(batch) % classes
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(network(pixels), labels).backward()
        optimiser.step()

    macs = sum(count * places for count, places in macs_per_weight(network, torch.zeros(1, *shape)).values())
    backward = seconds(step, least)
    forward = seconds(lambda: _without_gradient(network.eval(), pixels), least)
    return Speed(sum(p.numel() for p in network.parameters()), macs, batch / forward, batch / backward)


@torch.no_grad()
def _without_gradient(network: nn.Module, pixels: Tensor) -> Tensor:
    return network(pixels)


def main(arguments: Sequence[str]) -> int:
    """Print the table, a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="that each is repeated for")
    parser.add_argument("--models", default=",".join(OWN.choices("model")))
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sys.stdout.write(f"{'model':<20}{'images':>11}{'parameters':>12}{'MMAC':>9}{'forward/s':>11}{'step/s':>9}")
    sys.stdout.write(f"{'GMAC/s':>9}{'GMAC/s':>8}\n")
    for name in asked.models.split(","):
        shape = "x".join(map(str, native(name)[0]))
        try:
            found = speed(name, asked.batch, asked.seconds)
        except UsageError as error:
            sys.stdout.write(f"{name:<20}{shape:>11}  {error.what}\n")
            continue
        rates = found.macs * found.forward / 1e9, 3 * found.macs * found.step / 1e9
        sys.stdout.write(f"{name:<20}{shape:>11}{found.parameters:>12,}{found.macs / 1e6:>9.1f}")
        sys.stdout.write(f"{found.forward:>11.1f}{found.step:>9.1f}{rates[0]:>9.1f}{rates[1]:>8.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
