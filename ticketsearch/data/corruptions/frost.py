"""Frost: a part of a picture of frost over the image (Hendrycks & Dietterich 2019)."""

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.kernels import shrunk, windows
from ticketsearch.data.corruptions.pixels import cut, like
from ticketsearch.data.corruptions.procedural import grown
from ticketsearch.data.corruptions.tables import canvas
from ticketsearch.errors import DataMissing

NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
"""The pictures as published beside the code."""
SMALLER = 0.2
"""How much of their size the pictures keep for images of 32 pixels."""
LARGER = 1.1
"""By how much `imagecorruptions` enlarges them, after they cover the image."""


def frost_is_procedural(folder: Path | None) -> bool:
    """Whether frost is grown from noise (`procedural`), since no folder of pictures is given."""
    return folder is None


def missing(folder: Path | None) -> str:
    """Which of the pictures a folder lacks, by name; '' where there are all, or where none are wanted."""
    return "" if folder is None else " ".join(name for name in NAMES if not (folder / name).is_file())


def fingerprint(folder: Path | None) -> str:
    """SHA-256 of the pictures; '' without a folder.

    Raises:
        DataMissing: pictures are missing.
    """
    return "" if folder is None else _fingerprint(folder, _state(folder))


@lru_cache(4)
def _fingerprint(folder: Path, state: tuple[tuple[int, int], ...]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256((folder / n).read_bytes()).digest() for n in NAMES)).hexdigest()


def _demand(folder: Path) -> None:
    if lacking := missing(folder):
        what = f"frost pictures are missing in {folder}: {lacking}"
        raise DataMissing(
            what, "they lie in hendrycks/robustness, ImageNet-C/create_c; without a folder frost is grown"
        )


def frosted(case: Case, *, shrink: bool) -> Tensor:
    """c[0] times the image plus c[1] times a random part of a random picture.

    Args:
        case: the images. Without a folder of pictures, frost is grown from noise: other pictures than the published.
        shrink: five of the pictures at a fifth of their size, as CIFAR-10-C was made; or all six at 1.1 times the size
            at which they cover the image, as in `imagecorruptions`.
    """
    made = canvas(*case.size)
    pictures = grown(made) if case.frost is None else _pictures(case.frost, _state(case.frost), made, shrink)
    which, down, right = case.draws.uniform(3, dtype=torch.float64).unbind(1)
    chosen = (which * (5 if shrink else 6)).long()
    layer = torch.empty(len(chosen), 3, *made, device=chosen.device)
    for number, picture in enumerate(pictures):
        mine = (chosen == number).nonzero().squeeze(1)
        room = (picture.shape[1] - made[0], picture.shape[2] - made[1])
        top, left = ((part[mine] * most).long() for part, most in zip((down, right), room, strict=True))
        layer[mine] = windows(picture[None].to(mine.device), torch.zeros_like(mine), top, left, made)
    covered = like(shrunk(layer, case.size).double(), case.images)
    return cut(case.images.double().mul_(case.c[0]).add_(covered.mul_(case.c[1])))


def _state(folder: Path) -> tuple[tuple[int, int], ...]:
    """What changes when the pictures do: their sizes and times."""
    _demand(folder)
    found = [(folder / name).stat() for name in NAMES]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in found)


@lru_cache(4)
def _pictures(
    folder: Path, state: tuple[tuple[int, int], ...], size: tuple[int, int], shrink: bool
) -> tuple[Tensor, ...]:
    """The pictures as whole levels, float32 [3, H, W] each; transparency is left out."""
    return tuple(_resized(_read(folder / name), size, shrink) for name in NAMES)


def _read(path: Path) -> Tensor:
    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float()
    except OSError as error:
        raise DataMissing(f"{path} is no picture: {error}", "take it from hendrycks/robustness again") from error


def _resized(picture: Tensor, size: tuple[int, int], shrink: bool) -> Tensor:
    """As OpenCV's resize: bilinear to a fifth, or to what an image of more than 63 pixels needs; or bicubic. Neither
    averages over what it leaves out.
    """
    rows, columns = picture.shape[1:]
    if shrink:
        factor = max(SMALLER, (size[0] + 1) / rows, (size[1] + 1) / columns)
        found = F.interpolate(picture[None], scale_factor=factor, recompute_scale_factor=False, mode="bilinear")
    else:
        factor = max(1.0, size[0] / rows, size[1] / columns) * LARGER
        larger = (math.ceil(rows * factor), math.ceil(columns * factor))
        found = F.interpolate(picture[None], larger, mode="bicubic")
    return found[0].round_().clamp_(0, 255)
