"""Training batches: against a slow reference that pads, slices and flips one image at a time."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from ticketsearch.data.base import Split
from ticketsearch.data.batches import Batches
from ticketsearch.data.digits import Digits
from ticketsearch.seeding import generator

Epoch = list[tuple[Tensor, Tensor]]


def numbered(count: int, shape: tuple[int, int, int] = (3, 5, 7)) -> Split:
    """Random images whose labels are their indices; no pixel is 0, which padding is."""
    images = torch.randint(1, 256, (count, *shape), generator=torch.Generator().manual_seed(1))
    return Split(images.to(torch.uint8), torch.arange(count))


def epoch(split: Split, number: int = 0, first: int = 0, size: int = 4, seed: int = 3, **augment: object) -> Epoch:
    return list(Batches(split, Digits(**augment), size, seed).epoch(number, first))  # type: ignore[arg-type]


def joined(batches: Epoch) -> tuple[Tensor, Tensor]:
    return torch.cat([pixels for pixels, _ in batches]), torch.cat([labels for _, labels in batches])


def reference(split: Split, number: int, seed: int, pad: int, flip: bool) -> Iterator[tuple[np.ndarray, int]]:
    """(pixels, label) in order. Draws are indexed by the image, not by its place in the epoch."""
    count, (height, width), side = len(split), split.images.shape[2:], 2 * pad + 1
    places = torch.randint(side**2, (count,), generator=generator(seed, "crop", number)).tolist()
    flips = (torch.rand(count, generator=generator(seed, "flip", number)) < 0.5).tolist()
    for i in torch.randperm(count, generator=generator(seed, "order", number)).tolist():
        row, column = divmod(places[i], side)
        image = F.pad(split.images[i], (pad, pad, pad, pad))[:, row : row + height, column : column + width].numpy()
        image = image[:, :, ::-1] if flip and flips[i] else image
        yield image.astype(np.float32) / np.float32(255), int(split.labels[i])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 8, 8)])
def test_crops_flips_and_order_equal_the_reference(shape: tuple[int, int, int], pad: int, flip: bool) -> None:
    split = numbered(30, shape)
    for number in (0, 1, 7):
        pixels, labels = joined(epoch(split, number, pad=pad, flip=flip))
        wanted = list(reference(split, number, 3, pad, flip))
        assert np.array_equal(pixels.numpy(), np.stack([image for image, _ in wanted]))
        assert labels.tolist() == [label for _, label in wanted]


@pytest.mark.parametrize("first", [0, 1, 3, 7])
def test_an_epoch_entered_in_its_middle_is_the_tail_of_the_whole(first: int) -> None:
    split = numbered(30)
    whole, tail = (epoch(split, 5, start, pad=2, flip=True) for start in (0, first))
    assert len(whole) == 8
    assert len(tail) == 8 - first
    for (pixels, labels), (others, same) in zip(whole[first:], tail, strict=True):
        assert torch.equal(pixels, others)
        assert torch.equal(labels, same)


def test_epochs_do_not_depend_on_which_were_made_before() -> None:
    split = numbered(12)
    batches = Batches(split, Digits(pad=1, flip=True), 5, 0)
    list(batches.epoch(0))
    assert torch.equal(joined(list(batches.epoch(3)))[0], joined(epoch(split, 3, size=5, seed=0, pad=1, flip=True))[0])


def test_each_image_comes_exactly_once_an_epoch() -> None:
    for number in range(3):
        assert sorted(joined(epoch(numbered(31), number))[1].tolist()) == list(range(31))


def test_epochs_and_seeds_differ_in_order_and_in_crops() -> None:
    split = numbered(40)
    views = [joined(epoch(split, n, seed=s, pad=2)) for n, s in ((0, 3), (1, 3), (0, 4))]
    sorted_views = [pixels[labels.argsort()] for pixels, labels in views]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(views[i][1], views[j][1])
        assert not torch.equal(sorted_views[i], sorted_views[j])


def test_what_an_image_looks_like_does_not_depend_on_the_batch_size() -> None:
    split = numbered(30)
    (small, a), (large, b) = (joined(epoch(split, 2, size=size, pad=2, flip=True)) for size in (4, 11))
    assert torch.equal(a, b)
    assert torch.equal(small, large)


def test_the_last_batch_is_what_is_left_over() -> None:
    assert [len(labels) for _, labels in epoch(numbered(9), size=4)] == [4, 4, 1]
    assert [len(labels) for _, labels in epoch(numbered(8), size=4)] == [4, 4]
    assert [len(labels) for _, labels in epoch(numbered(3), size=4)] == [3]


@pytest.mark.parametrize(("count", "batches"), [(9, 3), (8, 2), (3, 1)])
def test_per_epoch_counts_the_short_batch(count: int, batches: int) -> None:
    assert Batches(numbered(count), Digits(), 4, 0).per_epoch == batches == len(epoch(numbered(count)))


def test_without_padding_and_flips_images_are_as_they_are() -> None:
    split = numbered(10)
    pixels, labels = joined(epoch(split, pad=0, flip=False))
    assert (pixels.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert np.array_equal(pixels.numpy(), split.images[labels].numpy().astype(np.float32) / np.float32(255))


def test_the_training_images_are_not_changed() -> None:
    split = numbered(10)
    before = split.images.clone()
    epoch(split, pad=2, flip=True)
    assert torch.equal(split.images, before)


def test_all_crops_and_flips_are_equally_likely() -> None:
    count, pad = 9000, 1
    image = torch.arange(1, 13, dtype=torch.uint8).view(1, 1, 3, 4)
    padded = F.pad(image, (pad,) * 4)[0]
    crops = [padded[:, r : r + 3, c : c + 4] for r in range(3) for c in range(3)]
    views = {(crop.flip(2) if flip else crop).numpy().tobytes() for crop in crops for flip in (False, True)}
    split = Split(image.expand(count, 1, 3, 4), torch.arange(count))
    pixels, _ = joined(epoch(split, size=1000, pad=pad, flip=True))
    found, counts = np.unique((pixels * 255).round().to(torch.uint8).flatten(1).numpy(), axis=0, return_counts=True)
    assert {row.tobytes() for row in found} == views
    assert len(views) == 18
    assert chisquare(counts).pvalue > 0.001
