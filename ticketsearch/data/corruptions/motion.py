"""Motion blur along a line that has another angle for each image."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import windows
from ticketsearch.data.corruptions.pixels import rounded, truncated


def motion_blur(case: Case, *, magick: bool) -> Tensor:
    """A half Gaussian of deviation c[1] over 2 c[0] + 1 pixels, at an angle between -45 and 45 degrees.

    Args:
        case: the images.
        magick: round to the nearest level, as ImageMagick stores it and CIFAR-10-C was made; or drop the fraction, as
            `imagecorruptions` does.
    """
    angle = between(case.draws.uniform(dtype=torch.float64), -45, 45)
    blurred = along(case.images.float(), angle, int(case.c[0]), case.c[1], case.scale)
    return rounded(blurred) if magick else truncated(blurred)


def between(uniform: Tensor, low: float, high: float) -> Tensor:
    """Numbers in [0, 1) stretched to [low, high)."""
    return low + (high - low) * uniform


def along(levels: Tensor, angle: Tensor, radius: int, sigma: float, scale: float = 1.0) -> Tensor:
    """What ImageMagick's motion blur does: a sum of shifted images whose border is repeated.

    Tap k of 2 radius + 1 weighs exp(-k^2 / 2 sigma^2) and lies at the whole pixel next to k steps along the line. A tap
    that leaves the image is lost together with its weight, as in `imagecorruptions`; with the numbers of CIFAR-10-C
    none does. ImageMagick's rounding to 16 bits in between is left out.

    Args:
        levels: float32 [n, C, H, W].
        angle: float64 [n] in degrees.
        radius: in pixels.
        sigma: in pixels.
        scale: of the offsets; one between pixels is shared by the four around it.
    """
    steps = torch.arange(2 * radius + 1, dtype=torch.float64, device=levels.device)
    turned = torch.deg2rad(angle)[:, None]
    shifts = torch.stack([(steps * torch.sin(turned) - 0.5).ceil(), (steps * torch.cos(turned) - 0.5).ceil()])
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    return _sum(levels, shifts * scale, weights / weights.sum())


def _sum(levels: Tensor, shifts: Tensor, weights: np.ndarray) -> Tensor:
    """The weighted sum over the taps; shifts are [2, n, taps], rows and columns."""
    size = levels.shape[2], levels.shape[3]
    low = shifts.floor()
    share = shifts - low
    inside = (shifts[0].abs() < size[0]) & (shifts[1].abs() < size[1])
    (top, bottom), (left, right) = ((max(0, -int(s.min())), max(0, int(s.max()) + 1)) for s in low)
    padded = F.pad(levels, (left, right, top, bottom), mode="replicate")
    which, total = torch.arange(len(levels), device=levels.device), torch.zeros_like(levels)
    rows, columns = low[0].long() + top, low[1].long() + left
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)) if share.any() else ((0, 0),):
        near = ((share[0] if y else 1 - share[0]) * (share[1] if x else 1 - share[1]) * inside).float()
        for tap, weight in enumerate(weights.tolist()):
            part = windows(padded, which, rows[:, tap] + y, columns[:, tap] + x, size)
            total.addcmul_(part, (near[:, tap] * weight).view(-1, 1, 1, 1))
    return total
