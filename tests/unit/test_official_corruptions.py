"""CIFAR-10-C and CIFAR-100-C in their published form, written small."""

from pathlib import Path

import numpy as np
import pytest

from ticketsearch.data.corruptions import official, official_labels
from ticketsearch.errors import DataMissing


def published(root: Path, name: str, kinds: list[str], count: int = 4) -> np.ndarray:
    """Files as published, of `count` test images: uint8 [5 count, 32, 32, 3] a kind, and labels five times over."""
    folder = root / name
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(kinds), 5 * count, 32, 32, 3), np.uint8)
    for kind, pixels in zip(kinds, images, strict=True):
        np.save(folder / f"{kind}.npy", pixels)
    np.save(folder / "labels.npy", np.tile(np.arange(count) % 10, 5).astype(np.uint8))
    return images


@pytest.mark.parametrize("name", ["CIFAR-10-C", "CIFAR-100-C"])
def test_images_are_by_severity_and_channels_first(name: str, tmp_path: Path) -> None:
    fog, snow = published(tmp_path, name, ["fog", "snow"])
    for kind, pixels in (("fog", fog), ("snow", snow)):
        found = official(tmp_path, name, kind)
        assert found.shape == (5, 4, 3, 32, 32)
        assert found.dtype == np.uint8
        for severity in range(5):
            for image in range(4):
                assert np.array_equal(found[severity, image].transpose(1, 2, 0), pixels[severity * 4 + image])
    assert official_labels(tmp_path, name).tolist() == [0, 1, 2, 3]
    assert official_labels(tmp_path, name).dtype == np.int64


def test_the_file_is_looked_at_and_not_read_whole(tmp_path: Path) -> None:
    published(tmp_path, "CIFAR-10-C", ["fog"])
    found = official(tmp_path, "CIFAR-10-C", "fog")
    assert not found.flags.owndata
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda path: path.unlink(), "it is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "no published corruptions"),
        (lambda path: path.write_bytes(b""), "no published corruptions"),
        (lambda path: np.save(path, np.zeros((20, 32, 32, 3), np.float32)), "float32"),
        (lambda path: np.save(path, np.zeros((20, 3, 32, 32), np.uint8)), r"\[20, 3, 32, 32\]"),
        (lambda path: np.save(path, np.zeros((19, 32, 32, 3), np.uint8)), r"\[19, 32, 32, 3\]"),
        (lambda path: np.save(path, np.zeros((0, 32, 32, 3), np.uint8)), r"\[0, 32, 32, 3\]"),
        (lambda path: np.save(path, np.array([{}] * 5, dtype=object), allow_pickle=True), "no published corruptions"),
    ],
)
def test_what_is_not_the_published_form_is_missing_data(wrong: object, why: str, tmp_path: Path) -> None:
    published(tmp_path, "CIFAR-10-C", ["fog"])
    wrong(tmp_path / "CIFAR-10-C" / "fog.npy")
    with pytest.raises(DataMissing, match=why):
        official(tmp_path, "CIFAR-10-C", "fog")


@pytest.mark.parametrize(
    "labels",
    [np.zeros(19, np.uint8), np.zeros((20, 1), np.uint8), np.zeros(20, np.float32), np.arange(20, dtype=np.uint8)],
    ids=["not by five", "two axes", "fractions", "other labels in each severity"],
)
def test_labels_are_checked(labels: np.ndarray, tmp_path: Path) -> None:
    published(tmp_path, "CIFAR-10-C", [])
    np.save(tmp_path / "CIFAR-10-C" / "labels.npy", labels)
    with pytest.raises(DataMissing, match=r"labels\.npy"):
        official_labels(tmp_path, "CIFAR-10-C")
