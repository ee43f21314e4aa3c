"""Images as uint8 tensors that live on the device, and datasets as their specification."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], from 0 to classes - 1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Split":
        return Split(self.images[part], self.labels[part])

    def to(self, device: torch.device) -> "Split":
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Data:
    """The three splits that a run sees; `val` may be empty. Test never chooses anything."""

    train: Split
    val: Split
    test: Split

    def splits(self) -> dict[str, Split]:
        """The splits that models are evaluated on, by name; an empty validation split is left out."""
        return {name: split for name, split in (("val", self.val), ("test", self.test)) if len(split)}

    def fingerprint(self) -> str:
        """SHA-256 of every image and label of the three splits; rounds trained on other data are never mixed."""
        found = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            for tensor in (split.images, split.labels):
                found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def to(self, device: torch.device) -> "Data":
        """The same data on another device."""
        return Data(self.train.to(device), self.val.to(device), self.test.to(device))


@dataclass(frozen=True)
class Dataset(ABC):
    """What a dataset's yaml says: where its images are and which of them are used how.

    Subclasses define the class attributes and `read`; everything else is here once.

    Attributes:
        root: the folder that holds the dataset; one that comes with a package, such as `digits`, needs none.
        validation: how many training images, the last of them, are kept apart for validation.
        subset: how many of the remaining training images are used, the first of them; None: all.
        pad: random crops from the image padded with this many zero pixels on each side; 0: no crops.
        flip: random horizontal flips.
    """

    revision: ClassVar[int] = 1
    shape: ClassVar[tuple[int, int, int]]
    classes: ClassVar[int]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    recipe: ClassVar[str]

    root: str | None = field(default=None, metadata={"identity": False})
    validation: Annotated[int, Ge(0)] = 0
    subset: Annotated[int, Ge(1)] | None = None
    pad: Annotated[int, Ge(0)] = 0
    flip: bool = False

    @abstractmethod
    def read(self) -> tuple[Split, Split]:
        """The official training and test images.

        Raises:
            DataMissing: they are not under `root`.
        """

    def load(self) -> Data:
        """Read the images and cut the splits: validation from the end of train, then the subset from its start.

        Raises:
            DataMissing: the images are not under `root`.
            ValueError: `validation` and `subset` ask for more images than there are.
        """
        train, test = self.read()
        left = len(train) - self.validation
        used = left if self.subset is None else self.subset
        if left < 1 or used > left:
            raise ValueError(
                f"{len(train)} training images cannot give {self.validation} for validation and {used} to train on"
            )
        return Data(train[:used], train[left:], test)
