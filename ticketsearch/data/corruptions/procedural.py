"""Frost that is grown from noise, for when the published pictures are not at hand."""

from functools import lru_cache

import torch
from torch import Tensor

from ticketsearch import seeding
from ticketsearch.data.corruptions.fog import plasma
from ticketsearch.data.corruptions.motion import along

COLOUR = (0.78, 0.89, 1.0)
"""Ice: a pale blue, as shares of white in red, green and blue."""
PICTURES = 6


@lru_cache(4)
def grown(size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Six pictures of needles of ice over a cloudy pane, float32 whole levels [3, s, s], s at least three times the
    longer side of an image of this size. They stand in for the published photographs and are not like any one of them;
    the same for ever.
    """
    side = 1 << (3 * max(size) - 1).bit_length()
    return tuple(_picture(number, side) for number in range(PICTURES))


def _picture(number: int, side: int) -> Tensor:
    rng = seeding.generator(0, "grown frost", number, side)
    panes = plasma(torch.rand(2, side * side - 1, generator=rng) * 2 - 1, side, 1.8)
    ridges = (1 - (2 * panes[1] - 1).abs() * 3).clamp_(0, 1)
    light = 0.35 + 0.35 * panes[0] + 0.35 * ridges + _needles(side, rng)
    levels = light.clamp(0, 1) * 255
    return (levels * torch.tensor(COLOUR).view(3, 1, 1)).round_()


def _needles(side: int, rng: torch.Generator) -> Tensor:
    """Lines in three directions of a hexagon, where crystals began at random, [side, side] in [0, 1]."""
    turn = 60 * torch.rand(1, generator=rng, dtype=torch.float64)
    angles = (turn + torch.tensor([0.0, 60.0, 120.0], dtype=torch.float64)).repeat(2)
    angles[3:] += 180
    seeds = (torch.rand(3, 1, side, side, generator=rng) < 0.004).float().repeat(2, 1, 1, 1)
    length = max(4, side // 12)
    lines = along(seeds, angles, length, length / 2)
    return (lines / lines.amax() * 0.6).sum((0, 1)).clamp_(0, 1)
