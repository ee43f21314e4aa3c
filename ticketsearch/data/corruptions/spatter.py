"""Spatter: drops of water or of mud (Hendrycks & Dietterich 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ticketsearch.data.corruptions.blur import smooth
from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.edges import canny, distance
from ticketsearch.data.corruptions.kernels import shrunk
from ticketsearch.data.corruptions.pixels import GUARD, like, truncated
from ticketsearch.data.corruptions.tables import canvas

WATER = (175.0, 238.0, 238.0)
MUD = (63.0, 42.0, 20.0)
FAR = 20.0
"""Pixels from an edge beyond which water is as deep everywhere."""
RELIEF = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))
"""What lights the drops from one side."""


def spatter(case: Case) -> Tensor:
    """Drops where smoothed normal noise (mean c[0], deviation c[1], Gaussian of c[2] pixels) is above c[3]: of water
    with strength c[4] where c[5] is 0, of mud under a Gaussian of c[4] pixels where it is 1.

    Where the noise makes no drop, the published code divides zero by zero; here such an image stays as it is.
    """
    noise = case.draws.normal(1, *canvas(*case.size)).mul_(case.c[1]).add_(case.c[0])
    liquid = smooth(noise, case.c[2])
    liquid = torch.where(liquid < case.c[3], 0, liquid)
    levels = case.images.float()
    if case.c[5]:
        share = shrunk(_mud(liquid > case.c[3], case.c[4]), case.size)
        return truncated(levels * (1 - share) + _colour(MUD, case.images) * share)
    share = shrunk(_water(liquid) * case.c[4], case.size)
    return truncated(levels + _colour(WATER, case.images) * share)


def _colour(colour: tuple[float, ...], images: Tensor) -> Tensor:
    return like(torch.tensor(colour, device=images.device).view(1, 3, 1, 1), images)


def _mud(drops: Tensor, sigma: float) -> Tensor:
    soft = smooth(drops.float(), sigma)
    return torch.where(soft < 0.8, 0, soft)


def _water(liquid: Tensor) -> Tensor:
    """How much of the colour of water each pixel gets, [n, 1, H, W] in [0, 1]: the drops, deeper away from their edges,
    in relief. The steps are those of the published code, which takes them from OpenCV.
    """
    layer = (liquid * 255 + GUARD).floor().clamp_(0, 255)
    depth = _box(distance(canny(layer, 50, 150), FAR).double()).floor_().float()
    relief = torch.tensor(RELIEF, device=depth.device).view(1, 1, 3, 3)
    lit = F.conv2d(F.pad(_equalised(depth), (1, 1, 1, 1), mode="reflect"), relief).clamp_(0, 255)
    water = layer * _box(lit).round_()
    most = water.amax((1, 2, 3), keepdim=True)
    return water / torch.where(most == 0, 1, most)


def _box(levels: Tensor) -> Tensor:
    """The mean of 3 x 3, mirrored."""
    return F.avg_pool2d(F.pad(levels, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _equalised(levels: Tensor) -> Tensor:
    """Histogram equalisation of whole levels (OpenCV): the darkest level that occurs becomes 0, the brightest 255."""
    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), 256, device=flat.device).scatter_add_(1, flat, torch.ones_like(flat).float())
    total = flat.shape[1]
    below = counts.cumsum(1)
    darkest = counts.gather(1, flat.amin(1, keepdim=True))
    table = ((below - darkest) * (255 / (total - darkest))).round()
    return torch.where(darkest == total, levels.flatten(1), table.gather(1, flat)).view_as(levels)
