"""The numbers of CIFAR-10-C and ImageNet-C, written down again from the published files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ticketsearch.data.corruptions import EXTRA, KINDS, corrupt, frost_is_procedural, refusal
from ticketsearch.data.corruptions.tables import CONSTANTS, canvas, scale
from ticketsearch.errors import DataMissing, UsageError

# hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py: `c` of every function, severities 1 to 5.
# zoom_blur: the end and the step of its `np.arange`; elastic_transform: in parts of IMSIZE.
CIFAR = {
    "gaussian_noise": [0.04, 0.06, 0.08, 0.09, 0.10],
    "shot_noise": [500, 250, 100, 75, 50],
    "impulse_noise": [0.01, 0.02, 0.03, 0.05, 0.07],
    "speckle_noise": [0.06, 0.1, 0.12, 0.16, 0.2],
    "gaussian_blur": [0.4, 0.6, 0.7, 0.8, 1],
    "glass_blur": [[0.05, 1, 1], [0.25, 1, 1], [0.4, 1, 1], [0.25, 1, 2], [0.4, 1, 2]],
    "defocus_blur": [[0.3, 0.4], [0.4, 0.5], [0.5, 0.6], [1, 0.2], [1.5, 0.1]],
    "motion_blur": [[6, 1], [6, 1.5], [6, 2], [8, 2], [9, 2.5]],
    "zoom_blur": [[1.06, 0.01], [1.11, 0.01], [1.16, 0.01], [1.21, 0.01], [1.26, 0.01]],
    "fog": [[0.2, 3], [0.5, 3], [0.75, 2.5], [1, 2], [1.5, 1.75]],
    "frost": [[1, 0.2], [1, 0.3], [0.9, 0.4], [0.85, 0.4], [0.75, 0.45]],
    "snow": [[0.1, 0.2, 1, 0.6, 8, 3, 0.95], [0.1, 0.2, 1, 0.5, 10, 4, 0.9], [0.15, 0.3, 1.75, 0.55, 10, 4, 0.9],
             [0.25, 0.3, 2.25, 0.6, 12, 6, 0.85], [0.3, 0.3, 1.25, 0.65, 14, 12, 0.8]],
    "spatter": [[0.62, 0.1, 0.7, 0.7, 0.5, 0], [0.65, 0.1, 0.8, 0.7, 0.5, 0], [0.65, 0.3, 1, 0.69, 0.5, 0],
                [0.65, 0.1, 0.7, 0.69, 0.6, 1], [0.65, 0.1, 0.5, 0.68, 0.6, 1]],
    "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
    "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
    "saturate": [[0.3, 0], [0.1, 0], [1.5, 0], [2, 0.1], [2.5, 0.2]],
    "jpeg_compression": [80, 65, 58, 50, 40],
    "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
    "elastic_transform": [[0, 0, 0.08], [0.05, 0.2, 0.07], [0.08, 0.06, 0.06], [0.1, 0.04, 0.05], [0.1, 0.03, 0.03]],
}  # fmt: skip


@pytest.mark.parametrize("kind", CIFAR)
def test_the_numbers_of_cifar_are_the_published_ones(kind: str) -> None:
    wanted = [c if isinstance(c, list) else [c] for c in CIFAR[kind]]
    assert [list(c) for c in CONSTANTS["cifar"][kind]] == wanted


def test_there_are_fifteen_kinds_and_four_more_in_both_tables() -> None:
    assert len(KINDS) == len(set(KINDS)) == 15
    assert len(EXTRA) == len(set(EXTRA)) == 4
    for table in CONSTANTS.values():
        assert set(table) == {*KINDS, *EXTRA} == set(CIFAR)
        assert all(len(severities) == 5 for severities in table.values())


def test_zooms_are_the_published_ranges() -> None:
    # Rounding decides whether the end of a range is in it: 0.06 / 0.01 and 0.11 / 0.01 are a little too large.
    counts = [len(np.arange(1, stop, step)) for stop, step in CONSTANTS["cifar"]["zoom_blur"]]
    assert counts == [7, 12, 16, 21, 26]


def test_lengths_follow_the_shorter_side_below_32() -> None:
    assert [scale(8, 8), scale(28, 28), scale(32, 32), scale(64, 40), scale(16, 40)] == [0.25, 0.875, 1, 1, 0.5]
    assert [canvas(8, 8), canvas(28, 28), canvas(64, 40), canvas(16, 40)] == [(32, 32), (32, 32), (64, 40), (32, 80)]


@pytest.mark.parametrize(
    ("kind", "table", "shape", "why"),
    [
        ("saturate", "cifar", (1, 28, 28), "one channel has no hue"),
        ("fog", "cifar", (2, 32, 32), "2 channels"),
        ("fog", "cifar", (3, 32, 7), "7 pixels a side"),
        ("fog", "imagenet", (3, 28, 28), "32 pixels a side"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    kind: str, table: str, shape: tuple[int, int, int], why: str
) -> None:
    assert why in refusal(kind, table, shape)
    with pytest.raises(UsageError, match=kind):
        corrupt(torch.zeros(1, *shape, dtype=torch.uint8), kind, 1, table)


def test_what_makes_sense_is_not_refused() -> None:
    for kind in (*KINDS, *EXTRA):
        assert refusal(kind, "cifar", (3, 8, 8)) == refusal(kind, "imagenet", (3, 32, 32)) == ""
        assert bool(refusal(kind, "cifar", (1, 28, 28))) == (kind == "saturate")


def test_mistakes_are_told() -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(UsageError) as told:
        corrupt(images, "gausian_noise", 1, "cifar")
    assert "'gaussian_noise'" in told.value.right
    for wrong in (
        lambda: corrupt(images, "fog", 1, "imagnet"),
        lambda: corrupt(images, "fog", 0, "cifar"),
        lambda: corrupt(images, "fog", 6, "cifar"),
        lambda: corrupt(images.float(), "fog", 1, "cifar"),
        lambda: corrupt(images[0], "fog", 1, "cifar"),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_missing_frost_pictures_are_told_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "frost1.png").touch()
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert "frost2.png" in refusal("frost", "cifar", (3, 32, 32), tmp_path)
    assert refusal("fog", "cifar", (3, 32, 32), tmp_path) == ""
    with pytest.raises(DataMissing, match=r"frost6\.jpg"):
        corrupt(images, "frost", 1, "cifar", frost=tmp_path)
    for name in ("frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DataMissing, match="no picture"):
        corrupt(images, "frost", 1, "cifar", frost=tmp_path)
    assert frost_is_procedural(None)
    assert not frost_is_procedural(tmp_path)
