"""What a draw takes beyond the passes through the network that its score needs: ResNet-20, images of CIFAR's size.

    python -m benchmarks.scoring [--rounds 5]

One thread. Each round times the draw at 90 % and then the bare passes: the same number of forward and backward passes
of the same batch and precision, written down as PyTorch's documentation would, without masks, scores or ranking.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ticketsearch.build import build
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.data.base import Data, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, prunable_layers
from ticketsearch.training.recipe import Recipe

PRUNERS = ("snip", "grasp", "iter_snip", "force", "synflow")
GOAL = 2.0
"""A draw may take this many times as long as its own passes."""


def view() -> tuple[View, Context]:
    """An untrained ResNet-20, and a hundred images of ten classes."""
    model = SmallImageResNet().initial(Cifar10(), 0).eval()
    layers, weights = prunable_layers(model), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randint(256, (100, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    train = Split(images, torch.arange(100) % 10)
    data = Data(train, train[:0], train[:0])
    ctx = Context(0, weights, lambda _: weights, weights, data, Recipe(), lambda *_: 0)
    return View(model, weights, Mask.ones(layers), None, layers), ctx


def once(model: nn.Module, pixels: Tensor, labels: Tensor) -> None:
    """One forward and one backward pass."""
    model.zero_grad()
    F.cross_entropy(model(pixels), labels).backward()


def twice(model: nn.Module, pixels: Tensor, labels: Tensor) -> None:
    """A gradient, and the product of the Hessian with it."""
    own = [weight for weight in model.parameters() if weight.dim() > 1]
    gradient = torch.autograd.grad(F.cross_entropy(model(pixels) / 200, labels), own)
    again = torch.autograd.grad(F.cross_entropy(model(pixels) / 200, labels), own, create_graph=True)
    torch.autograd.grad(again, own, gradient)


def flow(model: nn.Module, ones: Tensor, _: Tensor) -> None:
    """The sum of the outputs for one image, and its gradient."""
    model.zero_grad()
    model(ones).sum().backward()


def passes(name: str, at: View, ctx: Context) -> Callable[[], None]:
    """The bare passes of a pruner's draw."""
    ((pixels, labels),) = ctx.batches(10, 500)
    model = SmallImageResNet().initial(Cifar10(), 0).eval()
    if name == "synflow":
        return _repeat(flow, model.double(), torch.ones(1, 3, 32, 32, dtype=torch.float64), labels, 100)
    return _repeat(twice if name == "grasp" else once, model, pixels, labels, 1 if name in ("snip", "grasp") else 60)


def _repeat(
    work: Callable[[nn.Module, Tensor, Tensor], None], model: nn.Module, pixels: Tensor, labels: Tensor, times: int
) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            work(model, pixels, labels)

    return run


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(arguments: Sequence[str]) -> int:
    """Print the table.

    Returns:
        1 where a draw takes more than the goal.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    torch.set_num_threads(1)
    (at, ctx), worst = view(), 0.0
    sys.stdout.write(f"{'pruner':<12}{'draw':>10}{'passes':>10}   median of {rounds} ratios [least, most]\n")
    for name in PRUNERS:
        pruner, bare = build(OWN.load("pruner", name), "pruner", (), PARTS["pruner"]), passes(name, at, ctx)
        draw = partial(pruner.draw, at, at.mask.total // 10, ctx)
        draw(), bare()  # what is made once is not timed
        both = [(seconds(draw), seconds(bare)) for _ in range(rounds)]
        ratios = [drawn / alone for drawn, alone in both]
        middle = statistics.median(ratios)
        mine, alone = (statistics.median(part) for part in zip(*both, strict=True))
        worst = max(worst, middle)
        sys.stdout.write(
            f"{name:<12}{mine:>8.2f} s{alone:>8.2f} s   {middle:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]\n"
        )
    return int(worst > GOAL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
