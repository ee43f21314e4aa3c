"""The embedded digits: which image is in which split must never change."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ticketsearch.data import digits
from ticketsearch.data.base import Data, Split
from ticketsearch.data.digits import Digits

GOLDEN = {
    "train": (
        1200,
        "21c32f1db0de912b757a2772ca23c48aa558292d9e733801c4e9d7b28a6e3995",
        "80c260d7a24e1f008d43d3c36ecbfb40fd4cc4ae4270397a80556cce2b1e7297",
    ),
    "val": (
        200,
        "e23da7fd35d7eba46a89e80fa0848221ab4dd2f60bf1e775364779d6f757b4d4",
        "51947fcb963e489209537077672641fde3128b6994dc20015d43eed0819a96bf",
    ),
    "test": (
        397,
        "2c10a0545a34509174045d041f38ee05e61995ad36e58eee81b560ec14574fe8",
        "4cce2e1717dda3e21faee5012c5140342404d588ff303035d205709b18f60270",
    ),
}


def sha(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def split_of(data: Data, name: str) -> Split:
    return getattr(data, name)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_splits(name: str) -> None:
    split = split_of(Digits().load(), name)
    assert (len(split), sha(split.images), sha(split.labels)) == GOLDEN[name]
    assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert split.images.shape == (len(split), *Digits.shape)


def test_every_image_is_in_one_split_and_keeps_its_label() -> None:
    # The order is rebuilt here from the definition: sorted by the SHA-256 of the index as text.
    pixels, labels = load_digits(return_X_y=True)
    order = np.argsort([hashlib.sha256(str(i).encode()).hexdigest() for i in range(1797)])
    assert sorted(order) == list(range(1797))
    data = Digits().load()
    images = torch.cat([split_of(data, name).images for name in GOLDEN]).flatten(1).numpy()
    assert np.array_equal(images, np.round(pixels[order] / 16 * 255).astype(np.uint8))
    assert np.array_equal(torch.cat([split_of(data, name).labels for name in GOLDEN]).numpy(), labels[order])


def test_grey_levels_fill_the_byte() -> None:
    # 17 levels from 0 to 16, stretched to 0 to 255: k x 15.9375, rounded.
    levels = np.unique(Digits().load().train.images.numpy())
    assert levels.tolist() == [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]


def test_all_classes_are_in_every_split() -> None:
    data = Digits().load()
    assert all(len(split_of(data, name).labels.unique()) == Digits.classes for name in GOLDEN)


def test_mean_and_standard_deviation_are_those_of_the_training_pixels() -> None:
    # Of all 1,400, as is the custom for CIFAR: they do not depend on what is kept apart for validation.
    pixels = Digits(validation=0).load().train.images.numpy().astype(np.float64) / 255
    assert Digits.mean == (round(pixels.mean(), 3),)
    assert Digits.std == (round(pixels.std(), 3),)


def test_validation_is_the_end_of_train_and_subset_the_start_of_the_rest() -> None:
    whole, some = Digits(validation=0).load(), Digits(validation=300, subset=70).load()
    assert (len(whole.train), len(whole.val), len(some.train), len(some.val)) == (1400, 0, 70, 300)
    assert torch.equal(some.train.images, whole.train.images[:70])
    assert torch.equal(some.val.images, whole.train.images[1100:])
    assert torch.equal(some.val.labels, whole.train.labels[1100:])
    assert torch.equal(some.test.images, whole.test.images)


def test_an_empty_validation_split_is_not_evaluated() -> None:
    assert list(Digits(validation=0).load().splits()) == ["test"]
    assert list(Digits().load().splits()) == ["val", "test"]


@pytest.mark.parametrize(("validation", "subset"), [(1399, 1), (0, 1400), (200, 1200)])
def test_sizes_that_just_fit(validation: int, subset: int) -> None:
    data = Digits(validation=validation, subset=subset).load()
    assert (len(data.train), len(data.val)) == (subset, validation)


@pytest.mark.parametrize(
    ("validation", "subset"), [(1400, None), (1401, None), (5000, 10), (200, 1201), (0, 1401), (1399, 2)]
)
def test_impossible_sizes_raise(validation: int, subset: int | None) -> None:
    with pytest.raises(ValueError, match="1400 training images cannot give"):
        Digits(validation=validation, subset=subset).load()


def test_they_are_found_in_another_version_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert digits._file().is_file()
    here = Digits().load().fingerprint()
    monkeypatch.setattr(digits, "_file", lambda: tmp_path / "elsewhere.csv.gz")
    assert Digits().load().fingerprint() == here
