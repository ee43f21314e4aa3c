"""Snow: flakes that fall along lines, over a paler image (Hendrycks & Dietterich 2019)."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ticketsearch.data.corruptions import kernels
from ticketsearch.data.corruptions.blur import enlarged, trimmed
from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import Pairs, shrunk
from ticketsearch.data.corruptions.motion import along, between
from ticketsearch.data.corruptions.pixels import GUARD, grey, truncated
from ticketsearch.data.corruptions.tables import canvas


def snow(case: Case, *, magick: bool) -> Tensor:
    """Normal noise (mean c[0], deviation c[1]) enlarged c[2] times, what is below c[3] taken away, blurred along a line
    (radius c[4], deviation c[5], -135 to -45 degrees): once so, once turned round, over c[6] parts of the image and
    1 - c[6] of a whitened one.

    Args:
        case: the images.
        magick: the layer is an 8-bit picture that ImageMagick blurs, as CIFAR-10-C was made; or stays in floats until
            it is blurred, and is cut at the corner and not around the middle, as in `imagecorruptions`.
    """
    made = canvas(*case.size)
    noise = case.draws.normal(1, *made).mul_(case.c[1]).add_(case.c[0])
    flakes = kernels.apply(_enlargement(case.c[2], made, magick), noise)
    flakes = torch.where(flakes < case.c[3], 0, flakes).clamp_(0, 1).mul_(255)
    if magick:
        flakes.add_(GUARD).floor_()
    angle = between(case.draws.uniform(dtype=torch.float64), -135, -45)
    fallen = along(flakes, angle, int(case.c[4]), case.c[5]).round_()[:, :, : made[0], : made[1]]
    return _over(case, shrunk(fallen, case.size))


@lru_cache(16)
def _enlargement(zoom: float, size: tuple[int, int], trim: bool) -> Pairs:
    a, b = (enlarged(n, zoom) for n in size)
    if trim:
        a, b = trimmed(a, size[0], True), trimmed(b, size[1], True)
    return ((torch.from_numpy(a.astype(np.float32)), torch.from_numpy(b.astype(np.float32))),)


def _over(case: Case, layer: Tensor) -> Tensor:
    """The image under a layer [n, 1, H, W] of levels and the same one turned by 180 degrees."""
    levels = case.images.float()
    paler = torch.maximum(levels, grey(levels) * 1.5 + 127.5)
    return truncated(case.c[6] * levels + (1 - case.c[6]) * paler + layer + layer.rot90(2, (2, 3)))
