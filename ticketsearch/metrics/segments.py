"""Superpixels: the parts of an image that a local explanation switches on and off."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

How = Literal["auto", "felzenszwalb", "quickshift", "blocks"]
SMALL, LARGE = 28, 128
"""Sides in pixels from which there are superpixels, and from which they are quickshift's. Of photographs of 224 pixels
the settings of felzenszwalb make 350 to 760 segments, for which a thousand samples are few, and those of quickshift
about 40; of 96 pixels about 110 and 7.
"""


def segmented(images: Tensor, how: How) -> Tensor:
    """The segment of every pixel. They are found in the images alone, each image's once in a process.

    Args:
        images: uint8 [N, C, H, W]; of one channel, or of three.
        how: `felzenszwalb`: graph-based (Felzenszwalb & Huttenlocher 2004) with scale 10, sigma 0.4 and no segment
            below 20 pixels, as the code released with Chen et al. (2022) does for CIFAR; `quickshift`: modes of colour
            and place (Vedaldi & Soatto 2008) with kernel 4, distance 200 and ratio 0.2, as that does for ImageNet, by
            LIME's default; `blocks`: squares of 2x2 pixels; `auto`: blocks below a smaller side of 28 pixels,
            quickshift from 128, else felzenszwalb.

    Returns:
        int64 [N, H, W] on the images' device, numbered from 0 in each image.
    """
    chosen = chosen_for(tuple(images.shape[2:]), how)
    pictures = images.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    found = [_numbered(picture.tobytes(), picture.shape, chosen) for picture in pictures]
    return torch.stack(found).to(images.device)


def chosen_for(sides: tuple[int, ...], how: How) -> How:
    """What `auto` is for images of these sides."""
    if how != "auto":
        return how
    return "blocks" if min(sides) < SMALL else "felzenszwalb" if min(sides) < LARGE else "quickshift"


@lru_cache(maxsize=1000)
def _numbered(pixels: bytes, shape: tuple[int, int, int], how: How) -> Tensor:
    """The segments of one image, uint8 [H, W, C] as bytes: int64 [H, W]."""
    picture = np.frombuffer(pixels, np.uint8).reshape(shape)
    if shape[2] == 1:  # LIME makes three equal channels of one: distances of colours grow by the root of three
        picture = picture.repeat(3, 2)
    _, numbers = np.unique(_HOW[how](picture), return_inverse=True)
    return torch.from_numpy(numbers.reshape(shape[:2]).astype(np.int64))


def _felzenszwalb(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(picture, scale=10, sigma=0.4, min_size=20)


def _quickshift(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from skimage.segmentation import quickshift

    return quickshift(picture, kernel_size=4, max_dist=200, ratio=0.2, rng=0)  # breaks ties; LIME draws its seed


def _blocks(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = picture.shape[:2]
    return np.arange(height)[:, None] // 2 * width + np.arange(width) // 2


_HOW: dict[How, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "felzenszwalb": _felzenszwalb,
    "quickshift": _quickshift,
    "blocks": _blocks,
}
