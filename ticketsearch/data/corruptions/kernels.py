"""Blurs as matrices: a separable one is A X B', any other a short sum of those.

A product of two small matrices for a whole batch is tens of times faster than a convolution of each image with a wide
kernel, and the border is a matter of where a weight is put.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Numbers = np.ndarray
"""float64."""
Border = Callable[[Numbers, int], Numbers]
"""Positions outside of an axis of that size -> those inside that are taken for them."""
Pairs = tuple[tuple[Tensor, Tensor], ...]
"""Terms A X B' of a sum: A float32 [H', H], B float32 [W', W]."""


def edge(at: Numbers, size: int) -> Numbers:
    """The last pixel again and again: a b | b b."""
    return np.clip(at, 0, size - 1)


def mirror(at: Numbers, size: int) -> Numbers:
    """Reflected at the centre of the last pixel: a b c | b a."""
    folded = np.abs(at) % max(2 * (size - 1), 1)
    return np.minimum(folded, 2 * (size - 1) - folded)


def half(at: Numbers, size: int) -> Numbers:
    """Reflected behind the last pixel: a b c | c b."""
    folded = at % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def normal_taps(sigma: float, truncate: float) -> Numbers:
    """Weights of a sampled Gaussian [2 r + 1] with r = truncate * sigma, rounded, as scipy.ndimage has them."""
    radius = int(truncate * sigma + 0.5)
    taps = np.exp(-0.5 / max(sigma, 1e-15) ** 2 * np.arange(-radius, radius + 1.0) ** 2)
    return taps / taps.sum()


def matrix(taps: Numbers, size: int, border: Border, scale: float = 1.0) -> Numbers:
    """The correlation with taps [2 r + 1] along an axis, [size, size]; offsets are multiplied by `scale`, and a tap
    that falls between two pixels is shared by both.
    """
    radius = len(taps) // 2
    where = np.arange(size)[:, None] + scale * np.arange(-radius, radius + 1)
    low = np.floor(where)
    found = np.zeros((size, size))
    rows = np.broadcast_to(np.arange(size)[:, None], where.shape)
    for shift, share in ((0, 1 - (where - low)), (1, where - low)):
        np.add.at(found, (rows, border(low + shift, size).astype(np.int64)), taps * share)
    return found


def short(pairs: Sequence[tuple[Numbers, Numbers]]) -> Pairs:
    """A sum of few terms that is the sum of these up to 1e-7 of its largest (Van Loan & Pitsianis 1993)."""
    rows, columns = (np.stack([pair[side].ravel() for pair in pairs], 1) for side in (0, 1))
    (q, r), (p, s) = np.linalg.qr(rows), np.linalg.qr(columns)
    u, size, v = np.linalg.svd(r @ s.T)
    kept = int((size > 1e-7 * size[0]).sum())
    left, right = q @ (u[:, :kept] * size[:kept]), p @ v[:kept].T
    shapes = pairs[0][0].shape, pairs[0][1].shape
    return tuple(
        (_single(a.reshape(shapes[0])), _single(b.reshape(shapes[1]))) for a, b in zip(left.T, right.T, strict=True)
    )


def _single(numbers: Numbers) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers, np.float32))


@lru_cache(64)
def gaussian(
    sigmas: tuple[float, float], size: tuple[int, int], border: Border, truncate: float, scale: float = 1.0
) -> Pairs:
    """A Gaussian of these deviations along height and width."""
    a, b = (matrix(normal_taps(s, truncate), n, border, scale) for s, n in zip(sigmas, size, strict=True))
    return ((_single(a), _single(b)),)


def plane(kernel: Numbers, size: tuple[int, int], border: Border, scale: float = 1.0) -> Pairs:
    """The correlation with a kernel [k, k], k odd, as few separable ones."""
    u, weights, v = np.linalg.svd(kernel)
    kept = weights > 1e-7 * weights[0]
    return tuple(
        (_single(matrix(a * w, size[0], border, scale)), _single(matrix(b, size[1], border, scale)))
        for a, w, b in zip(u.T[kept], weights[kept], v[kept], strict=True)
    )


def apply(pairs: Pairs, images: Tensor) -> Tensor:
    """The sum of A X B' over the pairs, of float32 [..., H, W]."""
    (a, b), *others = pairs
    found = a.to(images.device) @ (images @ b.to(images.device).T)
    for a, b in others:
        found += a.to(images.device) @ (images @ b.to(images.device).T)
    return found


def shrunk(layer: Tensor, size: tuple[int, int]) -> Tensor:
    """A layer [n, C, H', W'] averaged down to [n, C, H, W]; the same where the sizes are."""
    return layer if layer.shape[2:] == size else F.adaptive_avg_pool2d(layer, size)


def windows(images: Tensor, image: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """Rectangles [n, C, *size] of images [m, C, H, W], each of one image and from one corner on.

    Args:
        images: contiguous.
        image: int64 [n], which.
        top: int64 [n], its first row.
        left: int64 [n], its first column.
        size: rows and columns; they lie inside.
    """
    _, channels, rows, columns = images.shape
    starts = (image * channels * rows + top) * columns + left
    count = images.numel() - ((channels - 1) * rows + size[0] - 1) * columns - size[1] + 1
    every = images.as_strided((count, channels, *size), (1, rows * columns, columns, 1))
    return every.index_select(0, starts)
