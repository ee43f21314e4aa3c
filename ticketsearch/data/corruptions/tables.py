"""The published severities of Hendrycks & Dietterich (2019), and how lengths follow the size of an image.

`cifar` is what CIFAR-10-C was made with (hendrycks/robustness, `ImageNet-C/create_c/make_cifar_c.py`), `imagenet` what
ImageNet-C was made with (`make_imagenet_c.py`, there), in the form that the package `imagecorruptions` gives it for
images of any size: it differs in elastic_transform, which has no affine part and whose lengths are shares of the side,
and where layers are cut off at a corner.

Lengths of `cifar` are pixels of an image whose shorter side has 32. Smaller images see the same scene with fewer
pixels, so that lengths shrink by `scale`:

- blur kernels (gaussian, defocus, motion, and those within glass_blur): each tap moves to `scale` times its offset and
  is shared between the pixels around it, in proportion to how near they are;
- glass_blur: a pixel is moved with probability `scale`, since one pixel is the least that it can move;
- zoom_blur: zooms have no length; they are sampled at the zoomed positions, where whole pixels would be too coarse;
- elastic_transform: displacements are made on `canvas` and shrunk;
- snow, frost, fog and spatter: the layer is made on `canvas` and averaged down to the image;
- pixelate: the grid is a share of the side, rounded down to whole pixels, so that two severities can be one at 8x8;
- noise, colours and JPEG have no lengths, or those of their format (blocks of 8x8).

Larger images keep the lengths of 32 pixels, as `imagenet` keeps its own from 32 pixels on.
"""

from collections.abc import Mapping
from typing import Literal

Table = Literal["cifar", "imagenet"]
"""Whose severities."""
Constants = tuple[float, ...]
"""The numbers of one severity."""

KINDS: tuple[str, ...] = (
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The 15 corruptions of the benchmark, in the paper's order."""
EXTRA: tuple[str, ...] = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The four that the paper keeps for validation."""
SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 32
"""The shorter side in pixels at which lengths are the published ones."""


def scale(height: int, width: int) -> float:
    """By how much the lengths of an image of this size shrink, in (0, 1]."""
    return min(1.0, min(height, width) / SIDE)


def canvas(height: int, width: int) -> tuple[int, int]:
    """Height and width on which layers of an image of this size are made: its own from 32 pixels on."""
    shrink = scale(height, width)
    return round(height / shrink), round(width / shrink)


def _single(*values: float) -> tuple[Constants, ...]:
    return tuple((value,) for value in values)


CONSTANTS: Mapping[Table, Mapping[str, tuple[Constants, ...]]] = {
    "cifar": {
        "gaussian_noise": _single(0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": _single(500, 250, 100, 75, 50),
        "impulse_noise": _single(0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle_noise": _single(0.06, 0.1, 0.12, 0.16, 0.2),
        "gaussian_blur": _single(0.4, 0.6, 0.7, 0.8, 1),
        "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "contrast": _single(0.75, 0.5, 0.4, 0.3, 0.15),
        "brightness": _single(0.05, 0.1, 0.15, 0.2, 0.3),
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "jpeg_compression": _single(80, 65, 58, 50, 40),
        "pixelate": _single(0.95, 0.9, 0.85, 0.75, 0.65),
        "elastic_transform": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
    },
    "imagenet": {
        "gaussian_noise": _single(0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": _single(60, 25, 12, 5, 3),
        "impulse_noise": _single(0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": _single(0.15, 0.2, 0.35, 0.45, 0.6),
        "gaussian_blur": _single(1, 2, 3, 4, 6),
        "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "spatter": (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "contrast": _single(0.4, 0.3, 0.2, 0.1, 0.05),
        "brightness": _single(0.1, 0.2, 0.3, 0.4, 0.5),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "jpeg_compression": _single(25, 18, 15, 10, 7),
        "pixelate": _single(0.6, 0.5, 0.4, 0.3, 0.25),
        "elastic_transform": _single(12.5, 16.25, 21.25, 25, 30),
    },
}
"""Table -> kind -> the numbers of severities 1 to 5; what they are is said where they are used."""
