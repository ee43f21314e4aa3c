"""Products with the Hessian for the five largest eigenvalues and the trace: ours beside PyHessian's rule.

    python -m benchmarks.hessian [--steps 60] [--probes 60]

A ResNet-20 that has learned the embedded digits for some steps, a hundred training images. PyHessian (Yao et al. 2020)
finds one eigenvalue after another by power iteration, until one changes by less than a thousandth or after a hundred
products, and the trace by plain probes; that is written down here. How many probes a standard error takes follows from
the spread of single ones, since their mean's variance is theirs over their number. Products are what costs, so that
nothing is timed.
"""

import argparse
import math
import sys
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ticketsearch.data.base import Split
from ticketsearch.data.digits import Digits
from ticketsearch.metrics.hessian import Hessian, WeightHessian, directions
from ticketsearch.metrics.spectrum import Product, deflated_trace, lanczos, rademacher
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.ticket import Mask, prunable_layers

OURS = Hessian()
ERRORS, GOAL = (0.05, 0.01), 4.0
"""Standard errors of the trace, relative; how many times fewer products ours has to take for each."""


class Counted:
    """Products, counted."""

    def __init__(self, product: Product) -> None:
        self.count, self._product = 0, product

    def __call__(self, vector: Tensor) -> Tensor:
        self.count += 1
        return self._product(vector)


def trained(steps: int) -> tuple[nn.Module, Split]:
    """ResNet-20 after so many steps of 64 digits, and a hundred of them."""
    train, rng = Digits().load().train, torch.Generator().manual_seed(0)
    model = SmallImageResNet().initial(Digits(), 0)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(steps):
        chosen = torch.randint(len(train), (64,), generator=rng)
        optimiser.zero_grad()
        F.cross_entropy(model(train.images[chosen] / 255), train.labels[chosen]).backward()
        optimiser.step()
    return model.eval(), train[:100]


def one_after_another(product: Product, size: int, top: int, tolerance: float = 1e-3, most: int = 100) -> list[float]:
    """Eigenvalues by power iteration, each orthogonal to those before it."""
    values, vectors = list[float](), list[Tensor]()
    for number in range(top):
        vector, value = torch.randn(size, generator=torch.Generator().manual_seed(number)), math.inf
        for _ in range(most):
            for found in vectors:
                vector = vector - (vector @ found) * found
            image = product(vector / vector.norm())
            before, value = value, float(image @ vector / vector.norm())
            if abs(value - before) / (abs(before) + 1e-6) < tolerance:
                break
            vector = image
        values.append(value)
        vectors.append(vector / vector.norm())
    return values


def spread(error: Tensor, count: int) -> float:
    """The standard deviation of single probes."""
    return float(error) * math.sqrt(count)


def needed(deviation: float, trace: float, error: float) -> int:
    """Probes until the standard error is this share of the trace; two at least, or there is none."""
    return max(2, math.ceil((deviation / (error * trace)) ** 2))


def main(arguments: Sequence[str]) -> int:
    """Print the table.

    Returns:
        1 where ours takes more products than the goals allow, or says something else than power iteration.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="of training")
    parser.add_argument("--probes", type=int, default=60, help="from which the spread of single ones is estimated")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, part = trained(asked.steps)
    alive = directions(model, Mask.ones(prunable_layers(model)), "prunable")
    product = Counted(WeightHessian(model, part, alive, 100, torch.float32))
    size = sum(entries.numel() for entries in alive.values())
    theirs = one_after_another(product, size, OURS.top)
    powers = product.count
    signs = [rademacher([size], "benchmark", number) for number in range(asked.probes + 1)]
    ritz = lanczos(product, signs[0], OURS.steps)
    trace, error = deflated_trace(product, ritz, signs[1:])
    samples = torch.stack([sign @ product(sign) for sign in signs[1:]]).double()
    ours = ritz.values[: OURS.top].tolist()
    out = sys.stdout.write
    out(f"eigenvalues, Lanczos {' '.join(f'{value:.4f}' for value in ours)}   {OURS.steps} products\n")
    out(f"power iteration      {' '.join(f'{value:.4f}' for value in theirs)}   {powers} products\n")
    out(f"trace {float(trace):.2f} ({float(error):.2f}), plain {float(samples.mean()):.2f} ")
    out(f"({float(samples.std()) / math.sqrt(asked.probes):.2f}); a single probe's spread ")
    out(f"{spread(error, asked.probes):.1f}, plain {float(samples.std()):.1f}\n")
    failed = abs(theirs[0] / ours[0] - 1) > 0.01
    for goal in ERRORS:
        mine = OURS.steps + needed(spread(error, asked.probes), float(trace), goal)
        plain = powers + needed(float(samples.std()), float(trace), goal)
        failed |= plain < GOAL * mine
        out(f"{goal:.0%} of the trace: {mine} products, PyHessian's rule {plain}: {plain / mine:.1f} times fewer ")
        out(f"(goal {GOAL:g})\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
