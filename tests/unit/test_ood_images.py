"""Images that are not of the dataset: where they come from, and how they are brought to its shape."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.official import CLASSES, WRITERS, parts
from tests.unit.test_real_data import parts as real
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.data import ood
from ticketsearch.data.stored import ROOT
from ticketsearch.errors import DataMissing, UsageError

CPU = torch.device("cpu")


def of(name: str, folder: Path, shape: tuple[int, int, int] = (3, 32, 32), count: int = 20) -> Tensor:
    """The images of a set, read anew; every set gives the same kind of tensor."""
    ood.images.cache_clear()
    found = ood.images(name, shape, count, folder, CPU)
    assert (found.dtype, tuple(found.shape[1:])) == (torch.uint8, shape)
    assert found.is_contiguous()
    assert 1 <= len(found) <= count
    return found


def own(folder: Path, images: np.ndarray, name: str = "mine") -> None:
    (folder / "ood").mkdir(exist_ok=True)
    np.savez(folder / "ood" / f"{name}.npz", images=images)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


# To the dataset's shape.


def test_images_of_the_right_shape_are_as_they_were(tmp_path: Path) -> None:
    colour, grey = noise(6, 32, 32, 3), noise(6, 28, 28, 1)
    own(tmp_path, colour)
    assert np.array_equal(of("mine", tmp_path).permute(0, 2, 3, 1), colour)
    own(tmp_path, grey)
    assert np.array_equal(of("mine", tmp_path, (1, 28, 28)).permute(0, 2, 3, 1), grey)


def test_grey_is_luma(tmp_path: Path) -> None:
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
    pixels = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]], np.uint8)
    own(tmp_path, pixels.repeat(16, axis=0).reshape(4, 4, 4, 3))
    assert of("mine", tmp_path, (1, 4, 4))[:, 0, 0, 0].tolist() == [76, 150, 29, 131]


def test_colour_from_grey_is_grey(tmp_path: Path) -> None:
    grey = noise(3, 32, 32, 1)
    own(tmp_path, grey)
    found = of("mine", tmp_path)
    assert all(np.array_equal(found[:, channel], grey[..., 0]) for channel in range(3))


def test_smaller_images_average_over_what_is_beneath(tmp_path: Path) -> None:
    # Halved, the filter reaches over four pixels a side, with weights 1, 3, 3, 1 of 8.
    picture = noise(1, 16, 16, 1)
    own(tmp_path, picture)
    found = of("mine", tmp_path, (1, 8, 8))[0, 0].double()
    weights = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
    window = torch.from_numpy(picture[0, 1:5, 3:7, 0].astype(float))  # about rows 2 and 3, columns 4 and 5
    assert found[1, 2] == pytest.approx(float(weights @ window @ weights), abs=1)  # two roundings


def test_oblong_images_lose_their_sides(tmp_path: Path) -> None:
    picture = np.zeros((1, 32, 64, 3), np.uint8)
    picture[:, :, 16:48] = noise(1, 32, 32, 3)
    own(tmp_path, picture)
    assert np.array_equal(of("mine", tmp_path)[0].permute(1, 2, 0), picture[0, :, 16:48])


def test_other_channels_are_refused(tmp_path: Path) -> None:
    own(tmp_path, noise(2, 8, 8, 3))
    with pytest.raises(DataMissing, match="2 channels"):
        of("mine", tmp_path, (2, 8, 8))
    assert of("gaussian", tmp_path, (2, 8, 8)).shape == (20, 2, 8, 8)


@pytest.mark.parametrize(
    ("count", "places"), [(3, [0, 3, 6]), (4, [0, 2, 5, 7]), (10, [*range(10)]), (99, [*range(10)])]
)
def test_fewer_images_are_spread_over_the_set(tmp_path: Path, count: int, places: list[int]) -> None:
    stored = noise(10, 8, 8, 1)
    own(tmp_path, stored)
    assert np.array_equal(of("mine", tmp_path, (1, 8, 8), count)[:, 0], stored[places, ..., 0])


# Where they come from.


@pytest.mark.parametrize("name", WRITERS)
def test_an_official_set_is_its_test_images(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name in ood.lacking(name, tmp_path)
    dataset = CLASSES[name]
    both = parts(dataset.shape, dataset.classes)
    WRITERS[name](tmp_path, monkeypatch, *both)
    assert not ood.lacking(name, tmp_path)
    assert np.array_equal(of(name, tmp_path, dataset.shape), both[1].images)


def test_textures_are_the_first_test_split(tmp_path: Path) -> None:
    assert "dtd" in ood.lacking("dtd", tmp_path)
    base, pictures = tmp_path / "dtd" / "dtd", noise(4, 32, 32, 3)
    (base / "labels").mkdir(parents=True)
    lines = [f"{kind}/{kind}_{n}.png" for kind in ("banded", "woven") for n in (1, 2)]
    for line, picture in zip(lines, pictures, strict=True):
        path = base / "images" / line
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    for split, chosen in (("train", lines[:1]), ("test", lines[1:])):
        (base / "labels" / f"{split}1.txt").write_text("".join(f"{line}\n" for line in chosen))
    assert not ood.lacking("dtd", tmp_path)
    assert np.array_equal(of("dtd", tmp_path).permute(0, 2, 3, 1), pictures[1:])
    (base / "images" / lines[2]).unlink()
    with pytest.raises(DataMissing, match="dtd"):
        of("dtd", tmp_path)


def test_imagenet_o_is_a_folder_for_each_class(tmp_path: Path) -> None:
    assert "imagenet_o" in ood.lacking("imagenet_o", tmp_path)
    for number, level in ((1, 40), (2, 200)):
        folder = tmp_path / "imagenet-o" / f"n0000000{number}"
        folder.mkdir(parents=True)
        Image.new("RGB", (60, 50), (level, level, level)).save(folder / "a.JPEG", quality=95)
    (tmp_path / "imagenet-o" / "README.txt").write_text("not a picture")
    assert not ood.lacking("imagenet_o", tmp_path)
    found = of("imagenet_o", tmp_path)
    assert found.flatten(1).double().mean(1).tolist() == pytest.approx([40, 200], abs=2)


def test_noise_is_a_clipped_gaussian(tmp_path: Path) -> None:
    # N(0, 1/4) clipped to [-1, 1] is twice the pixel less one: of Z clipped to [-2, 2] a quarter. E min(Z^2, 4) is
    # 1 - 2 (2 phi(2) + q) + 8 q, with q = P(Z > 2).
    found = of("gaussian", tmp_path, count=200).double() / 255
    phi, q = math.exp(-2) / math.sqrt(2 * math.pi), math.erfc(math.sqrt(2)) / 2
    deviation = math.sqrt((1 - 2 * (2 * phi + q) + 8 * q) / 16)
    error = deviation / math.sqrt(found.numel())
    assert found.mean() == pytest.approx(0.5, abs=5 * error)
    assert found.std() == pytest.approx(deviation, abs=5 * error + 1 / 255**2)
    assert (found == 1).double().mean() == pytest.approx(q, abs=0.003)  # a 510th of the range more is rounded up


def test_patches_are_squares_of_two_photographs(tmp_path: Path) -> None:
    found = of("patches", tmp_path, count=100)
    assert len({image.numpy().tobytes() for image in found}) == 100
    red, blue = found[:, 0].double().mean((1, 2)), found[:, 2].double().mean((1, 2))
    assert 20 < int((red > blue).sum()) < 80  # an orange flower; a lake and a sky
    grey = of("patches", tmp_path, (1, 8, 8), 100).double()
    assert (grey.flatten(1).std(1) > 10).double().mean() > 0.6  # not flat, most of them


@pytest.mark.parametrize("name", ["gaussian", "patches"])
def test_made_images_do_not_depend_on_what_was_made_before(name: str, tmp_path: Path) -> None:
    first = of(name, tmp_path, count=32)
    torch.manual_seed(5)
    of(name, tmp_path, (1, 8, 8))
    assert torch.equal(of(name, tmp_path, count=32), first)
    assert torch.equal(of(name, tmp_path, count=48)[:32], first)


def test_a_set_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, noise(4, 8, 8, 3))
    first = of("mine", tmp_path)
    monkeypatch.setattr(np, "load", None)
    assert ood.images("mine", (3, 32, 32), 20, tmp_path, CPU) is first


# What is there and is damaged is told.


@pytest.mark.parametrize(
    "content",
    [
        {"pictures": noise(2, 8, 8, 3)},
        {"images": noise(2, 8, 8, 3).astype(np.float32)},
        {"images": noise(2, 8, 8)},
        {"images": noise(2, 8, 8, 4)},
        {"images": noise(0, 8, 8, 3)},
        {"images": np.array([{}, {}], dtype=object)},
        None,
    ],
    ids=["no images", "floats", "no channels", "four channels", "none", "pickled", "torn"],
)
def test_a_damaged_file_of_ones_own(content: dict[str, np.ndarray] | None, tmp_path: Path) -> None:
    own(tmp_path, noise(2, 8, 8, 3))
    path = tmp_path / "ood" / "mine.npz"
    if content is None:
        path.write_bytes(path.read_bytes()[:-30])
    else:
        np.savez(path, **content)
    assert not ood.lacking("mine", tmp_path)
    with pytest.raises(DataMissing, match="mine"):
        of("mine", tmp_path)


def test_a_damaged_official_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["cifar100"](tmp_path, monkeypatch, *parts((3, 32, 32), 100))
    path = tmp_path / "cifar-100-python" / "test"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataMissing, match="Cifar100"):
        of("cifar100", tmp_path)


# Names.


@pytest.mark.parametrize("dataset", OWN.choices("dataset"))
def test_a_datasets_sets_are_sets_and_not_itself(dataset: str) -> None:
    names = compose([f"dataset={dataset}", "metrics=[ood]"]).metrics["ood"].sets
    assert set(names) <= set(ood.SETS) - {dataset}
    assert len(set(names)) == len(names) > 1


@pytest.mark.parametrize(
    ("typed", "said", "attempt"),
    [
        ("gausian", "did you mean 'gaussian'", "'metrics.ood.sets=[gaussian]'"),
        ("patches,svnh", "did you mean 'svhn'", "'metrics.ood.sets=[patches,svhn]'"),
        ("minee", "did you mean 'mine'", "'metrics.ood.sets=[mine]'"),
        ("../ood/mine", "mine", "metrics.ood.sets"),
        ("xyzzy", "choices: cifar10", "'metrics.ood.sets=[gaussian]'"),
    ],
)
def test_a_name_that_is_none_is_refused(
    typed: str, said: str, attempt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    own(tmp_path, noise(2, 8, 8, 3))
    with pytest.raises(UsageError) as error:
        compose(["metrics=[ood]", f"metrics.ood.sets=[{typed}]"])
    assert said in error.value.right
    assert attempt in error.value.attempt


def test_ones_own_are_chosen_by_name(tmp_path: Path) -> None:
    own(tmp_path, noise(2, 8, 8, 3))
    config = compose(["metrics=[ood]", "metrics.ood.sets=[mine]", f"dataset.root={tmp_path}"])
    assert config.metrics["ood"].sets == ("mine",)
    assert config.metrics["ood"].lacks(config.dataset) == frozenset()


def test_ones_own_cannot_have_the_name_of_another(tmp_path: Path) -> None:
    own(tmp_path, noise(2, 8, 8, 3), "gaussian")
    with pytest.raises(UsageError, match="would not be read"):
        compose(["metrics=[ood]", "metrics.ood.sets=[gaussian]", f"dataset.root={tmp_path}"])


@pytest.mark.parametrize(
    "wrong", ["sets=[gaussian,gaussian]", "scores=[energy,energy]", "sets=[]", "scores=[]", "scores=[entropy]"]
)
def test_lists_that_make_no_sense_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError):
        compose(["metrics=[ood]", f"metrics.ood.{wrong}"])


# Real images.


def test_the_real_cifar100_is_every_fifth_test_image() -> None:
    import os

    stored = real("cifar100")[1].images
    found = of("cifar100", Path(os.environ[ROOT]).expanduser(), count=2000)
    assert torch.equal(found, stored[::5])
