"""Pictures as one array of bytes of one size, decoded once: it is kept in the cache folder from then on.

The name of the file is the SHA-256 of what its pixels depend on: the folder, place, size and time of change of each
picture, and how they are brought to size.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from ticketsearch.data import kept
from ticketsearch.data.stored import cache_folder
from ticketsearch.errors import DataMissing

REVISION = 1
"""Raised when the pixels change."""
CHUNK = 1024
"""Pictures that are decoded, and then written, at a time."""
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, zlib.error, Image.DecompressionBombError)
"""What Pillow raises of files that are no pictures, or torn ones."""

Filter = Literal["box", "bilinear", "bicubic", "lanczos"]
"""How Pillow resizes; each averages over everything beneath a pixel where it makes smaller."""


@dataclass(frozen=True)
class Shaping:
    """How a picture becomes an image.

    Attributes:
        size: pixels of a side.
        crop: resize until the shorter side has that many, and cut the middle out of the longer one; else both sides are
            resized, whatever that does to the aspect.
        filter: how it is resized.
    """

    size: int
    crop: bool
    filter: Filter

    def __call__(self, picture: Image.Image) -> Image.Image:
        """A picture in colour, brought to size; sides and middle are rounded as torchvision's `Resize` and `CenterCrop`
        do.
        """
        method, (width, height) = Image.Resampling[self.filter.upper()], picture.size
        if not self.crop:
            return picture.resize((self.size, self.size), method)
        width, height = (int(self.size * side / min(picture.size)) for side in (width, height))
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return picture.resize((width, height), method).crop((left, top, left + self.size, top + self.size))


def default_folder() -> Path:
    """`pictures` in the cache folder of datasets."""
    return cache_folder() / "pictures"


def decoded(root: Path, paths: Sequence[str], shaping: Shaping) -> Tensor:
    """Pictures as images, in the order of their places.

    Args:
        root: the folder that they are below.
        paths: their places below it.
        shaping: how each is brought to size.

    Returns:
        uint8 [N, 3, size, size]. Its pages come from the cached file as they are looked at, and writing to it does not
        reach the file.

    Raises:
        DataMissing: one of them cannot be read; it is named.
        UsageError: the cache folder cannot be written.
    """
    shape = (len(paths), 3, shaping.size, shaping.size)
    file = default_folder() / f"{_key(root, paths, shaping)}.npy"
    found = kept.read(file, shape)
    if found is None:
        kept.write(file, shape, _chunks(root, paths, shaping))
        found = np.load(file, mmap_mode="c", allow_pickle=False)
    return torch.from_numpy(found)


def _key(root: Path, paths: Sequence[str], shaping: Shaping) -> str:
    """SHA-256 of everything that the pixels depend on, 32 hexadecimal digits of it."""
    found = hashlib.sha256(f"{REVISION} Pillow {PIL.__version__} {shaping} {root.resolve()}".encode())
    for path in paths:
        about = os.stat(root / path)
        found.update(f"\n{path} {about.st_size} {about.st_mtime_ns}".encode())
    return found.hexdigest()[:32]


def _chunks(root: Path, paths: Sequence[str], shaping: Shaping) -> Iterator[kept.Bytes]:
    """The images of so many pictures at a time. Pillow decodes and resizes without Python's lock: threads will do."""
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for first in range(0, len(paths), CHUNK):
            chunk = [root / path for path in paths[first : first + CHUNK]]
            yield np.stack([*workers.map(partial(image, shaping=shaping), chunk)])


def image(path: Path, shaping: Shaping) -> kept.Bytes:
    """A picture of any mode as uint8 [3, size, size].

    Raises:
        DataMissing: it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(shaping(picture.convert("RGB")))
    except UNREADABLE as error:
        what = f"{path} cannot be read as a picture: {error}"
        raise DataMissing(what, "put it there anew, or take it away") from error
    return pixels.transpose(2, 0, 1)
