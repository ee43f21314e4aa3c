"""Corrupted images, of the 19 kinds of Hendrycks & Dietterich (2019)."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ticketsearch.data.corruptions.blur import defocus_blur, gaussian_blur, zoom_blur
from ticketsearch.data.corruptions.case import Case, Draws, block_size
from ticketsearch.data.corruptions.colour import brightness, contrast, saturate
from ticketsearch.data.corruptions.elastic import elastic_of_package, elastic_transform
from ticketsearch.data.corruptions.fog import fog
from ticketsearch.data.corruptions.frost import fingerprint, frosted, missing
from ticketsearch.data.corruptions.glass import glass_blur
from ticketsearch.data.corruptions.jpeg import jpeg_compression
from ticketsearch.data.corruptions.motion import motion_blur
from ticketsearch.data.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from ticketsearch.data.corruptions.pixelate import pixelate
from ticketsearch.data.corruptions.snow import snow
from ticketsearch.data.corruptions.spatter import spatter
from ticketsearch.data.corruptions.tables import CONSTANTS, EXTRA, KINDS, SEVERITIES, SIDE, Table
from ticketsearch.errors import UsageError, closest

SMALLEST = 8
"""The least pixels of a side: with fewer, blurs and grids come down to nothing."""
_SAME: Mapping[str, Callable[[Case], Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "glass_blur": glass_blur,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "jpeg_compression": jpeg_compression,
    "speckle_noise": speckle_noise,
    "gaussian_blur": gaussian_blur,
    "spatter": spatter,
    "saturate": saturate,
}
_METHODS: Mapping[Table, Mapping[str, Callable[[Case], Tensor]]] = {
    "cifar": {
        **_SAME,
        "motion_blur": partial(motion_blur, magick=True),
        "zoom_blur": partial(zoom_blur, centred=True),
        "snow": partial(snow, magick=True),
        "frost": partial(frosted, shrink=True),
        "elastic_transform": elastic_transform,
        "pixelate": partial(pixelate, nearest=False),
    },
    "imagenet": {
        **_SAME,
        "motion_blur": partial(motion_blur, magick=False),
        "zoom_blur": partial(zoom_blur, centred=False),
        "snow": partial(snow, magick=False),
        "frost": partial(frosted, shrink=False),
        "elastic_transform": elastic_of_package,
        "pixelate": partial(pixelate, nearest=True),
    },
}
_PICTURED = frozenset({"frost"})
"""Kinds that look at the frost pictures."""
_COLOURED = frozenset({"saturate"})
"""Kinds that one channel has nothing for."""


def refusal(kind: str, table: Table, shape: tuple[int, int, int], frost: Path | None = None) -> str:
    """Why a kind makes no sense for images of this shape, one line, or ''.

    Args:
        kind: one of `KINDS` and `EXTRA`.
        table: whose severities.
        shape: channels, height and width.
        frost: the folder of the frost pictures, if one is given.

    Raises:
        UsageError: there is no such kind or table.
    """
    _known(kind, table)
    channels, side = shape[0], min(shape[1:])
    if channels not in (1, 3):
        return f"images have {channels} channels, not one or three"
    if side < SMALLEST:
        return f"images have {side} pixels a side, not {SMALLEST} or more"
    if table == "imagenet" and side < SIDE:
        return f"the numbers of ImageNet-C are for {SIDE} pixels a side and more, not {side}"
    if kind in _COLOURED and channels == 1:
        return f"{kind} needs colours: one channel has no hue"
    if kind in _PICTURED and (lacking := missing(frost)):
        return f"frost pictures are missing: {lacking}"
    return ""


def _known(kind: str, table: str) -> None:
    if table not in CONSTANTS:
        raise closest(table, CONSTANTS, f"no table {table!r} of corruptions")
    if kind not in (*KINDS, *EXTRA):
        raise closest(kind, (*KINDS, *EXTRA), f"no corruption {kind!r}")


def pictures_of(kind: str, frost: Path | None) -> str:
    """SHA-256 of the pictures that a kind looks at; '' for the others, and without a folder.

    Raises:
        DataMissing: pictures are missing.
    """
    return fingerprint(frost) if kind in _PICTURED else ""


def corrupt(
    images: Tensor, kind: str, severity: int, table: Table, *, frost: Path | None = None, first: int = 0
) -> Tensor:
    """Corrupt images; the same images, kind, severity and index give the same pixels, whatever else is asked for.

    Pixels are floats in [0, 255], clipped, whose fraction is dropped, as published; motion blur of CIFAR-10-C, snow's
    layer and pixelate round to the nearest level, as ImageMagick and Pillow do. The random numbers of image i depend on
    (kind, severity, i) and its shape: they are drawn on the CPU for blocks of 256 images of 32x32 and fewer pixels, and
    for fewer of larger ones (`case.Draws`). One channel is corrupted as grey: by the same steps where they treat three
    equal channels alike, by one noise for its one channel, and with the grey of frost, water and mud.

    Args:
        images: uint8 [N, C, H, W]; not changed.
        kind: one of `KINDS` and `EXTRA`.
        severity: 1 to 5.
        table: whose severities (`tables`).
        frost: the folder of the published frost pictures; None: frost is grown from noise (`frost_is_procedural`).
        first: the index of the first image in its set.

    Returns:
        uint8 [N, C, H, W] on the images' device.

    Raises:
        UsageError: there is no such kind, table or severity, the images are no uint8 [N, C, H, W], or it makes no sense
            for them (`refusal`).
        DataMissing: the folder lacks frost pictures.
    """
    _known(kind, table)
    if severity not in SEVERITIES:
        raise UsageError(f"severity {severity!r}", "severities are 1, 2, 3, 4 and 5")
    if images.dtype != torch.uint8 or images.dim() != 4:
        kept = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
        raise UsageError(f"images are {kept}", "images are uint8 [N, C, H, W]")
    pictures_of(kind, frost)
    if why := refusal(kind, table, (images.shape[1], images.shape[2], images.shape[3]), frost):
        raise UsageError(f"{kind}: {why}", "ask `refusal` before, or leave this kind out")
    method, constants = _METHODS[table][kind], CONSTANTS[table][kind][severity - 1]
    found = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start, end in _pieces(first, len(images), block_size(*images.shape[2:])):
        part = images[start:end].contiguous()
        found[start:end] = method(Case(part, constants, Draws.of(kind, severity, first + start, part), frost))
    return found


def _pieces(first: int, count: int, size: int) -> list[tuple[int, int]]:
    """Cuts 0 to count where blocks of the set begin."""
    cuts = [0, *range(size - first % size, count, size), count]
    return [(a, b) for a, b in pairwise(cuts) if a < b]
