"""What a careful user writes today, first part: a DataLoader over PIL images, transformed one by one.

Crops and flips come from the same table that the product draws, which is a little cheaper than torchvision's random
transforms: they would draw numbers for each image.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import functional as transforms

from benchmarks.cases import Job
from benchmarks.images import dataset
from benchmarks.search import Batch, Feed, Table
from ticketsearch.data.base import Split

IMPORTS = ("torch._dynamo", "torchvision.datasets")
"""What it imports while it works: the first is torch's compiler, which comes with the first optimiser."""

EVALUATED_AT_ONCE = 500


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's datasets hold them: an array, each image made a PIL image when it is asked for.

    Attributes:
        pad: of the crops; 0: the images as they are.
        crop, flip: of each image, in this epoch (see `Table`).
    """

    def __init__(self, split: Split, pad: int = 0) -> None:
        array: npt.NDArray[np.uint8] = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._images = array.squeeze(3) if array.shape[3] == 1 else array
        self._labels: list[int] = split.labels.tolist()
        self.pad, self.crop, self.flip = pad, list[int](), list[bool]()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Any = Image.fromarray(self._images[index])
        if self.pad:
            height, width = image.height, image.width
            image = transforms.pad(image, [self.pad])
            row, column = divmod(self.crop[index], 2 * self.pad + 1)
            image = transforms.crop(image, row, column, height, width)
            if self.flip[index]:
                image = transforms.hflip(image)
        return transforms.to_tensor(image), self._labels[index]


class Order(Sampler[int]):
    """The order of an epoch, from the table.

    Attributes:
        indices: of the images.
    """

    def __init__(self) -> None:
        self.indices: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class Loaders:
    """The three loaders that a user makes."""

    def __init__(self, job: Job) -> None:
        self._chosen, self._job = dataset(job), job
        data = self._chosen.load()
        self._pictures, self._order = Pictures(data.train, self._chosen.pad), Order()
        self._train = DataLoader(self._pictures, job.batch_size, sampler=self._order)
        self.val = DataLoader(Pictures(data.val), EVALUATED_AT_ONCE)
        self.test = DataLoader(Pictures(data.test), EVALUATED_AT_ONCE)

    def train(self, epoch: int) -> Iterator[Batch]:
        """One epoch's batches."""
        table = Table.drawn(self._job, self._chosen.pad, epoch)
        self._order.indices = table.order.tolist()
        self._pictures.crop, self._pictures.flip = table.crop.tolist(), table.flip.tolist()
        yield from self._train


def feed(job: Job) -> Feed:
    """The images of a job."""
    return Loaders(job)
