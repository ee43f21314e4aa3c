"""JPEG compression, bit for bit what Pillow (libjpeg) stores and reads back, for a whole batch in three pictures.

libjpeg turns colours into luma and two chroma planes, halves the chroma planes (4:2:0), codes blocks of 8 x 8 pixels
each by itself, and goes back. Blocks do not look at each other, so that the planes of all images can be coded as three
tall grey pictures, with libjpeg's own transform and tables; what mixes neighbours, the halving and the doubling of the
chroma planes, is done here, image by image, in libjpeg's whole numbers (jccolor.c, jcsample.c, jdsample.c, jdcolor.c).
A file is then opened for each batch and not for each image.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Tensor

from ticketsearch.data.corruptions.case import Case

TALLEST = 65_500
"""Rows that a JPEG can have (libjpeg)."""
HALF = 1 << 15
"""One half in libjpeg's 16 bits behind the point."""


def jpeg_compression(case: Case) -> Tensor:
    """Stored with quality c[0] and read again. One channel is stored as grey, which is what three equal ones become."""
    tables = _tables(int(case.c[0]))
    images = case.images.cpu()
    if images.shape[1] == 1:
        return _coded(images[:, 0], tables[0]).unsqueeze(1).to(case.images.device)
    high, wide = case.size
    luma, *chroma = _from_colours(images.int())
    coded = [_coded(plane, tables[1]) for plane in map(_halved, chroma)]
    full = [_doubled(plane[:, :, : (wide + 1) // 2].int())[:, :high, :wide] for plane in coded]
    return _to_colours(_coded(luma, tables[0]).int(), *full).to(case.images.device)


def _tables(quality: int) -> tuple[Sequence[int], Sequence[int]]:
    """The quantisation of luma and chroma that libjpeg has for a quality: asked of a picture stored with it."""
    stored = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stored, "JPEG", quality=quality)
    with Image.open(stored) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        return picture.quantization[0], picture.quantization[1]


def _coded(planes: Tensor, table: Sequence[int]) -> Tensor:
    """Planes [n, H, W] of levels after storing and reading, uint8. Sides are made whole blocks by repeating the last
    pixel, as libjpeg does.
    """
    _, high, wide = planes.shape
    whole = F.pad(planes[:, None].float(), (0, -wide % 8, 0, -high % 8), mode="replicate")[:, 0].to(torch.uint8)
    parts = whole.split(max(1, TALLEST // whole.shape[1]))
    return torch.cat([_stored(part.numpy(), table) for part in parts])[:, :high, :wide]


def _stored(planes: np.ndarray, table: Sequence[int]) -> Tensor:
    stored = io.BytesIO()
    tall = Image.fromarray(planes.reshape(-1, planes.shape[2]))
    tall.save(stored, "JPEG", qtables=[list(table)])
    with Image.open(stored) as picture:
        return torch.from_numpy(np.array(picture)).view(planes.shape)


def _fixed(share: float) -> int:
    return int(share * 65536 + 0.5)


def _from_colours(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Y, Cb and Cr [n, H, W] of int32 colours [n, 3, H, W]."""
    r, g, b = rgb.unbind(1)
    y = (r * _fixed(0.299) + g * _fixed(0.587) + b * _fixed(0.114) + HALF) >> 16
    middle = (128 << 16) + HALF - 1
    cb = (b * HALF - r * _fixed(0.168735892) - g * _fixed(0.331264108) + middle) >> 16
    cr = (r * HALF - g * _fixed(0.418687589) - b * _fixed(0.081312411) + middle) >> 16
    return y, cb, cr


def _halved(plane: Tensor) -> Tensor:
    """Means of 2 x 2, [n, (H+1)/2, ...], in rows of whole blocks; halves are rounded down and up in turns."""
    wide = F.pad(plane.float(), (0, -plane.shape[2] % 16, 0, plane.shape[1] % 2), mode="replicate").int()
    sums = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
    turn = torch.arange(sums.shape[2], dtype=torch.int32) % 2 + 1
    return (sums + turn) >> 2


def _doubled(plane: Tensor) -> Tensor:
    """Each sample as four, [n, 2 H, 2 W], mixed with its neighbours in shares of 3 and 1 ("fancy upsampling")."""
    rows = F.pad(plane.float(), (0, 0, 1, 1), mode="replicate").int()
    near = 3 * rows[:, 1:-1]
    tall = torch.stack([near + rows[:, :-2], near + rows[:, 2:]], 2).flatten(1, 2)
    sides = F.pad(tall.float(), (1, 1, 0, 0), mode="replicate").int()
    left, right = (3 * tall + sides[:, :, :-2] + 8) >> 4, (3 * tall + sides[:, :, 2:] + 7) >> 4
    return torch.stack([left, right], 3).flatten(2, 3)


def _to_colours(y: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    """uint8 [n, 3, H, W]."""
    cb, cr = cb - 128, cr - 128
    red = y + ((cr * _fixed(1.402) + HALF) >> 16)
    green = y + ((HALF - cb * _fixed(0.34414) - cr * _fixed(0.71414)) >> 16)
    blue = y + ((cb * _fixed(1.772) + HALF) >> 16)
    return torch.stack([red, green, blue], 1).clamp_(0, 255).to(torch.uint8)
