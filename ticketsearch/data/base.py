"""Images as uint8 tensors that live on the device, and datasets as their specification."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from ticketsearch import seeding


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
                found.update(tensor.cpu().contiguous().numpy().data)
        return found.hexdigest()

    def to(self, device: torch.device) -> "Data":
        """The same data on another device."""
        return Data(self.train.to(device), self.val.to(device), self.test.to(device))


@dataclass(frozen=True)
class Dataset(ABC):
    """What a dataset's yaml says: where its images are and which of them are used how.

    Subclasses define `shape`, `classes`, `mean`, `std` and `recipe`, as class attributes or, where the user's folder
    decides, as fields, and `read`; everything else is here once.

    Attributes:
        ood: the sets of `ticketsearch.data.ood` that its images are told apart from, the one that figures show first.
        corrupted: the folder of its published corrupted test images; "": there are none.
        root: the folder that holds the dataset; one that comes with a package, such as `digits`, needs none.
        validation: how many training images, the last of them, are kept apart for validation.
        subset: how many of the remaining training images are used, the first of them; None: all.
        test: at most how many test images are used, the first of them; None: all.
        only: the classes that are used, numbered anew in this order; None: all.
        label_noise: the fraction of the training labels that are replaced by another class, each of the others as
            likely (Nakkiran et al. 2020); validation and test labels stay. Which they are is the same for every seed.
        pad: random crops from the image padded with this many zero pixels on each side; 0: no crops.
        flip: random horizontal flips.
        sample: how many test images, the first of them, costly metrics look at, where their own `images` does not say.
    """

    revision: ClassVar[int] = 1
    recipe: ClassVar[str]
    ood: ClassVar[tuple[str, ...]] = ("gaussian",)
    corrupted: ClassVar[str] = ""

    root: str | None = field(default=None, metadata={"identity": False})
    validation: Annotated[int, Ge(0)] = 0
    subset: Annotated[int, Ge(1)] | None = None
    test: Annotated[int, Ge(1)] | None = None
    only: tuple[Annotated[int, Ge(0)], ...] | None = None
    label_noise: Annotated[float, Ge(0), Lt(1)] = 0.0
    pad: Annotated[int, Ge(0)] = 0
    flip: bool = False
    sample: Annotated[int, Ge(1)] = field(default=2000, metadata={"identity": False})

    def __post_init__(self) -> None:
        if self.only is not None and (len(set(self.only)) < max(len(self.only), 2) or max(self.only) >= self.classes):
            raise ValueError(
                f"only must list two or more different classes below {self.classes}, not {list(self.only)}"
            )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many classes there are in its files."""

    @property
    @abstractmethod
    def mean(self) -> tuple[float, ...]:
        """Of each channel, for pixels in [0, 1]."""

    @property
    @abstractmethod
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel, likewise."""

    @property
    def outputs(self) -> int:
        """How many classes are told apart."""
        return self.classes if self.only is None else len(self.only)

    @abstractmethod
    def read(self) -> tuple[Split, Split]:
        """The official training and test images.

        Raises:
            DataMissing: they are not under `root`.
        """

    def load(self) -> Data:
        """Read the images and cut the splits: the classes that are wanted, validation from the end of train, the subset
        from its start, the first of test, and then the noise of the labels.

        Raises:
            DataMissing: the images are not under `root`.
            ValueError: `validation` and `subset` ask for more images than there are.
        """
        train, test = map(self._wanted, self.read())
        used, left = self.cut(len(train))
        return Data(self._noisy(train[:used]), train[left:], test[: self.test])

    def cut(self, count: int) -> tuple[int, int]:
        """How many of `count` training images are trained on, the first of them, and from where on they validate.

        Raises:
            ValueError: `validation` and `subset` ask for more images than there are.
        """
        left = count - self.validation
        used = left if self.subset is None else self.subset
        if left < 1 or used > left:
            raise ValueError(
                f"{count} training images cannot give {self.validation} for validation and {used} to train on"
            )
        return used, left

    def _wanted(self, split: Split) -> Split:
        """The images of the wanted classes, in their order."""
        if self.only is None:
            return split
        number = torch.full((self.classes,), -1).scatter(0, torch.tensor(self.only), torch.arange(self.outputs))
        labels = number[split.labels]
        return Split(split.images[labels >= 0], labels[labels >= 0])

    def _noisy(self, split: Split) -> Split:
        """The split with exactly the share of wrong labels that is asked for."""
        if not self.label_noise:
            return split
        rng = seeding.generator(0, "label noise")
        chosen = torch.randperm(len(split), generator=rng)[: round(self.label_noise * len(split))]
        labels, moved = split.labels.clone(), torch.randint(1, self.outputs, (len(split),), generator=rng)
        labels[chosen] = (labels[chosen] + moved[chosen]) % self.outputs
        return Split(split.images, labels)
