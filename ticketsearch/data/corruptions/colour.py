"""Colours: brightness, contrast and saturation (Hendrycks & Dietterich 2019).

In float64 and in the order of scikit-image's colour conversion: with round constants many exact values are whole
numbers, and where the published code drops the fraction, its rounding errors are what decides between two levels.
"""

import torch
from torch import Tensor

from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.pixels import cut, unit

Channels = tuple[Tensor, Tensor, Tensor]
"""float64 [n, H, W] each, in [0, 1]."""
_ORDER = torch.tensor([[0, 1, 3, 3, 2, 0], [2, 0, 0, 1, 3, 3], [3, 3, 2, 0, 0, 1]])
"""Which of (v, q, t, p) red, green and blue are, in each sixth of the hue circle."""


def contrast(case: Case) -> Tensor:
    """The distance of each channel from its mean over the image, times c[0]."""
    pixels = unit(case.images)
    means = pixels.mean((2, 3), keepdim=True)
    return cut(pixels.sub_(means).mul_(case.c[0]).add_(means).mul_(255))


def brightness(case: Case) -> Tensor:
    """c[0] more value in HSV; in grey, which has no hue, c[0] more."""
    if case.images.shape[1] == 1:
        return cut((unit(case.images) + case.c[0]).clamp_(0, 1).mul_(255))
    h, s, v = to_hsv(case.images)
    return _pixels(h, s, (v + case.c[0]).clamp_(0, 1))


def saturate(case: Case) -> Tensor:
    """Saturation in HSV times c[0] plus c[1]. As published, a grey pixel has hue 0, so that c[1] makes it reddish."""
    h, s, v = to_hsv(case.images)
    return _pixels(h, (s * case.c[0]).add_(case.c[1]).clamp_(0, 1), v)


def to_hsv(images: Tensor) -> Channels:
    """Hue in turns, saturation and value of uint8 [n, 3, H, W]."""
    r, g, b = unit(images).unbind(1)
    v = torch.maximum(torch.maximum(r, g), b)
    delta = v - torch.minimum(torch.minimum(r, g), b)
    some = torch.where(delta == 0, 1.0, delta)
    h = torch.where(g == v, 2 + (b - r) / some, (g - b) / some)
    h = torch.where(b == v, 4 + (r - g) / some, h)
    h = torch.where(delta == 0, 0.0, torch.remainder(h / 6, 1.0))
    return h, torch.where(delta == 0, 0.0, delta / torch.where(delta == 0, 1.0, v)), v


def _pixels(h: Tensor, s: Tensor, v: Tensor) -> Tensor:
    """HSV as uint8 [n, 3, H, W]."""
    sixth = torch.floor(h * 6)
    f = h * 6 - sixth
    levels = torch.stack([v, v * (1 - f * s), v * (1 - (1 - f) * s), v * (1 - s)], 1).mul_(255)
    which = _ORDER.to(h.device)[:, sixth.long() % 6].movedim(0, 1)
    return cut(levels).gather(1, which)
