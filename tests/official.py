"""Tiny datasets in the official formats, so that what reads the real files is tested whole.

Our classes know the checksums of the real files, and so does torchvision, which downloads; a `Writer` tells both those
of the tiny ones for the time of a test.
"""

import gzip
import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from ticketsearch.data.cifar import Cifar10, Cifar100
from ticketsearch.data.mnist import FashionMnist, Kmnist, Mnist
from ticketsearch.data.stored import Stored
from ticketsearch.data.svhn import Svhn

Pixels = np.ndarray
"""uint8 [N, C, H, W]."""
COUNTS = (40, 20)
"""Training and test images, as many of each class as they allow."""


@dataclass(frozen=True)
class Part:
    """What is written of one part.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: from 0 to classes - 1.
    """

    images: Pixels
    labels: np.ndarray


def parts(shape: tuple[int, int, int], classes: int, counts: Sequence[int] = COUNTS) -> tuple[Part, Part]:
    """A training and a test part of noise; the labels of each go round the classes, from another one on."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, *shape), np.uint8) for count in counts)
    return Part(train, (np.arange(len(train)) + 3) % classes), Part(test, (np.arange(len(test)) + 5) % classes)


def md5(path: Path) -> str:
    """The checksum that torchvision compares."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


Writer = Callable[[Path, pytest.MonkeyPatch, Part, Part], None]
"""Writes a training and a test part below a folder and makes their checksums the official ones."""


def mnist(reader: str) -> Writer:
    """Four idx files (LeCun et al. 1998) and the archives that they came in, in `reader`/raw."""

    def write(folder: Path, patch: pytest.MonkeyPatch, *both: Part) -> None:
        raw = folder / reader / "raw"
        raw.mkdir(parents=True)
        for prefix, part in zip(("train", "t10k"), both, strict=True):
            idx(raw / f"{prefix}-images-idx3-ubyte", part.images[:, 0])
            idx(raw / f"{prefix}-labels-idx1-ubyte", part.labels)
        known = [(archive.name, md5(archive)) for archive in sorted(raw.glob("*.gz"))]
        patch.setattr(getattr(datasets, reader), "resources", known)
        named = dict(sorted(known, key=lambda about: about[0].startswith("t10k")))
        patch.setattr(next(kind for kind in CLASSES.values() if vars(kind).get("reader") == reader), "archives", named)

    return write


def idx(path: Path, numbers: np.ndarray) -> None:
    """An idx file of bytes, and its archive: two zeros, 8 (bytes), the number of dimensions, each big-endian, data."""
    header = bytes([0, 0, 8, numbers.ndim]) + b"".join(size.to_bytes(4, "big") for size in numbers.shape)
    path.write_bytes(header + numbers.astype(np.uint8).tobytes())
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def cifar(reader: str, labels: str) -> Writer:
    """Pickled batches (Krizhevsky 2009): rows of 3,072 bytes, all of red first, and a list of `labels`."""

    def write(folder: Path, patch: pytest.MonkeyPatch, *both: Part) -> None:
        official: Any = getattr(datasets, reader)
        base = folder / official.base_folder
        base.mkdir(parents=True)
        for kind, part in zip(("train_list", "test_list"), both, strict=True):
            names = [name for name, _ in getattr(official, kind)]
            for name, chosen in zip(names, np.array_split(np.arange(len(part.labels)), len(names)), strict=True):
                rows = {"data": part.images[chosen].reshape(len(chosen), -1), labels: part.labels[chosen].tolist()}
                pickled(base / name, rows | {"batch_label": name, "coarse_labels": [0] * len(chosen)})
            patch.setattr(official, kind, [[name, md5(base / name)] for name in names])
        meta = dict(official.meta)
        pickled(base / meta["filename"], {meta["key"]: ["a class"]})
        patch.setattr(official, "meta", meta | {"md5": md5(base / meta["filename"])})
        known = dict([*official.train_list, *official.test_list, (meta["filename"], official.meta["md5"])])
        patch.setattr(next(kind for kind in CLASSES.values() if vars(kind).get("reader") == reader), "files", known)

    return write


def pickled(path: Path, content: object) -> None:
    """A file in the protocol of the official ones."""
    path.write_bytes(pickle.dumps(content, protocol=2))


def svhn(folder: Path, patch: pytest.MonkeyPatch, *both: Part) -> None:
    """Two Matlab files (Netzer et al. 2011): X is [H, W, C, N], y a column in which 10 is the digit 0."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {}
    for split, part in zip(("train", "test"), both, strict=True):
        url, name, _ = datasets.SVHN.split_list[split]
        labels = np.where(part.labels == 0, 10, part.labels).astype(np.uint8)[:, None]
        scipy.io.savemat(folder / name, {"X": part.images.transpose(2, 3, 1, 0), "y": labels})
        known[split] = [url, name, md5(folder / name)]
    patch.setattr(datasets.SVHN, "split_list", known)


CLASSES: dict[str, type[Stored]] = {
    "mnist": Mnist,
    "fashion_mnist": FashionMnist,
    "kmnist": Kmnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "svhn": Svhn,
}
"""Name in `conf/dataset` -> its class."""
WRITERS: dict[str, Writer] = {
    "mnist": mnist("MNIST"),
    "fashion_mnist": mnist("FashionMNIST"),
    "kmnist": mnist("KMNIST"),
    "cifar10": cifar("CIFAR10", "labels"),
    "cifar100": cifar("CIFAR100", "fine_labels"),
    "svhn": svhn,
}
"""Name in `conf/dataset` -> how its official files are written."""
