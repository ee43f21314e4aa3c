"""Pixelate: fewer pixels and back (Hendrycks & Dietterich 2019), as Pillow's `resize` computes it, bit for bit."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import Numbers

ONE = 2**22
"""Pillow's weights are whole numbers of this part."""


def pixelate(case: Case, *, nearest: bool) -> Tensor:
    """Down to c[0] of each side by a box filter, and up again.

    Args:
        case: the images.
        nearest: up by the nearest pixel, as `imagecorruptions` does; or by the box filter, as published.
    """
    small = tuple(int(side * case.c[0]) for side in case.size)
    shrunk = _resized(case.images, (small[0], small[1]))
    return _nearest(shrunk, case.size) if nearest else _resized(shrunk, case.size)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Along the width, then along the height, rounded to whole levels after each."""
    columns, rows = (box(old, new).to(images.device) for old, new in zip(images.shape[:1:-1], size[::-1], strict=True))
    across = _rounded(images.double() @ columns.T)
    return _rounded(rows @ across).to(torch.uint8)


def _rounded(levels: Tensor) -> Tensor:
    return levels.add_(ONE // 2).div_(ONE).floor_()


@lru_cache(32)
def box(old: int, new: int) -> Tensor:
    """Pillow's box filter from `old` to `new` pixels, float64 [new, old], in parts of ONE; whole numbers."""
    ratio = old / new
    wide = max(ratio, 1.0)
    centre = (np.arange(new) + 0.5)[:, None] * ratio
    first, last = (centre - 0.5 * wide + 0.5).astype(int), (centre + 0.5 * wide + 0.5).astype(int)
    at = np.arange(old)
    where = (at - centre + 0.5) / wide
    weights: Numbers = ((where > -0.5) & (where <= 0.5) & (at >= first) & (at < last)).astype(np.float64)
    return torch.from_numpy(np.floor(weights / weights.sum(1, keepdims=True) * ONE + 0.5))


def _nearest(images: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        torch.from_numpy(((np.arange(new) + 0.5) * (old / new)).astype(np.int64)).to(images.device)
        for old, new in zip(images.shape[2:], size, strict=True)
    )
    return images[:, :, rows[:, None], columns]
