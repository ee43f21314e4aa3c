"""Corruptions with the numbers of ImageNet-C against the package `imagecorruptions`, pixel by pixel.

Random kinds are compared in the same way: the package is given the random numbers that ours draw (`tests/package.py`).
Both drop the fraction of a level, so that values that differ by rounding alone can be one level apart where a whole
number lies between them. Ours adds GUARD to a level before, to which float32 adds less than a fifth of it, so that
this happens to a share of GUARD of the pixels whose values are spread evenly, and to those that are whole numbers.
"""

import warnings

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from tests.package import fed, inside, packaged, photographs, pictures
from ticketsearch.data.corruptions import SEVERITIES, corrupt
from ticketsearch.data.corruptions.blur import enlarged
from ticketsearch.data.corruptions.elastic import _affine
from ticketsearch.data.corruptions.motion import along
from ticketsearch.data.corruptions.pixels import GUARD
from ticketsearch.data.corruptions.tables import CONSTANTS

EXACT = ("brightness", "contrast", "pixelate", "jpeg_compression", "saturate")
"""Kinds that are computed in the same steps in float64, or in whole numbers."""
NUMBERED = ("gaussian_noise", "speckle_noise", "motion_blur", "snow", "fog", "elastic_transform")
SHARE = 1.2 * GUARD


def odds(share: float, pixels: int) -> float:
    """A share that is exceeded by chance once in a thousand million times."""
    return float(scipy.stats.binom.isf(1e-9, pixels, share)) / pixels


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, share: float) -> None:
    apart = (ours.int() - theirs.int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart > 0).double().mean()) <= odds(share, apart.numel())


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("kind", EXACT)
def test_kinds_of_exact_steps_are_the_packages_bit_for_bit(kind: str, side: int) -> None:
    images = torch.cat([photographs(6, side), photographs(6, side, seed=1, low=-60, high=320)])
    for severity in SEVERITIES:
        assert torch.equal(corrupt(images, kind, severity, "imagenet"), packaged(images, kind, severity))


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize(
    ("kind", "whole"),
    [("gaussian_blur", 0), ("zoom_blur", 0), ("defocus_blur", 1 / 29)],  # the disk of radius 3 is a mean of 29 pixels
)
def test_blurs_agree_up_to_the_guard(kind: str, whole: float, side: int) -> None:
    images = photographs(10, side)
    for severity in SEVERITIES:
        share = SHARE + (whole if severity == 1 else 0)
        assert_near(corrupt(images, kind, severity, "imagenet"), packaged(images, kind, severity), share)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("kind", NUMBERED)
def test_random_kinds_agree_when_they_are_given_the_same_numbers(kind: str, side: int) -> None:
    images = photographs(10, side)
    for severity in SEVERITIES:
        ours = corrupt(images, kind, severity, "imagenet")
        assert_near(ours, packaged(images, kind, severity, fed(kind, severity, images)), SHARE)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_agrees_when_it_is_given_the_same_numbers(severity: int) -> None:
    images = photographs(3, 32)
    _, reach, passes = CONSTANTS["imagenet"]["glass_blur"][severity - 1]
    theirs = packaged(images, "glass_blur", severity, fed("glass_blur", severity, images, (int(reach), int(passes))))
    # Two blurs, each with its guard; a level of the first is a level in all of the second.
    assert_near(corrupt(images, "glass_blur", severity, "imagenet"), theirs, 3 * SHARE)


def test_the_packages_pixels_of_glass_blur_are_copied_and_not_swapped() -> None:
    pixels = np.arange(32 * 32 * 3).reshape(32, 32, 3)
    moved = inside._shuffle_pixels_njit_glass_blur(32, 32, pixels.copy(), (0.7, 1, 1), 0)
    assert len(np.unique(moved)) < len(np.unique(pixels))


@pytest.mark.parametrize("side", [32, 64])
def test_frost_agrees_when_it_is_given_the_same_numbers(side: int) -> None:
    images = photographs(12, side)
    for severity in SEVERITIES:
        ours = corrupt(images, "frost", severity, "imagenet", frost=pictures())
        theirs = packaged(images, "frost", severity, fed("frost", severity, images))
        # The pictures are made larger in whole numbers by OpenCV, in float32 here: halves can be rounded to two sides.
        assert_near(ours, theirs, SHARE)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_spatter_agrees_when_it_is_given_the_same_numbers(severity: int) -> None:
    images = photographs(12, 32)
    ours = corrupt(images, "spatter", severity, "imagenet").int()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = packaged(images, "spatter", severity, fed("spatter", severity, images)).int()
    apart = (ours - theirs).abs()
    # A level of the noise on the other side of a whole number can move an edge of one image's water, and with it the
    # histogram of that image: one in twelve may differ, and the others by one level.
    dry = (ours == images).flatten(1).all(1)  # no drop at all: the package has divided by zero
    odd = (apart.flatten(1).amax(1) > 1) & ~dry
    assert int(odd.sum()) <= 1
    assert int((~dry).sum()) >= 6
    share = float((apart[~dry & ~odd] > 0).double().mean())
    assert share <= odds(SHARE, apart[~dry & ~odd].numel())


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("table", ["cifar", "imagenet"])
def test_shot_noise_is_poisson(table: str, severity: int) -> None:
    photons = CONSTANTS[table]["shot_noise"][severity - 1][0]
    for value in (0, 3, 100, 255):
        found = corrupt(torch.full((20, 3, 32, 32), value, dtype=torch.uint8), "shot_noise", severity, table)
        counts = np.bincount(found.flatten().numpy(), minlength=256)
        events = np.arange(photons * 2 + 60)
        levels = (np.clip(events / photons, 0, 1) * 255).astype(int)
        chances = np.bincount(levels, scipy.stats.poisson.pmf(events, value / 255 * photons), 256)
        expected = chances * counts.sum()
        many = expected >= 10
        assert not counts[chances < 1e-12].any()
        if many.sum() > 1:
            seen, wanted = (
                np.append(counts[many], counts[~many].sum()),
                np.append(expected[many], expected[~many].sum()),
            )
            keep = wanted > 0
            statistic = ((seen - wanted)[keep] ** 2 / np.maximum(wanted[keep], 5)).sum()
            assert scipy.stats.chi2.sf(statistic, keep.sum() - 1) > 1e-6
        else:
            assert counts[many].sum() == counts.sum()


@pytest.mark.parametrize("severity", [1, 5])
def test_impulse_noise_has_the_packages_shares_of_white_and_black(severity: int) -> None:
    images = torch.full((20, 3, 32, 32), 100, dtype=torch.uint8)
    amount = CONSTANTS["imagenet"]["impulse_noise"][severity - 1][0]
    for found in (corrupt(images, "impulse_noise", severity, "imagenet"), packaged(images, "impulse_noise", severity)):
        assert set(found.unique().tolist()) == {0, 100, 255}
        for value in (0, 255):
            share = float((found == value).double().mean())
            assert abs(share - amount / 2) < 6 * (amount / 2 / found.numel()) ** 0.5


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_noise_without_the_numbers_is_the_packages_in_mean_and_spread(severity: int) -> None:
    images = photographs(40, 32)
    for kind in ("gaussian_noise", "shot_noise", "speckle_noise"):
        changes = [
            (made.double() - images).flatten()
            for made in (corrupt(images, kind, severity, "imagenet"), packaged(images, kind, severity))
        ]
        size = len(changes[0])
        errors = [change.std() / size**0.5 for change in changes]
        assert abs(changes[0].mean() - changes[1].mean()) < 5 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
        squares = [change.square() for change in changes]
        errors = [square.std() / size**0.5 for square in squares]
        assert abs(squares[0].mean() - squares[1].mean()) < 5 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5


@pytest.mark.parametrize("size", [28, 31, 32, 33, 64, 97])
def test_enlargements_are_scipys(size: int) -> None:
    line = np.random.default_rng(0).random(size)
    for zoom in (1, 1.01, 1.1, 1.25, 1.75, 2, 2.25, 2.5, 3, 4, 4.5):
        kept = int(np.ceil(size / zoom))
        top = (size - kept) // 2
        wanted = scipy.ndimage.zoom(line[top : top + kept], zoom, order=1)
        np.testing.assert_allclose(enlarged(size, zoom) @ line, wanted, rtol=0, atol=1e-12)


def test_the_affine_map_of_cifar_is_the_interpolation_of_scipy() -> None:
    images = photographs(4, 32)
    moves = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 5 - 2.5
    ours = _affine(images.float(), moves, 10)
    before = np.array([[26, 26], [26, 6], [6, 6]], dtype=float)  # x, y: as make_cifar_c.py has them at 32
    for image, move, found in zip(images, moves, ours, strict=True):
        forward = np.linalg.solve(np.c_[before, np.ones(3)], before + move.numpy()).T
        back = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))
        x, y = np.meshgrid(np.arange(32.0), np.arange(32.0))
        at = back @ np.stack([x.ravel(), y.ravel(), np.ones(1024)])
        for channel, made in zip(image, found, strict=True):
            wanted = scipy.ndimage.map_coordinates(channel.double().numpy(), at[[1, 0]], order=1, mode="mirror")
            # Positions in float32 are off by 32 * 2^-23 pixels, a slope is up to 255 levels a pixel.
            np.testing.assert_allclose(made.numpy().ravel(), wanted, rtol=0, atol=4 * 255 * 32 * 2**-23)


def test_motion_is_the_sum_that_imagemagick_defines() -> None:
    image, angle, radius, sigma = photographs(1, 32)[0, 0].double().numpy(), 33.0, 6, 1.5
    weights = [np.exp(-(k**2) / (2 * sigma**2)) for k in range(2 * radius + 1)]
    wanted = np.zeros((32, 32))
    for k, weight in enumerate(weights):
        down, right = (int(np.ceil(k * f(np.deg2rad(angle)) - 0.5)) for f in (np.sin, np.cos))
        rows, columns = np.clip(np.arange(32) + down, 0, 31), np.clip(np.arange(32) + right, 0, 31)
        wanted += weight / sum(weights) * image[rows[:, None], columns]
    made = along(torch.from_numpy(image).float()[None, None], torch.tensor([angle], dtype=torch.float64), radius, sigma)
    np.testing.assert_allclose(made[0, 0].numpy(), wanted, rtol=0, atol=13 * 255 * 2**-23)
