"""The package `imagecorruptions`, given the random numbers that ours draw, so that images can be compared singly."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ticketsearch.data.corruptions.case import Draws

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import imagecorruptions
    from imagecorruptions import corruptions as inside

Fed = dict[str, Callable[..., object]]
"""Functions of numpy.random, for one image."""


def photographs(count: int, side: int, channels: int = 3, seed: int = 0, low: int = 6, high: int = 249) -> Tensor:
    """Smooth colours, edges and fine grain, uint8 [count, channels, side, side]; clipped where the range is wide."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 5, generator=rng)
    smooth = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)
    patches = F.interpolate(torch.rand(count, channels, 4, 4, generator=rng), (side, side))
    grain = torch.rand(count, channels, side, side, generator=rng)
    return (low + (high - low) * (0.5 * smooth + 0.4 * patches + 0.1 * grain)).clamp(0, 255).to(torch.uint8)


def pictures() -> Path:
    """The folder of the frost pictures that come with the package."""
    return Path(imagecorruptions.__file__).parent / "frost"


def normal(field: np.ndarray) -> Callable[..., np.ndarray]:
    """numpy's `normal` that gives these standard normal numbers."""
    return lambda loc=0.0, scale=1.0, size=None: loc + scale * field.reshape(size)


def uniform(numbers: np.ndarray) -> Callable[..., object]:
    """numpy's `uniform` that gives these numbers in [0, 1), stretched, in their order."""
    flat, place = numbers.ravel(), 0

    def give(low: float, high: float, size: tuple[int, ...] | None = None) -> object:
        nonlocal place
        count = int(np.prod(size)) if size else 1
        part, place = flat[place : place + count], place + count
        return low + (high - low) * (part.reshape(size) if size else part[0])

    return give


def integers(numbers: np.ndarray) -> Callable[..., int]:
    """numpy's `randint` that gives these numbers in [0, 1), stretched and rounded down, one a call."""
    left = iter(numbers.tolist())
    return lambda low, high=None: int(next(left) * low) if high is None else low + int(next(left) * (high - low))


def shifts(offsets: np.ndarray, reach: int) -> Callable[..., np.ndarray]:
    """numpy's `randint` that gives offsets [passes, 2, H, W] (rows, columns) in the order that pixels are visited."""
    _, _, rows, columns = offsets.shape
    order = [(h, w) for h in range(rows - reach, reach, -1) for w in range(columns - reach, reach, -1)]
    left = iter([offset[::-1, h, w] for offset in offsets for h, w in order])
    return lambda low, high, size: next(left)


def fed(kind: str, severity: int, images: Tensor, passes: tuple[int, int] = (1, 1)) -> Iterator[Fed]:
    """For each image what numpy would have to draw for `imagecorruptions` to use our numbers."""
    draws, (channels, high, wide) = Draws.of(kind, severity, 0, images), images.shape[1:]
    if kind in ("gaussian_noise", "speckle_noise"):
        yield from ({"normal": normal(z.permute(1, 2, 0).numpy())} for z in draws.normal(channels, high, wide))
    elif kind == "spatter":
        yield from ({"normal": normal(z.numpy())} for z in draws.normal(1, high, wide).double())
    elif kind == "snow":
        field, angles = draws.normal(1, high, wide).double(), draws.uniform(dtype=torch.float64)
        yield from (
            {"normal": normal(z.numpy()), "uniform": uniform(u.numpy())} for z, u in zip(field, angles, strict=True)
        )
    elif kind == "fog":
        side = 1 << (max(high, wide) - 1).bit_length()
        yield from ({"uniform": uniform(u.numpy())} for u in draws.uniform(side * side - 1).double())
    elif kind == "frost":
        yield from ({"randint": integers(u.numpy())} for u in draws.uniform(3, dtype=torch.float64))
    elif kind == "glass_blur":
        reach, times = passes
        drawn = [(draws.uniform(2, high, wide) * (2 * reach)).long() - reach for _ in range(times)]
        yield from ({"randint": shifts(o.numpy(), reach)} for o in torch.stack(drawn, 1))
    else:
        shape = {"motion_blur": ()}.get(kind, (2, high, wide))
        dtype = torch.float64 if kind == "motion_blur" else torch.float32
        yield from ({"uniform": uniform(u.double().numpy())} for u in draws.uniform(*shape, dtype=dtype))


@contextmanager
def drawn(functions: Fed) -> Iterator[None]:
    """numpy.random and the package's compiled loop as they are given, for a while."""
    before = {name: getattr(np.random, name) for name in (*functions, "seed")}
    loop = inside._shuffle_pixels_njit_glass_blur
    try:
        for name, function in functions.items():
            setattr(np.random, name, function)
        np.random.seed = lambda seed: None
        inside._shuffle_pixels_njit_glass_blur = loop.py_func
        yield
    finally:
        inside._shuffle_pixels_njit_glass_blur = loop
        for name, function in before.items():
            setattr(np.random, name, function)


def packaged(images: Tensor, kind: str, severity: int, given: Iterator[Fed] | None = None) -> Tensor:
    """What `imagecorruptions` makes of images, one after the other, uint8 [N, C, H, W]."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for image in images:
            pixels = image.permute(1, 2, 0).contiguous().numpy()
            with drawn(next(given) if given is not None else {}):
                found.append(imagecorruptions.corrupt(pixels, severity, kind))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
