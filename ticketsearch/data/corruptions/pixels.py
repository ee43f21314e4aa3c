"""From floats to pixels, and from colours to grey.

The published code computes on [0, 1], multiplies by 255, clips, and casts to uint8, which drops the fraction.
"""

import torch
from torch import Tensor

GUARD = 2.0**-10
"""Levels added before the fraction is dropped: a whole number that float32 missed by its rounding stays that number."""
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def truncated(levels: Tensor) -> Tensor:
    """Levels in float32, 255 being white, as uint8: clipped, and then the fraction of the exact value is dropped."""
    return levels.add(GUARD).clamp_(0, 255).to(torch.uint8)


def cut(levels: Tensor) -> Tensor:
    """Levels in float64, as uint8: clipped, and the fraction dropped as it is, rounding errors of 1e-14 included.

    Where exact values are whole numbers, those errors decide; they are those of the published code if each operation
    is.
    """
    return levels.clamp(0, 255).to(torch.uint8)


def rounded(levels: Tensor) -> Tensor:
    """Levels as uint8, each the nearest: what ImageMagick stores."""
    return levels.clamp(0, 255).round_().to(torch.uint8)


def unit(images: Tensor) -> Tensor:
    """Pixels as float64 in [0, 1]."""
    return images.double() / 255


def grey(colours: Tensor) -> Tensor:
    """Luma [n, 1, H, W] of colours [n, 3, H, W]; one channel is its own."""
    if colours.shape[1] == 1:
        return colours
    r, g, b = colours.unbind(1)
    return (r * GREY[0] + g * GREY[1] + b * GREY[2]).unsqueeze(1)


def like(colours: Tensor, images: Tensor) -> Tensor:
    """A layer in colours [n or 1, 3, H, W] as one for these images: itself, or grey where they have one channel."""
    return grey(colours) if images.shape[1] == 1 else colours
