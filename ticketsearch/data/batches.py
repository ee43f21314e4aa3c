"""Training batches: order, random crops and flips for a whole epoch at once, one gather a batch, all on the device."""

from collections.abc import Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from ticketsearch import seeding
from ticketsearch.data.base import Dataset, Split


class Batches:
    """The training images of one seed, shuffled and augmented anew in each epoch.

    What image i looks like in epoch e is a function of (order_seed, e, i) alone, so training can start at any step.
    The last batch of an epoch holds what is left over, as few as one image.

    Attributes:
        per_epoch: batches an epoch.
    """

    def __init__(self, train: Split, dataset: Dataset, batch_size: int, order_seed: int) -> None:
        self._labels, self._pad, self._flip = train.labels, dataset.pad, dataset.flip
        self._batch_size, self._order_seed = batch_size, order_seed
        self._images = train.images
        self._windows = _windows(train.images, dataset.pad) if dataset.pad else None
        self.per_epoch = -(-len(train) // batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch's batches from number `first` on: pixels float32 [B, C, H, W] in [0, 1] and labels int64 [B]."""
        device, count, side = self._labels.device, len(self._labels), 2 * self._pad + 1
        order = torch.randperm(count, generator=self._generator("order", epoch)).to(device)
        crop = torch.randint(side * side, (count,), generator=self._generator("crop", epoch)).to(device)
        flip = torch.rand(count, generator=self._generator("flip", epoch)).to(device) < 0.5
        whole = (order, (crop // side)[order], (crop % side)[order], flip[order], self._labels[order])
        batches = zip(*(values.split(self._batch_size) for values in whole), strict=True)
        for chosen, row, column, flipped, labels in islice(batches, first, None):
            if self._windows is None:
                pixels = self._images.index_select(0, chosen)
            else:
                pixels = self._windows[chosen, row, column].permute(0, 3, 1, 2)
            if self._flip:
                pixels = _chosen(flipped, pixels.flip(3), pixels)
            yield pixels.div(255), labels

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        return seeding.generator(self._order_seed, purpose, epoch)


def _chosen(first: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Of each image the one or the other, uint8 [B, C, H, W]; `one` is overwritten. On a CPU `where` takes three times
    as long as these three passes over bytes.

    Args:
        first: whether it is the one, bool [B].
        one: what is taken there.
        other: what is taken elsewhere.
    """
    bits = torch.where(first, 255, 0).to(torch.uint8)[:, None, None, None]
    return one.bitwise_xor_(other).bitwise_and_(bits).bitwise_xor_(other)


def _windows(images: Tensor, pad: int) -> Tensor:
    """Every crop of the zero-padded images as a view [N, 2 pad + 1, 2 pad + 1, H, W, C]; nothing is copied per crop."""
    count, channels, height, width = images.shape
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad)).contiguous()
    image, row, column, channel = padded.stride()
    side = 2 * pad + 1
    return padded.as_strided((count, side, side, height, width, channels), (image, row, column, row, column, channel))
