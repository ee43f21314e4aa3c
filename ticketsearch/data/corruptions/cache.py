"""Corrupted images on disk, made once for a set of images.

A folder for each (images, table, pictures, revision, device, torch), and in it `<kind>-<severity>.npy` with
`<kind>-<severity>.sha256` beside it (`ticketsearch.data.kept`).
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ticketsearch.data import kept
from ticketsearch.data.corruptions.generate import corrupt, pictures_of
from ticketsearch.data.corruptions.tables import Table
from ticketsearch.data.stored import cache_folder

REVISION = 1
"""Raised when the pixels of any kind change."""
CHUNK = 1 << 24
"""Bytes that are made at a time."""


def default_folder() -> Path:
    """`corruptions` in the cache folder of datasets."""
    return cache_folder() / "corruptions"


def corrupted(
    images: Tensor, kind: str, severity: int, table: Table, folder: Path | None = None, frost: Path | None = None
) -> Tensor:
    """The same as `corrupt(images, ...)`, kept below `folder` and read from there the next time.

    Args:
        images: uint8 [N, C, H, W], the whole set from index 0 on.
        kind: one of `KINDS` and `EXTRA`.
        severity: 1 to 5.
        table: whose severities.
        folder: where sets are kept; None: `default_folder`.
        frost: the folder of the published frost pictures, if there is one.

    Returns:
        uint8 [N, C, H, W] on the images' device. On the CPU its pages come from the file as they are looked at, and
        writing to it does not reach the file.

    Raises:
        UsageError, DataMissing: see `corrupt`.
        UsageError: the folder cannot be written.
    """
    own = (folder or default_folder()) / _key(images, table, pictures_of(kind, frost))
    path = own / f"{kind}-{severity}.npy"
    found = kept.read(path, tuple(images.shape))
    if found is None:  # what was made is not read back: another process may be making the same
        found = _made(images, kind, severity, table, frost)
        kept.write(path, found.shape, [found])
    return torch.from_numpy(found).to(images.device)


def _key(images: Tensor, table: str, pictures: str) -> str:
    """SHA-256 of everything that pixels depend on besides kind and severity, 32 hexadecimal digits of it."""
    where = f"{images.device.type} {torch.__version__}"  # another device or version may round another way
    found = hashlib.sha256(f"{REVISION} {table} {pictures} {where} {images.dtype} {tuple(images.shape)}".encode())
    for part in images.split(_images_of(images)):
        found.update(part.cpu().contiguous().numpy())
    return found.hexdigest()[:32]


def _images_of(images: Tensor) -> int:
    """How many images are about a chunk."""
    return max(1, CHUNK // max(1, images[:1].numel()))


def _made(images: Tensor, kind: str, severity: int, table: Table, frost: Path | None) -> np.ndarray:
    """The corrupted images, made a chunk at a time."""
    found, size = np.empty(tuple(images.shape), np.uint8), _images_of(images)
    for first in range(0, len(images), size):
        part = corrupt(images[first : first + size], kind, severity, table, frost=frost, first=first)
        found[first : first + size] = part.cpu().numpy()
    return found
