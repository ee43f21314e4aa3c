"""SVHN (Netzer et al. 2011): house numbers, 73,257 training and 26,032 test images of 32x32 pixels, ten classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from ticketsearch.data.stored import Stored


@dataclass(frozen=True)
class Svhn(Stored):
    """Cropped digits, without the extra set. Random crops and no flips, since digits have a direction. The set has no
    validation part: the last 5,000 training images are ours.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.4377, 0.4438, 0.4728)
    std: ClassVar[tuple[float, ...]] = (0.1980, 0.2010, 0.1970)
    recipe: ClassVar[str] = "cifar"
    ood: ClassVar[tuple[str, ...]] = ("cifar10", "cifar100", "dtd", "gaussian")

    validation: Annotated[int, Ge(0)] = 5000
    pad: Annotated[int, Ge(0)] = 4

    def open(self, folder: Path, train: bool) -> tuple[Any, Any]:
        from torchvision import datasets

        found = datasets.SVHN(folder, split="train" if train else "test", download=self.download)
        return found.data.transpose(0, 2, 3, 1), found.labels
