"""The images of the benchmark: the official files with a test set of any size, or files that are made up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from benchmarks.cases import CASES, Job
from ticketsearch.data.base import Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.data.mnist import Mnist

CLASSES = 10


@dataclass(frozen=True)
class BenchMnist(Mnist):
    """MNIST.

    Attributes:
        tests: how many test images are used, the first of them.
        made_up: read what `make_up` has written.
    """

    tests: Annotated[int, Ge(1)] = 10_000
    made_up: bool = False

    def read(self) -> tuple[Split, Split]:
        train, test = super().read()
        return train, test[: self.tests]

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        return _made_up(folder, train) if self.made_up else super().open(folder, train)


@dataclass(frozen=True)
class BenchCifar10(Cifar10):
    """CIFAR-10.

    A search of 182 epochs looks at its test images once in eight million training images. A run of a minute that looked
    at all of them would measure little else.

    Attributes:
        tests: how many test images are used, the first of them.
        made_up: read what `make_up` has written.
    """

    tests: Annotated[int, Ge(1)] = 10_000
    made_up: bool = False

    def read(self) -> tuple[Split, Split]:
        train, test = super().read()
        return train, test[: self.tests]

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        return _made_up(folder, train) if self.made_up else super().open(folder, train)


@dataclass(frozen=True)
class UncheckedMnist(BenchMnist):
    """MNIST as torchvision reads it: the checksums that the product compares are a cost of its own."""

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        from torchvision import datasets

        if self.made_up:
            return _made_up(folder, train)
        found = datasets.MNIST(folder, train=train)
        return found.data, found.targets


KINDS: dict[str, type[BenchMnist] | type[BenchCifar10]] = {"bench_mnist": UncheckedMnist, "bench_cifar10": BenchCifar10}
"""How the sides that are not the product read the images of a yaml."""


def dataset(job: Job) -> BenchMnist | BenchCifar10:
    """The images of a job, for the sides that are not the product."""
    kind = KINDS[CASES[job.case].dataset]
    made_up = job.data == "synthetic"
    return kind(job.root, validation=job.validation, subset=job.images, tests=job.tests, made_up=made_up)


def make_up(job: Job) -> None:
    """Write images that can be learned, a noisy pattern for each class, for every side to read."""
    kind, rng = KINDS[CASES[job.case].dataset], np.random.default_rng(job.seed)
    channels, height, width = kind.shape
    patterns = rng.integers(0, 256, (CLASSES, height, width, channels))
    for train, count in ((True, job.images + job.validation), (False, job.tests)):
        labels = rng.integers(0, CLASSES, count)
        noise = rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
        pixels = (patterns[labels] // 2 + noise // 2).astype(np.uint8)
        np.savez(_file(Path(job.root), train), images=pixels.squeeze(3) if channels == 1 else pixels, labels=labels)


def _file(folder: Path, train: bool) -> Path:
    return folder / ("train.npz" if train else "test.npz")


def _made_up(folder: Path, train: bool) -> tuple[Any, Any]:
    with np.load(_file(folder, train), allow_pickle=False) as found:
        return found["images"], found["labels"]


def found(name: str, root: Path) -> bool:
    """Whether a folder has the official images of a case."""
    return (root / ("MNIST" if CASES[name].dataset == "bench_mnist" else "cifar-10-batches-py")).is_dir()
