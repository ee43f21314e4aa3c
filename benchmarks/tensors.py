"""The same loop on tensors in memory: shuffled indices, and crops and flips of a batch by plain indexing."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases import Job
from benchmarks.images import dataset
from benchmarks.search import Batch, Feed, Table
from ticketsearch.data.base import Split

IMPORTS = ("torch._dynamo", "torchvision.datasets")
EVALUATED_AT_ONCE = 500


class Tensors:
    """The images of the three splits as bytes in memory."""

    def __init__(self, job: Job) -> None:
        self._chosen, self._job = dataset(job), job
        data = self._chosen.load()
        self._labels, self.val, self.test = data.train.labels, _Whole(data.val), _Whole(data.test)
        self._padded = F.pad(data.train.images, [self._chosen.pad] * 4)

    def train(self, epoch: int) -> Iterator[Batch]:
        """One epoch's batches."""
        table = Table.drawn(self._job, self._chosen.pad, epoch)
        for chosen in table.order.split(self._job.batch_size):
            yield self._augmented(chosen, table.crop[chosen], table.flip[chosen]).float().div(255), self._labels[chosen]

    def _augmented(self, chosen: Tensor, crop: Tensor, flip: Tensor) -> Tensor:
        if not self._chosen.pad:
            return self._padded[chosen]
        channels, height, width = self._chosen.shape
        side = 2 * self._chosen.pad + 1
        rows = (crop // side)[:, None] + torch.arange(height)
        columns = (crop % side)[:, None] + torch.arange(width)
        columns = torch.where(flip[:, None], columns.flip(1), columns)
        image, channel = chosen[:, None, None, None], torch.arange(channels)[None, :, None, None]
        return self._padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


class _Whole:
    """A split that is not augmented, in batches."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __iter__(self) -> Iterator[Batch]:
        parts = zip(
            self._split.images.split(EVALUATED_AT_ONCE), self._split.labels.split(EVALUATED_AT_ONCE), strict=True
        )
        for images, labels in parts:
            if len(labels):
                yield images.float().div(255), labels


def feed(job: Job) -> Feed:
    """The images of a job."""
    return Tensors(job)
