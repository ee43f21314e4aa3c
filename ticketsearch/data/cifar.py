"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from ticketsearch.data.official import batch, official
from ticketsearch.data.stored import Stored


@dataclass(frozen=True)
class Cifar10(Stored):
    """Ten classes. Random crops from 4 pixels of padding and flips; the last 5,000 training images validate, and `mean`
    and `std` are the ones of Chen et al. (2022), as in their released code.

    The official files are pickles. Nothing is unpickled: numbers are read from them where they have their checksums.
    """

    reader: ClassVar[str] = "CIFAR10"
    below: ClassVar[str] = "cifar-10-batches-py"
    files: ClassVar[Mapping[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }
    """Name -> MD5: what is trained on, the test images, and last what tells of both."""
    labels: ClassVar[str] = "labels"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)
    recipe: ClassVar[str] = "cifar"
    ood: ClassVar[tuple[str, ...]] = ("cifar100", "svhn", "dtd", "gaussian")
    corrupted: ClassVar[str] = "CIFAR-10-C"

    validation: Annotated[int, Ge(0)] = 5000
    pad: Annotated[int, Ge(0)] = 4
    flip: bool = True

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        if self.download:
            from torchvision import datasets

            getattr(datasets, self.reader)(folder, download=True)
        *training, test, about = self.files
        official(folder / self.below / about, self.files[about])
        parts = [self._batch(folder / self.below / name) for name in (training if train else [test])]
        pixels, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
        return pixels.reshape(-1, *self.shape).transpose(0, 2, 3, 1), labels

    def _batch(self, file: Path) -> tuple[Any, Any]:
        return batch(official(file, self.files[file.name]), self.labels, prod(self.shape))


@dataclass(frozen=True)
class Cifar100(Cifar10):
    """A hundred classes."""

    reader: ClassVar[str] = "CIFAR100"
    below: ClassVar[str] = "cifar-100-python"
    files: ClassVar[Mapping[str, str]] = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    }
    labels: ClassVar[str] = "fine_labels"
    classes: ClassVar[int] = 100
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4866, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)
    ood: ClassVar[tuple[str, ...]] = ("cifar10", "svhn", "dtd", "gaussian")
    corrupted: ClassVar[str] = "CIFAR-100-C"
