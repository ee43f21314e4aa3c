"""Datasets of picture files, all of their images in memory at one size; and any folder of pictures as a dataset."""

import math
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Lt

from ticketsearch.data.base import Dataset, Split
from ticketsearch.data.decoded import Filter, Shaping, decoded
from ticketsearch.data.listing import Picture, by_folder, folders, mixed
from ticketsearch.data.stored import ROOT, UNREADABLE, data_folder
from ticketsearch.errors import DataMissing, UsageError

Colour = Annotated[float, Gt(0), Lt(1)]
LEAST = 8
"""Pixels of a side at least: the digits have as many."""
SHARE = 0.75
"""Of the memory, what images may take: network, activations and metrics need the rest."""


@dataclass(frozen=True)
class Pictures(Dataset):
    """A folder of pictures: `train/CLASS/...` and a part to test on, any size, colour or grey.

    Classes are the folders of train, numbered by name. Pictures are decoded once, in threads, and kept in the user's
    cache folder until one of them changes. In each part they are in the order of the SHA-256 of their places, so that
    validation and subset are of all classes. `mean` and `std` are ImageNet's, as torchvision's networks take them.

    Attributes:
        root: the folder that `folder` is in; null: $TICKETSEARCH_DATA, else `ticketsearch` in the user's cache folder.
        folder: the dataset's folder.
        classes: how many there are in train; another number is refused.
        size: pixels of a side of an image.
        crop: the shorter side becomes `size`, and the middle is cut out; false: both sides are resized.
        filter: how pictures are resized.
        mean: of each channel, for pixels in [0, 1].
        std: likewise.
    """

    recipe: ClassVar[str] = "cifar"
    ood: ClassVar[tuple[str, ...]] = ("dtd", "gaussian")

    folder: str = ""
    classes: Annotated[int, Ge(2)] = 10
    size: Annotated[int, Ge(LEAST)] = 64
    crop: bool = True
    filter: Filter = "bilinear"
    mean: tuple[Colour, Colour, Colour] = (0.485, 0.456, 0.406)
    std: tuple[Colour, Colour, Colour] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        super().__post_init__()
        if PurePath(self.folder).is_absolute() or ".." in PurePath(self.folder).parts:
            raise ValueError(f"folder is one below root, not {self.folder!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.size, self.size

    @property
    def place(self) -> Path:
        """The dataset's folder."""
        return data_folder(self.root) / self.folder

    @abstractmethod
    def tests(self, classes: Sequence[str]) -> list[Picture]:
        """The pictures to test on.

        Args:
            classes: their names, in the order of their numbers.

        Raises:
            OSError, ValueError: they are not there.
        """

    def read(self) -> tuple[Split, Split]:
        """The images that are asked for, and no others: the rest is not decoded.

        Raises:
            DataMissing: the folder is not there or not one, or a picture cannot be read.
            UsageError: there are more or fewer classes than `classes` says, or more images than memory.
            ValueError: see `cut`.
        """
        train, test = self._listed()
        used, left = self.cut(len(train))
        chosen = train[:used] + train[left:]
        self._check_memory(used, len(chosen) - used + len(test))
        return self._split(chosen), self._split(test)

    def _listed(self) -> tuple[list[Picture], list[Picture]]:
        """The pictures of the wanted classes, in their order."""
        try:
            names = folders(self.place / "train")
            if len(names) != self.classes:
                raise self._other_classes(len(names))
            train, test = by_folder(self.place, "train", names), self.tests(names)
        except UNREADABLE as error:
            what = f"no pictures of a dataset in {self.place}: {error}"
            right = f"it has folders train/CLASS; dataset.root or {ROOT} names the folder that dataset.folder is in"
            raise DataMissing(what, right, "ticketsearch run dataset.root=FOLDER") from error
        wanted = range(self.classes) if self.only is None else self.only
        train, test = ([p for p in mixed(part) if p.label in wanted] for part in (train, test))
        return train, test[: self.test]

    def _other_classes(self, count: int) -> UsageError:
        what, typed = (
            f"{self.place / 'train'} has {count} classes, not {self.classes}",
            f"dataset.classes={self.classes}",
        )
        return UsageError(what, "dataset.classes says how many", f"ticketsearch run dataset.classes={count}", typed)

    def _check_memory(self, train: int, others: int) -> None:
        """Refuse more images than fit, with what would."""
        room, each = math.floor(SHARE * memory()), _bytes(self.size, self.pad, 1, 0)
        needed = _bytes(self.size, self.pad, train, others)
        if needed <= room:
            return
        images = f"{train + others:,} images of {self.size}x{self.size}"
        what = f"{images} take {needed:,} bytes of memory, and {room:,} can be theirs"
        side = max((n for n in range(LEAST, self.size) if _bytes(n, self.pad, train, others) <= room), default=0)
        subset = (room - _bytes(self.size, self.pad, 0, others)) // each
        fits = [f"dataset.size={side}"] * (side > 0) + [f"dataset.subset={subset}"] * (subset > 0)
        attempt = f"ticketsearch run {fits[0]}" if fits else ""
        raise UsageError(what, f"what fits: {' or '.join(fits) or 'nothing of this folder'}", attempt)

    def _split(self, pictures: Sequence[Picture]) -> Split:
        images = decoded(self.place, [p.path for p in pictures], Shaping(self.size, self.crop, self.filter))
        return Split(images, torch.tensor([p.label for p in pictures], dtype=torch.int64))


def _bytes(size: int, pad: int, train: int, others: int) -> int:
    """What images take: one byte a value, and training images again with their padding, if they have one."""
    return 3 * size**2 * (train + others) + (3 * (size + 2 * pad) ** 2 * train if pad else 0)


def memory() -> int:
    """Bytes of memory that a process may have: the machine's, or its control group's where that is less."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup/memory.max")
    said = group.read_text().strip() if group.is_file() else ""
    return min(whole, int(said)) if said.isdecimal() else whole


@dataclass(frozen=True)
class ImageFolder(Pictures):
    """Any folder `train/CLASS/*.jpg` with `test/CLASS/*.jpg`, or `val/CLASS/*.jpg` where there is no `test`; pictures
    may lie deeper. Where there are both, those of `val` are not looked at: validation is cut from train.

    The id knows `folder`, and not `root`: two datasets are told apart by the names of their folders.
    """

    def tests(self, classes: Sequence[str]) -> list[Picture]:
        return by_folder(self.place, "test" if (self.place / "test").is_dir() else "val", classes)
