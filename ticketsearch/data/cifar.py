"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from ticketsearch.data.stored import Stored


@dataclass(frozen=True)
class Cifar10(Stored):
    """Ten classes. Random crops from 4 pixels of padding and flips; the last 5,000 training images validate, and `mean`
    and `std` are the ones of Chen et al. (2022), as in their released code.

    The official files are pickles: torchvision reads them only after all of them have the checksums that it knows.
    """

    reader: ClassVar[str] = "CIFAR10"
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
        from torchvision import datasets

        found = getattr(datasets, self.reader)(folder, train=train, download=self.download)
        return found.data, found.targets


@dataclass(frozen=True)
class Cifar100(Cifar10):
    """A hundred classes."""

    reader: ClassVar[str] = "CIFAR100"
    classes: ClassVar[int] = 100
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4866, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)
    ood: ClassVar[tuple[str, ...]] = ("cifar10", "svhn", "dtd", "gaussian")
    corrupted: ClassVar[str] = "CIFAR-100-C"
