"""Datasets that lie in a folder of the user's, in their official files."""

import os
import re
import zlib
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ticketsearch.data.base import Dataset, Split
from ticketsearch.errors import DataMissing

ROOT = "TICKETSEARCH_DATA"
"""The environment variable that names the folder of datasets, where `root` does not."""

UNREADABLE = (RuntimeError, OSError, ValueError, TypeError, KeyError, AssertionError, EOFError, zlib.error)
"""What reading files raises that are missing, torn, or no official ones."""


def data_folder(root: str | None) -> Path:
    """Where files of datasets are looked for: `root`, else $TICKETSEARCH_DATA, else `ticketsearch` in the user's cache
    folder.
    """
    if root is not None:
        return Path(root).expanduser()
    if os.environ.get(ROOT):
        return Path(os.environ[ROOT]).expanduser()
    return cache_folder()


def cache_folder() -> Path:
    """`ticketsearch` in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticketsearch"


@dataclass(frozen=True)
class Stored(Dataset):
    """A dataset in its official files.

    Attributes:
        root: the folder that holds it; null: $TICKETSEARCH_DATA, else `ticketsearch` in the user's cache folder.
        download: get it from the authors' address, where it is not there.
    """

    download: bool = field(default=False, metadata={"identity": False})

    @abstractmethod
    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        """Images [N, H, W, C] or [N, H, W] and labels [N] of one part, as uint8 and numbers; downloads where asked to.

        Raises:
            RuntimeError: they are not there, or are not the official ones.
        """

    @property
    def folder(self) -> Path:
        """Where its files are looked for."""
        return data_folder(self.root)

    def read(self) -> tuple[Split, Split]:
        return self.part(train=True), self.part(train=False)

    def part(self, train: bool) -> Split:
        """The official training or test images.

        Raises:
            DataMissing: they are not under `root`, or are not the official ones.
        """
        try:
            return self._split(train)
        except UNREADABLE as error:
            name = re.sub("(?<!^)([A-Z])", r"_\1", type(self).__name__).lower()
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            what = f"no official files of {type(self).__name__} in {self.folder}: {why}"
            right = f"dataset.root or {ROOT} names the folder that holds them, and dataset.download=true gets them"
            raise DataMissing(what, right, f"ticketsearch run dataset={name} dataset.download=true") from error

    def _split(self, train: bool) -> Split:
        images, labels = self.open(self.folder, train)
        pixels = torch.as_tensor(np.asarray(images), dtype=torch.uint8)
        pixels = pixels.unsqueeze(3) if pixels.dim() == 3 else pixels
        split = Split(pixels.permute(0, 3, 1, 2).contiguous(), torch.as_tensor(np.asarray(labels), dtype=torch.int64))
        part, found = "training" if train else "test", tuple(split.images.shape[1:])
        if len(split.images) != len(split.labels):
            raise RuntimeError(f"{len(split.images)} {part} images have {len(split.labels)} labels")
        if found != self.shape:
            raise RuntimeError(f"{part} images are {found}, not {self.shape}")
        if not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.classes:
            raise RuntimeError(f"{part} labels are not all from 0 to {self.classes - 1}")
        return split
