"""MNIST and the two sets made in its format: 60,000 training and 10,000 test images of 28x28 pixels, ten classes."""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from ticketsearch.data.stored import UNREADABLE, Stored


@dataclass(frozen=True)
class Mnist(Stored):
    """Handwritten digits (LeCun et al. 1998). Not augmented; `mean` and `std` are those of the training images.

    torchvision compares only what it downloads with its checksums. Here the files that are read are compared too, where
    the archive that they came from lies beside them.
    """

    reader: ClassVar[str] = "MNIST"
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.1307,)
    std: ClassVar[tuple[float, ...]] = (0.3081,)
    recipe: ClassVar[str] = "mnist"
    ood: ClassVar[tuple[str, ...]] = ("fashion_mnist", "kmnist", "patches", "gaussian")

    validation: Annotated[int, Ge(0)] = 5000

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        raw, old = folder / self.reader / "raw", folder / self.reader / "processed"
        if any(old.glob("*.pt")):  # torchvision would unpickle them
            raise RuntimeError(f"{old} holds files of an old torchvision: move them away")
        there = len([*raw.glob("*-ubyte")]) == 4
        try:
            return self._opened(folder, train)
        except UNREADABLE:
            if not self.download or not there:  # what is missing is downloaded beside what is there
                raise
        # torchvision takes files that are there for the official ones; nothing is deleted
        damaged = next(p for n in count(1) if not (p := raw.with_name(f"raw.damaged-{n}")).exists())
        raw.rename(damaged)
        try:
            return self._opened(folder, train)
        except UNREADABLE:
            if not any(raw.glob("*")):  # nothing came instead
                if raw.is_dir():
                    raw.rmdir()
                damaged.rename(raw)
            raise

    def _opened(self, folder: Path, train: bool) -> tuple[Any, Any]:
        from torchvision import datasets

        found = getattr(datasets, self.reader)(folder, train=train, download=self.download)
        for archive, md5 in ((name, md5) for name, md5 in found.resources if name.startswith("train") == train):
            _check(Path(found.raw_folder) / archive, md5)
        return found.data, found.targets


def _check(archive: Path, md5: str) -> None:
    """Raise RuntimeError if an archive is not the official one, or the file that was read is not what it holds."""
    if not archive.is_file():
        return
    content, read = archive.read_bytes(), archive.with_suffix("").read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise RuntimeError(f"{archive} is not the official file")
    if struct.unpack("<II", content[-8:]) != (zlib.crc32(read), len(read)):  # as gzip ends; a tenth of decompressing
        raise RuntimeError(f"{archive.with_suffix('')} is not what {archive.name} holds")


@dataclass(frozen=True)
class FashionMnist(Mnist):
    """Pictures of clothes (Xiao et al. 2017)."""

    reader: ClassVar[str] = "FashionMNIST"
    mean: ClassVar[tuple[float, ...]] = (0.2860,)
    std: ClassVar[tuple[float, ...]] = (0.3530,)
    ood: ClassVar[tuple[str, ...]] = ("mnist", "kmnist", "patches", "gaussian")


@dataclass(frozen=True)
class Kmnist(Mnist):
    """Handwritten Japanese characters (Clanuwat et al. 2018)."""

    reader: ClassVar[str] = "KMNIST"
    mean: ClassVar[tuple[float, ...]] = (0.1918,)
    std: ClassVar[tuple[float, ...]] = (0.3483,)
    ood: ClassVar[tuple[str, ...]] = ("mnist", "fashion_mnist", "patches", "gaussian")
