"""Fog: a plasma fractal over the image (Hendrycks & Dietterich 2019)."""

import torch
from torch import Tensor

from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import shrunk
from ticketsearch.data.corruptions.pixels import truncated
from ticketsearch.data.corruptions.tables import canvas

ROUGH = 100.0
"""The first wobble of the fractal; it only counts against the ones that follow."""


def fog(case: Case) -> Tensor:
    """c[0] times a fractal whose wobbles shrink by c[1] an octave, scaled so that white stays white."""
    high, wide = canvas(*case.size)
    side = 1 << (max(high, wide) - 1).bit_length()
    drawn = case.draws.uniform(side * side - 1) * 2 - 1
    layer = shrunk(plasma(drawn, side, case.c[1])[:, None, :high, :wide], case.size)
    levels = case.images.float()
    most = levels.amax((1, 2, 3), keepdim=True)
    return truncated((levels + layer * (case.c[0] * 255)) * (most / (most + case.c[0] * 255)))


def plasma(drawn: Tensor, side: int, decay: float) -> Tensor:
    """A diamond-square height map in [0, 1] (Fournier et al. 1982) that joins itself at the borders, [n, side, side].

    Each new point is the mean of its four neighbours plus w^2 times a number, w being 100 and divided by `decay` from
    one octave to the next.

    Args:
        drawn: numbers in [-1, 1), [n, side^2 - 1], in the order of use.
        side: a power of two.
        decay: above 1.
    """
    points = torch.zeros(len(drawn), side, side, device=drawn.device)
    step, wobble = side, ROUGH
    while step >= 2:
        mid, count = step // 2, (side // step) ** 2
        noise = (drawn[:, : 3 * count] * wobble**2).view(len(drawn), 3, side // step, side // step)
        drawn = drawn[:, 3 * count :]
        corners = points[:, ::step, ::step]
        sums = corners + corners.roll(-1, 1)
        squares = points[:, mid::step, mid::step] = (sums + sums.roll(-1, 2)) / 4 + noise[:, 0]
        above, left = squares + squares.roll(1, 1), squares + squares.roll(1, 2)
        points[:, ::step, mid::step] = (above + corners + corners.roll(-1, 2)) / 4 + noise[:, 1]
        points[:, mid::step, ::step] = (left + corners + corners.roll(-1, 1)) / 4 + noise[:, 2]
        step, wobble = mid, wobble / decay
    points -= points.amin((1, 2), keepdim=True)
    return points / points.amax((1, 2), keepdim=True)
