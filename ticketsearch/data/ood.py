"""Sets of images that are not of the dataset, for out-of-distribution detection: one function and one row of `SETS`
each.

Pictures are brought to the dataset's shape by Pillow, whose arithmetic on bytes is the same on every machine: to grey
by its `L` (ITU-R BT.601 luma), from grey to colour by repeating, cut about the centre to the shape's aspect, and
resized by its bilinear filter, which averages over everything beneath a pixel where it makes smaller.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ticketsearch import seeding
from ticketsearch.data.cifar import Cifar10, Cifar100
from ticketsearch.data.mnist import FashionMnist, Kmnist, Mnist
from ticketsearch.data.stored import ROOT, UNREADABLE, Stored
from ticketsearch.data.svhn import Svhn
from ticketsearch.errors import DataMissing, UsageError, closest

Shape = tuple[int, int, int]
"""Channels, height, width."""
OWN = "ood"
"""The folder below that of the datasets that holds the user's own sets, `NAME.npz` each."""
_MODES = {1: "L", 3: "RGB"}
_PHOTOS = ("china.jpg", "flower.jpg")
_SIDES = (64, 320)


@dataclass(frozen=True)
class ForeignSet:
    """A set of images.

    Attributes:
        place: what must be there for it, below the folder of datasets; "": nothing.
        read: from that folder, at most so many of its images, of that shape: uint8 [N, C, H, W].
    """

    place: str
    read: Callable[[Path, int, Shape], Tensor]


@lru_cache(maxsize=16)
def images(name: str, shape: Shape, count: int, folder: Path, device: torch.device) -> Tensor:
    """At most `count` images of a set, read once: every round looks at the same. Do not write into them.

    Args:
        name: of the set.
        shape: that they are brought to.
        count: how many are made; of a set that is stored, evenly spread over it, since some are sorted by class.
        folder: that holds the datasets.
        device: that they go to.

    Returns:
        uint8 [N, C, H, W].

    Raises:
        DataMissing: what is there of it cannot be read.
    """
    try:
        found = _named(name).read(folder, count, shape)
        if not len(found):
            raise ValueError("it has no images")
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        what = f"the images of {name} in {folder} cannot be read: {error}"
        right = f"put them there anew, or leave them out: metrics.ood.sets; {ROOT} or dataset.root names the folder"
        raise DataMissing(what, right) from error
    return found.to(device)


def lacking(name: str, folder: Path) -> str:
    """Why a set cannot be had, "" if it can; no image is read. The reason does not depend on the folder."""
    place = _named(name).place
    there = not place or (folder / place).exists()
    return "" if there else f"no {name}: {place} is not in the folder that dataset.root or {ROOT} names"


def check(names: tuple[str, ...], folder: Path) -> None:
    """Refuse names that are no sets.

    Args:
        names: as typed.
        folder: that holds the datasets.

    Raises:
        UsageError: one is neither ours nor that of a file of the user's, or is both.
    """
    own = [path.stem for path in (folder / OWN).glob("*.npz")]
    for name in names:
        if name in SETS and name in own:
            what = f"{folder / OWN / name}.npz would not be read"
            raise UsageError(what, f"{name} is a set already: give yours another name")
        if name not in SETS and name not in own:
            filled = ",".join("{}" if each == name else each for each in names)
            attempt = f"ticketsearch run 'metrics.ood.sets=[{filled}]'"
            what = f"no set of images named {name!r}, and no {OWN}/{name}.npz in {folder}"
            raise closest(name, {*SETS, *own}, what, attempt, "ticketsearch run 'metrics.ood.sets=[gaussian]'")


def _named(name: str) -> ForeignSet:
    return SETS.get(name) or ForeignSet(f"{OWN}/{name}.npz", partial(_npz, name))


def _fitted(pictures: Iterable[Image.Image], shape: Shape) -> Tensor:
    """Pictures of any size and mode as uint8 [N, *shape]."""
    channels, height, width = shape
    if channels not in _MODES:
        raise ValueError(f"they are grey or colour, and images of the dataset have {channels} channels")
    mode, method = _MODES[channels], Image.Resampling.BILINEAR
    found = [np.asarray(ImageOps.fit(picture.convert(mode), (width, height), method)) for picture in pictures]
    return torch.from_numpy(np.stack(found).reshape(-1, height, width, channels)).permute(0, 3, 1, 2).contiguous()


def _spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` places, at equal distances from the first on."""
    return [i * total // min(count, total) for i in range(min(count, total))]


def _arrays(stored: np.ndarray[Any, Any], count: int) -> Iterator[Image.Image]:
    """Chosen images of uint8 [N, H, W, C] as pictures."""
    for place in _spread(len(stored), count):
        yield Image.fromarray(stored[place].squeeze(2) if stored.shape[3] == 1 else stored[place])


def _official(dataset: type[Stored], folder: Path, count: int, shape: Shape) -> Tensor:
    """The test images of a dataset in its official files."""
    stored = dataset(root=str(folder)).part(train=False).images
    return _fitted(_arrays(stored.permute(0, 2, 3, 1).numpy(), count), shape)


def _dtd(folder: Path, count: int, shape: Shape) -> Tensor:
    """Describable textures (Cimpoi et al. 2014): the test part of the first of its ten splits."""
    from torchvision.datasets import DTD

    textures = DTD(folder, split="test")
    return _fitted((textures[place][0] for place in _spread(len(textures), count)), shape)


def _imagenet_o(folder: Path, count: int, shape: Shape) -> Tensor:
    """ImageNet-O (Hendrycks et al. 2021): JPEGs in a folder for each class."""
    files = sorted(path for path in (folder / "imagenet-o").glob("n*/*") if path.suffix.lower() in (".jpeg", ".jpg"))
    if not files:
        raise ValueError("there are no folders n*/ with JPEGs")
    return _fitted(_opened(files[place] for place in _spread(len(files), count)), shape)


def _opened(files: Iterable[Path]) -> Iterator[Image.Image]:
    for path in files:
        with Image.open(path) as picture:
            yield picture


def _npz(name: str, folder: Path, count: int, shape: Shape) -> Tensor:
    """A set of the user's: an array `images`, uint8 [N, H, W, C], grey or colour."""
    with (folder / OWN / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        stored = arrays["images"]
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] not in _MODES:
        raise ValueError(f"`images` is {stored.dtype} {stored.shape}, not uint8 [N, H, W, 1 or 3]")
    return _fitted(_arrays(stored, count), shape) if len(stored) else torch.empty(0, *shape, dtype=torch.uint8)


def _gaussian(folder: Path, count: int, shape: Shape) -> Tensor:
    """Noise as in the code released with Chen et al. (2022): N(0, 0.5^2) clipped to [-1, 1], and that is the range of
    pixels.
    """
    noise = torch.randn(count, *shape, generator=seeding.generator(0, "ood", "gaussian")) * 0.5
    return ((noise.clamp(-1, 1) * 0.5 + 0.5) * 255).round().to(torch.uint8)


def _patches(folder: Path, count: int, shape: Shape) -> Tensor:
    """Squares from the two photographs that scikit-learn embeds: the photograph, the place and the logarithm of the
    side, 64 to 320 pixels, are uniform. Flat ones, such as sky, are kept: choosing by contrast would choose by what
    networks react to.
    """
    from sklearn.datasets import load_sample_image

    photos = [Image.fromarray(load_sample_image(name)) for name in _PHOTOS]
    drawn = torch.rand(count, 4, generator=seeding.generator(0, "ood", "patches"), dtype=torch.float64)
    return _fitted((_square(photos, *numbers) for numbers in drawn.tolist()), shape)


def _square(photos: list[Image.Image], photo: float, size: float, row: float, column: float) -> Image.Image:
    """A square of one of the photographs; the numbers are in [0, 1)."""
    chosen, (least, most) = photos[int(photo * len(photos))], _SIDES
    side = round(least * (most / least) ** size)
    left, top = int(column * (chosen.width - side + 1)), int(row * (chosen.height - side + 1))
    return chosen.crop((left, top, left + side, top + side))


SETS: dict[str, ForeignSet] = {
    "cifar10": ForeignSet("cifar-10-batches-py/test_batch", partial(_official, Cifar10)),
    "cifar100": ForeignSet("cifar-100-python/test", partial(_official, Cifar100)),
    "svhn": ForeignSet("test_32x32.mat", partial(_official, Svhn)),
    "mnist": ForeignSet("MNIST/raw/t10k-images-idx3-ubyte", partial(_official, Mnist)),
    "fashion_mnist": ForeignSet("FashionMNIST/raw/t10k-images-idx3-ubyte", partial(_official, FashionMnist)),
    "kmnist": ForeignSet("KMNIST/raw/t10k-images-idx3-ubyte", partial(_official, Kmnist)),
    "dtd": ForeignSet("dtd/dtd/labels/test1.txt", _dtd),
    "imagenet_o": ForeignSet("imagenet-o", _imagenet_o),
    "gaussian": ForeignSet("", _gaussian),
    "patches": ForeignSet("", _patches),
}
"""Name -> the set; any other name is that of a file of the user's (`OWN`)."""
