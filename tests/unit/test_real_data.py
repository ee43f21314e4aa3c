"""The real files, where TICKETSEARCH_DATA names a folder that holds them: known facts, and the constants of ours."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.official import CLASSES
from ticketsearch.data.base import Split
from ticketsearch.data.stored import ROOT
from ticketsearch.errors import DataMissing

PIECES = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "kmnist": "KMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "svhn": "train_32x32.mat",
}
"""What is looked for in the folder. Where it is there and cannot be read, tests fail."""


@cache
def parts(name: str) -> tuple[Split, Split]:
    """The training and test images; the tests that want them are skipped, with the reason, where they are not there."""
    folder = os.environ.get(ROOT)
    if not folder:
        pytest.skip(f"{ROOT} is not set: no real images to compare with")
    if not (Path(folder).expanduser() / PIECES[name]).exists():
        pytest.skip(f"the folder of {ROOT} holds no {name}")
    return CLASSES[name]().read()


COUNTS = {
    "mnist": ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
              [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    "fashion_mnist": ([6000] * 10, [1000] * 10),
    "kmnist": ([6000] * 10, [1000] * 10),
    "cifar10": ([5000] * 10, [1000] * 10),
    "cifar100": ([500] * 100, [100] * 100),
    "svhn": ([4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659],
             [1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595]),
}  # fmt: skip
FIRST = {
    "mnist": ([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
    "fashion_mnist": ([9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]),
    "cifar10": ([6, 9, 9, 4, 1, 1, 2, 7, 8, 3], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]),
    "cifar100": ([19, 29, 0, 11, 1, 86, 90, 28, 23, 31], [49, 33, 72, 51, 71, 92, 15, 14, 23, 0]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_as_many_of_each_class_as_published(name: str) -> None:
    for split, counts in zip(parts(name), COUNTS[name], strict=True):
        assert torch.bincount(split.labels).tolist() == counts
        assert split.images.shape == (sum(counts), *CLASSES[name].shape)
        assert split.images.dtype == torch.uint8


@pytest.mark.parametrize("name", FIRST)
def test_the_first_labels_are_the_known_ones(name: str) -> None:
    assert tuple(split.labels[:10].tolist() for split in parts(name)) == FIRST[name]


def test_the_first_pictures_are_the_known_ones() -> None:
    frog = parts("cifar10")[0].images[0]  # red, green and blue of its upper left corner
    assert frog[:, 0, 0].tolist() == [59, 62, 63]
    assert frog[:, 0, 1].tolist() == [43, 46, 45]  # to the right
    assert frog[:, 1, 0].tolist() == [16, 20, 20]  # below
    assert parts("cifar100")[0].images[0, :, 0, 0].tolist() == [255, 255, 255]


def test_the_first_digit_is_a_five() -> None:
    five = parts("mnist")[0].images[0, 0]
    assert five[5, 12:24].tolist() == [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    assert not five[:5].any()


def statistics(split: Split) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel's pixels in [0, 1], from exact counts of the 256 values."""
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(split.images.shape[1]):
        counts = torch.bincount(split.images[:, channel].flatten(), minlength=256).double().numpy()
        share = counts / counts.sum()
        means.append(float(share @ values))
        stds.append(float(np.sqrt(share @ values**2 - means[-1] ** 2)))
    return means, stds


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10", "svhn"])
def test_means_and_deviations_are_those_of_the_training_images_to_the_printed_digit(name: str) -> None:
    means, stds = statistics(parts(name)[0])
    assert tuple(round(mean, 4) for mean in means) == CLASSES[name].mean
    assert tuple(round(std, 4) for std in stds) == CLASSES[name].std


def test_those_of_cifar100_are_the_papers() -> None:
    # Its second mean is 0.48655 with five digits, which the paper's code rounds up a second time.
    means, stds = statistics(parts("cifar100")[0])
    found = CLASSES["cifar100"]
    assert [round(mean, 5) for mean in means] == [0.50708, 0.48655, 0.44092]
    assert found.mean == (0.5071, 0.4866, 0.4409)
    assert tuple(round(std, 4) for std in stds) == found.std == (0.2673, 0.2564, 0.2762)


@pytest.mark.parametrize("name", ["mnist", *(pytest.param(f"cifar{n}", marks=pytest.mark.slow) for n in (10, 100))])
def test_the_last_five_thousand_training_images_validate(name: str) -> None:
    train, test = parts(name)
    found = CLASSES[name]().load()
    assert [len(split) for split in (found.train, found.val, found.test)] == [len(train) - 5000, 5000, len(test)]
    for split, wanted in ((found.train, train[:-5000]), (found.val, train[-5000:]), (found.test, test)):
        assert torch.equal(split.images, wanted.images)
        assert torch.equal(split.labels, wanted.labels)


def test_the_real_mnist_without_its_archives_is_the_same(tmp_path: Path) -> None:
    train, _ = parts("mnist")
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST/raw").mkdir()
    for file in (CLASSES["mnist"]().folder / "MNIST/raw").glob("*-ubyte"):
        (tmp_path / "MNIST/raw" / file.name).symlink_to(file.absolute())
    assert torch.equal(CLASSES["mnist"](root=str(tmp_path)).read()[0].images, train.images)


def test_a_missing_batch_of_the_real_cifar10(tmp_path: Path) -> None:
    parts("cifar10")
    (tmp_path / "cifar-10-batches-py").mkdir()
    for file in (CLASSES["cifar10"]().folder / "cifar-10-batches-py").iterdir():
        if file.name != "data_batch_4":
            (tmp_path / "cifar-10-batches-py" / file.name).symlink_to(file.absolute())
    with pytest.raises(DataMissing):
        CLASSES["cifar10"](root=str(tmp_path)).read()
