"""Edges of grey layers, and how far each pixel is from one: what spatter needs of OpenCV."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

TAN = 0.4142135623730951
"""The tangent of 22.5 degrees: steeper and flatter than it, an edge has another direction."""
STEPS = {(0, 1): 1.0, (1, 1): 1.4, (1, 2): 2.1969}
"""Lengths of the moves of the 5 x 5 distance transform (Borgefors 1986), by the sizes of their parts in order."""


def canny(layer: Tensor, low: float, high: float) -> Tensor:
    """Edges (Canny 1986), bool [n, 1, H, W]: Sobel gradients, the largest across their direction, above `high` or
    joined to such ones above `low`. Gradient sizes are |x| + |y|.

    Args:
        layer: whole levels [n, 1, H, W].
        low: of the gradient.
        high: of the gradient.
    """
    gx, gy = _sobel(layer)
    strength = gx.abs() + gy.abs()
    thin = (strength > low) & _largest(strength, gx, gy)
    joined = thin & (strength > high)
    while True:
        more = (F.max_pool2d(joined.float(), 3, 1, 1) > 0) & thin
        if torch.equal(more, joined):
            return joined
        joined = more


def _sobel(layer: Tensor) -> tuple[Tensor, Tensor]:
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=layer.device)
    both = F.conv2d(F.pad(layer, (1, 1, 1, 1), mode="replicate"), torch.stack([kernel, kernel.T])[:, None])
    return both[:, :1], both[:, 1:]


def _largest(strength: Tensor, gx: Tensor, gy: Tensor) -> Tensor:
    """Where no neighbour along the gradient is stronger. Of two equal ones, flat and steep directions take the first,
    as OpenCV does.
    """
    around = F.pad(strength, (1, 1, 1, 1))
    high, wide = strength.shape[2:]

    def at(y: int, x: int) -> Tensor:
        return around[:, :, 1 + y : 1 + y + high, 1 + x : 1 + x + wide]

    flat = (strength > at(0, -1)) & (strength >= at(0, 1))
    steep = (strength > at(-1, 0)) & (strength >= at(1, 0))
    falling = (strength > at(-1, -1)) & (strength > at(1, 1))
    rising = (strength > at(-1, 1)) & (strength > at(1, -1))
    slope, run = gy.abs(), gx.abs()
    slanted = torch.where((gx < 0) ^ (gy < 0), rising, falling)
    return torch.where(slope < run * TAN, flat, torch.where(slope > run * (TAN + 2), steep, slanted))


def distance(edges: Tensor, most: float) -> Tensor:
    """The length of the shortest way from each pixel to an edge, up to `most`, float32 [n, 1, H, W]."""
    found = torch.where(edges, 0.0, most)
    high, wide = edges.shape[2:]
    moves = [
        (y, x, STEPS[min(abs(y), abs(x)), max(abs(y), abs(x))])
        for y, x in product(range(-2, 3), repeat=2)
        if (min(abs(y), abs(x)), max(abs(y), abs(x))) in STEPS
    ]
    while True:
        around, nearer = F.pad(found, (2, 2, 2, 2), value=most), found.clone()
        step = torch.empty_like(found)
        for y, x, length in moves:
            torch.add(around[:, :, 2 + y : 2 + y + high, 2 + x : 2 + x + wide], length, out=step)
            torch.minimum(nearer, step, out=nearer)
        if torch.equal(nearer, found):
            return found
        found = nearer
