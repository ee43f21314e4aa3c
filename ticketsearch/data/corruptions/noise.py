"""Noise: gaussian, shot, impulse and speckle (Hendrycks & Dietterich 2019)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ticketsearch.data.corruptions.case import Case

GUIDE = 4096
"""Equal parts of [0, 1) for which the first candidate of an inverse distribution function is written down."""


def gaussian_noise(case: Case) -> Tensor:
    """Normal noise of deviation c[0] of the range, for each channel of each pixel."""
    noise = case.draws.normal(*case.images.shape[1:])
    return noise.mul_(case.c[0] * 255).add_(case.images).clamp_(0, 255).to(torch.uint8)


def speckle_noise(case: Case) -> Tensor:
    """Normal noise of deviation c[0] times the pixel."""
    noise = case.draws.normal(*case.images.shape[1:])
    return noise.mul_(case.c[0]).add_(1).mul_(case.images).clamp_(0, 255).to(torch.uint8)


def impulse_noise(case: Case) -> Tensor:
    """A share of c[0] of the values becomes white or black, each as likely, for each channel by itself."""
    drawn = case.draws.uniform(*case.images.shape[1:])
    white = drawn < case.c[0] / 2
    return case.images.masked_fill(drawn < case.c[0], 0).masked_fill_(white, 255)


@dataclass(frozen=True)
class Poisson:
    """Poisson numbers by inversion, for the 256 values that a pixel can have.

    Attributes:
        most: the largest number that is looked at; beyond it lies less than 1e-15.
        below: float64 [256 * (most + 1)], the probabilities of at most k events.
        guide: int16 [256 * GUIDE], the smallest k that the uniform numbers of each part can mean.
        level: uint8 [most + 1], the pixel that k events make.
    """

    most: int
    below: Tensor
    guide: Tensor
    level: Tensor


@lru_cache(8)
def _poisson(photons: float) -> Poisson:
    from scipy.special import pdtr  # takes half a second, and composing corrupts nothing

    most = int(photons + 12 * photons**0.5 + 30)
    below = pdtr(np.arange(most + 1.0), np.arange(256)[:, None] / 255.0 * photons)
    below[:, -1] = 1.0
    parts = np.arange(GUIDE) / GUIDE
    guide = np.stack([np.searchsorted(row, parts, side="right") for row in below])
    level = (np.clip(np.arange(most + 1) / photons, 0, 1) * 255).astype(np.uint8)
    return Poisson(most, *(torch.from_numpy(table.ravel()) for table in (below, guide.astype(np.int16), level)))


def shot_noise(case: Case) -> Tensor:
    """Photons of which c[0] make white: Poisson counts of that mean times the pixel, over c[0].

    One uniform number a value, turned by the inverse distribution function: the count is the smallest k with
    P(at most k) > u. The numbers an image takes then do not depend on the other images.
    """
    table, cpu = _poisson(case.c[0]), case.images.cpu().flatten().long()
    drawn = case.draws.uniform(*case.images.shape[1:], dtype=torch.float64).cpu().flatten()
    count = table.guide.take((drawn * GUIDE).long().add_(cpu, alpha=GUIDE)).long()
    row = cpu.mul_(table.most + 1)
    above = (table.below.take(row + count) <= drawn).nonzero().squeeze(1)
    while len(above):
        count[above] += 1
        above = above[table.below[row[above] + count[above]] <= drawn[above]]
    return table.level[count].view(case.images.shape).to(case.images.device)
