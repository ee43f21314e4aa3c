"""The parts of images that explanations switch on and off."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import segmentation

from ticketsearch.data import ood
from ticketsearch.data.digits import Digits
from ticketsearch.metrics.segments import chosen_for, segmented

PHOTOS = ood.images("patches", (3, 32, 32), 6, Path(), torch.device("cpu"))


def test_blocks_by_hand() -> None:
    (found,) = segmented(torch.zeros(1, 1, 5, 3, dtype=torch.uint8), "blocks")
    assert found.tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3], [2, 2, 3], [4, 4, 5]]
    (digit,) = segmented(Digits().load().test.images[:1], "auto")
    assert digit.unique(return_counts=True)[1].tolist() == [4] * 16


@pytest.mark.parametrize(
    ("sides", "chosen"),
    [((8, 8), "blocks"), ((27, 300), "blocks"), ((28, 28), "felzenszwalb"), ((300, 28), "felzenszwalb"),
     ((127, 127), "felzenszwalb"), ((128, 128), "quickshift"), ((224, 224), "quickshift")],
)  # fmt: skip
def test_auto_goes_by_the_smaller_side(sides: tuple[int, int], chosen: str) -> None:
    assert chosen_for(sides, "auto") == chosen
    assert chosen_for(sides, "blocks") == "blocks"


def test_they_are_those_of_the_library_by_the_published_settings() -> None:
    found, numbers = segmented(PHOTOS, "auto"), []
    for image, own in zip(PHOTOS, found, strict=True):
        theirs = segmentation.felzenszwalb(image.permute(1, 2, 0).numpy(), scale=10, sigma=0.4, min_size=20)
        assert np.array_equal(theirs, own.numpy())
        assert min(own.unique(return_counts=True)[1]) >= 20
        numbers.append(len(own.unique()))
    assert len(set(numbers)) > 1
    assert found.dtype == torch.int64


def test_grey_is_three_equal_channels() -> None:
    grey = PHOTOS.float().mean(1, keepdim=True).to(torch.uint8)
    found = segmented(grey, "felzenszwalb")
    assert torch.equal(found, segmented(grey.repeat(1, 3, 1, 1), "felzenszwalb"))
    alone = [segmentation.felzenszwalb(g[0].numpy(), 10, 0.4, 20, channel_axis=None) for g in grey]
    assert not np.array_equal(np.stack(alone), found.numpy())


def test_large_images_have_quickshifts_numbered_without_gaps() -> None:
    large = ood.images("patches", (3, 128, 128), 2, Path(), torch.device("cpu"))
    found = segmented(large, "auto")
    for image, own in zip(large, found, strict=True):
        picture = image.permute(1, 2, 0).numpy()
        theirs = segmentation.quickshift(picture, kernel_size=4, max_dist=200, ratio=0.2, rng=0)
        assert np.array_equal(theirs, own.numpy())
        assert own.unique().tolist() == list(range(int(own.max()) + 1))


def test_each_image_is_cut_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = PHOTOS[:2].flip(3)
    first, calls = segmented(fresh, "felzenszwalb"), []
    monkeypatch.setattr(segmentation, "felzenszwalb", lambda *given, **settings: calls.append(given))
    assert torch.equal(segmented(fresh, "auto"), first)
    assert not calls
    assert not torch.equal(segmented(fresh, "blocks"), first)
