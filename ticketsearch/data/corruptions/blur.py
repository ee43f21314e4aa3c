"""Blurs that are the same for every image: gaussian, defocus and zoom (Hendrycks & Dietterich 2019)."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from ticketsearch.data.corruptions import kernels
from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import Numbers, Pairs
from ticketsearch.data.corruptions.pixels import truncated

REACH = 4.0
"""Where scikit-image cuts a Gaussian off, in deviations."""


def gaussian_blur(case: Case) -> Tensor:
    """A Gaussian of c[0] pixels; the border is repeated (scikit-image's default)."""
    return truncated(smooth(case.images.float(), case.c[0], case.scale))


def smooth(levels: Tensor, sigma: float, scale: float = 1.0) -> Tensor:
    """Levels [n, C, H, W] under scikit-image's Gaussian of `sigma` pixels."""
    size = levels.shape[2], levels.shape[3]
    return kernels.apply(kernels.gaussian((sigma, sigma), size, kernels.edge, REACH, scale), levels)


def defocus_blur(case: Case) -> Tensor:
    """A disk of radius c[0], its rim smoothed by a Gaussian of c[1]; the border is mirrored (OpenCV's default)."""
    return truncated(kernels.apply(_defocus(*case.c, case.size, case.scale), case.images.float()))


@lru_cache(16)
def _defocus(radius: float, rim: float, size: tuple[int, int], scale: float) -> Pairs:
    return kernels.plane(disk(radius, rim), size, kernels.mirror, scale)


def disk(radius: float, rim: float) -> Numbers:
    """The published kernel, float64 [k, k]: a disk on a grid that reaches 8 pixels, or its radius, under a Gaussian of
    3 x 3 taps, or 5 x 5 beyond a radius of 8.
    """
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    line = np.arange(-reach, reach + 1.0)
    inside = (line**2 + line[:, None] ** 2 <= radius**2).astype(np.float64)
    weights = np.exp(-0.5 * (np.arange(taps) - taps // 2) ** 2 / rim**2)
    soft = kernels.matrix(weights / weights.sum(), len(line), kernels.mirror)
    return soft @ (inside / inside.sum()) @ soft.T


def zoom_blur(case: Case, *, centred: bool) -> Tensor:
    """The mean of the image and of its zooms from 1 up to c[0] in steps of c[1], as numpy's arange counts them: c[0] is
    among them where rounding lets it.

    Args:
        case: the images.
        centred: cut what zooming makes too large off on all sides, as the published code does; or below and on the
            right alone, as `imagecorruptions`.
    """
    pairs = _zooms(*case.c, case.size, centred, case.scale < 1)
    return truncated(kernels.apply(pairs, case.images.float()))


@lru_cache(16)
def _zooms(stop: float, step: float, size: tuple[int, int], centred: bool, sampled: bool) -> Pairs:
    zooms = np.arange(1, stop, step)
    share = 1 / (len(zooms) + 1)
    pairs = [(np.eye(size[0]) * share, np.eye(size[1]))]
    for zoom in zooms:
        a, b = (near(n, zoom) if sampled else trimmed(enlarged(n, zoom), n, centred) for n in size)
        pairs.append((a * share, b))
    return kernels.short(pairs)


def trimmed(zoom: Numbers, size: int, centred: bool) -> Numbers:
    """`size` rows of an enlargement: the middle ones, or the first."""
    first = (len(zoom) - size) // 2 if centred else 0
    return zoom[first : first + size]


def enlarged(size: int, zoom: float) -> Numbers:
    """The middle of an axis enlarged, [size' >= size, size]: linear between whole pixels, end to end.

    As scipy.ndimage.zoom (order 1) does it with the middle ceil(size / zoom) pixels, a last position that rounding puts
    behind the last pixel included: it is black.
    """
    kept = int(np.ceil(size / zoom))
    top, long = (size - kept) // 2, round(kept * zoom)
    where = np.arange(long) * ((kept - 1) / (long - 1))
    low = np.floor(where).astype(np.int64)
    found, rows = np.zeros((long, size)), np.arange(long)
    inside = where <= kept - 1
    for at, share in ((low, 1 - (where - low)), (np.minimum(low + 1, kept - 1), where - low)):
        np.add.at(found, (rows[inside], top + at[inside]), share[inside])
    return found


def near(size: int, zoom: float) -> Numbers:
    """The same by positions, [size, size]: pixel i is what lies at 1 / zoom of its distance from the centre."""
    centre = (size - 1) / 2
    where = centre + (np.arange(size) - centre) / zoom
    return np.maximum(0, 1 - np.abs(where[:, None] - np.arange(size)))
