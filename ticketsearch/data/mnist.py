"""MNIST and the two sets made in its format: 60,000 training and 10,000 test images of 28x28 pixels, ten classes."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from ticketsearch.data.kept import Bytes
from ticketsearch.data.official import idx, official
from ticketsearch.data.stored import UNREADABLE, Stored


@dataclass(frozen=True)
class Mnist(Stored):
    """Handwritten digits (LeCun et al. 1998). Not augmented; `mean` and `std` are those of the training images.

    The files that are read are compared with the archive that they came from, where it lies beside them.
    """

    reader: ClassVar[str] = "MNIST"
    archives: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    """The four files as they are downloaded -> MD5, those of the training images first."""
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
        if self.download:
            from torchvision import datasets

            getattr(datasets, self.reader)(folder, download=True)
        raw, names = folder / self.reader / "raw", list(self.archives)
        for file in (raw / name.removesuffix(".gz") for name in names):
            if not file.is_file():
                raise RuntimeError(f"{file} was not found")
        images, labels = (_read(raw / name, self.archives[name]) for name in (names[:2] if train else names[2:]))
        return images, labels


def _read(archive: Path, md5: str) -> Bytes:
    """The numbers of the file beside an archive."""
    content = archive.with_suffix("").read_bytes()
    _check(archive, md5, content)
    return idx(content)


def _check(archive: Path, md5: str, read: bytes) -> None:
    """Raise RuntimeError if an archive is not the official one, or the file that was read is not what it holds."""
    if not archive.is_file():
        return
    content = official(archive, md5)
    if struct.unpack("<II", content[-8:]) != (zlib.crc32(read), len(read)):  # as gzip ends; a tenth of decompressing
        raise RuntimeError(f"{archive.with_suffix('')} is not what {archive.name} holds")


@dataclass(frozen=True)
class FashionMnist(Mnist):
    """Pictures of clothes (Xiao et al. 2017)."""

    reader: ClassVar[str] = "FashionMNIST"
    archives: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    mean: ClassVar[tuple[float, ...]] = (0.2860,)
    std: ClassVar[tuple[float, ...]] = (0.3530,)
    ood: ClassVar[tuple[str, ...]] = ("mnist", "kmnist", "patches", "gaussian")


@dataclass(frozen=True)
class Kmnist(Mnist):
    """Handwritten Japanese characters (Clanuwat et al. 2018)."""

    reader: ClassVar[str] = "KMNIST"
    archives: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    }
    mean: ClassVar[tuple[float, ...]] = (0.1918,)
    std: ClassVar[tuple[float, ...]] = (0.3483,)
    ood: ClassVar[tuple[str, ...]] = ("mnist", "fashion_mnist", "patches", "gaussian")
