"""Datasets in official files: every pixel and label through torchvision, and where their folder is."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from tests.official import CLASSES, COUNTS, WRITERS, Part, parts
from ticketsearch.compose import compose
from ticketsearch.data.base import Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.data.mnist import Mnist
from ticketsearch.data.stored import Stored

every_set = pytest.mark.parametrize("name", WRITERS)


def chosen(name: str) -> Stored:
    """The dataset as its yaml says."""
    return CLASSES[name]()


def written(name: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Part, Part]:
    """Tiny official files of a dataset in a folder; what is in them."""
    both = parts(chosen(name).shape, chosen(name).classes)
    WRITERS[name](folder, patch, *both)
    return both


def assert_is(split: Split, images: np.ndarray, labels: np.ndarray) -> None:
    assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert split.images.is_contiguous()
    assert np.array_equal(split.images.numpy(), images)
    assert np.array_equal(split.labels.numpy(), labels)


@every_set
def test_every_pixel_and_label_is_read_and_the_last_training_images_validate(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = written(name, tmp_path, monkeypatch)
    found = replace(chosen(name), root=str(tmp_path), validation=7).load()
    left = COUNTS[0] - 7
    assert_is(found.train, train.images[:left], train.labels[:left])
    assert_is(found.val, train.images[left:], train.labels[left:])
    assert_is(found.test, test.images, test.labels)
    assert 0 in test.labels[: COUNTS[1]] or name == "cifar100"  # SVHN writes it as 10


@every_set
def test_a_picture_comes_out_upright_in_its_channels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In channel c one point is bright, in row 3 + 2c of column 20 + c: below the middle of nothing, left of nothing.
    channels, height, width = chosen(name).shape
    picture = np.zeros((5, channels, height, width), np.uint8)
    for channel in range(channels):
        picture[:, channel, 3 + 2 * channel, 20 + channel] = 200 + channel
    part = Part(picture, np.arange(5))
    WRITERS[name](tmp_path, monkeypatch, part, part)
    found = replace(chosen(name), root=str(tmp_path), validation=1).load()
    for split in (found.train, found.val, found.test):
        bright = split.images[0].nonzero().tolist()
        assert bright == [[channel, 3 + 2 * channel, 20 + channel] for channel in range(channels)]
        assert split.images[0].amax((1, 2)).tolist() == [200 + channel for channel in range(channels)]


def test_the_tiny_files_are_laid_out_as_their_authors_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = written("mnist", tmp_path, monkeypatch)
    raw = (tmp_path / "MNIST/raw/train-images-idx3-ubyte").read_bytes()
    assert raw[:16].hex() == "00000803" + "00000028" + "0000001c" + "0000001c"  # 40 images of 28 rows and 28 columns
    assert raw[16 + 28 * 28 * 2 + 28 * 4 + 9] == train.images[2, 0, 4, 9]
    train, _ = written("cifar10", tmp_path, monkeypatch)
    batch = pickle.loads((tmp_path / "cifar-10-batches-py/data_batch_2").read_bytes())
    assert batch["data"].shape == (8, 3072)
    assert batch["data"][1][1024 * 2 + 32 * 4 + 9] == train.images[9, 2, 4, 9]
    train, _ = written("svhn", tmp_path, monkeypatch)
    found = scipy.io.loadmat(tmp_path / "train_32x32.mat")
    assert (found["X"].shape, found["y"].shape) == ((32, 32, 3, 40), (40, 1))
    assert found["X"][4, 9, 2, 5] == train.images[5, 2, 4, 9]
    assert set(found["y"].flatten()) == set(range(1, 11))


@every_set
def test_the_yaml_is_the_class_and_its_published_shape(name: str) -> None:
    dataset = compose([f"dataset={name}"]).dataset
    assert dataset == chosen(name)
    assert len(dataset.mean) == len(dataset.std) == dataset.shape[0]
    assert (dataset.validation, dataset.outputs) == (5000, 100 if name == "cifar100" else 10)
    coloured = name in ("cifar10", "cifar100", "svhn")
    assert dataset.shape == ((3, 32, 32) if coloured else (1, 28, 28))
    assert dataset.recipe == ("cifar" if coloured else "mnist")
    # Crops for photographs; flips where left and right mean nothing.
    assert (dataset.pad, dataset.flip) == (4 if coloured else 0, name.startswith("cifar"))


def test_archives_need_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = written("mnist", tmp_path, monkeypatch)
    for archive in (tmp_path / "MNIST/raw").glob("*.gz"):
        archive.unlink()
    assert_is(Mnist(str(tmp_path), validation=0).load().train, train.images, train.labels)


# Where the folder is: dataset.root, else TICKETSEARCH_DATA, else the user's cache.


@pytest.mark.parametrize(
    ("root", "data", "cache", "folder"),
    [
        ("/typed", "/named", "/cache", "/typed"),
        (None, "/named", "/cache", "/named"),
        (None, None, "/cache", "/cache/ticketsearch"),
        (None, "", "", "/home/someone/.cache/ticketsearch"),
        (None, None, None, "/home/someone/.cache/ticketsearch"),
        ("~/typed", None, None, "/home/someone/typed"),
        (None, "~/named", None, "/home/someone/named"),
        ("typed", "/named", None, "typed"),
    ],
)
def test_where_the_folder_is(
    root: str | None, data: str | None, cache: str | None, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in (("TICKETSEARCH_DATA", data), ("XDG_CACHE_HOME", cache)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert Cifar10(root).folder == Path(folder)


@pytest.mark.parametrize(
    ("variable", "place"),
    [("TICKETSEARCH_DATA", ""), ("XDG_CACHE_HOME", "ticketsearch"), ("HOME", ".cache/ticketsearch")],
)
def test_it_is_read_from_there(variable: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = written("cifar10", tmp_path / place, monkeypatch)
    for name in ("TICKETSEARCH_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert_is(Cifar10(validation=0).load().train, train.images, train.labels)


def test_the_folder_and_the_download_are_no_part_of_the_id() -> None:
    lines = ([], ["dataset.root=/elsewhere"], ["dataset.download=true"])
    assert len({compose(["dataset=cifar10", *line]).id for line in lines}) == 1
