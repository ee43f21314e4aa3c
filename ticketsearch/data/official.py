"""Official files of datasets, compared with the checksums that are known of them, and the formats that they are in.

They are read here and not by torchvision, whose import takes longer than everything else before the first step; it is
asked where something is to be downloaded.
"""

import hashlib
import pickletools
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ticketsearch.data.kept import Bytes

_TEXT = frozenset({"SHORT_BINSTRING", "BINSTRING", "BINUNICODE"})
"""The opcodes of a pickle of the second protocol that hold a string."""
_LONG = 1 << 20
"""Bytes of a string that is left where it is."""


def official(path: Path, md5: str) -> bytes:
    """What a file holds.

    Args:
        path: the file.
        md5: of the official one, in hexadecimal digits.

    Raises:
        RuntimeError: it is not there, or is another one.
    """
    if not path.is_file():
        raise RuntimeError(f"{path} was not found")
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise RuntimeError(f"{path} is not the official file")
    return content


def idx(content: bytes) -> Bytes:
    """The numbers of an idx file (LeCun et al. 1998): two zeros, 8 for bytes, how many dimensions, the size of each as
    four bytes from the highest on, and the numbers.

    Raises:
        ValueError: it is no such file.
    """
    dimensions = int.from_bytes(content[3:4], "big")
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, 4 + 4 * dimensions, 4)]
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * dimensions + prod(sizes):
        raise ValueError("it is no idx file of bytes, or a part of one")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(sizes).copy()


def batch(content: bytes, labels: str, row: int) -> tuple[Bytes, list[int]]:
    """The images of a batch of CIFAR (Krizhevsky 2009), uint8 [N, row], and their labels.

    Such a file is a pickle. Its opcodes are looked at one after the other, and nothing that they ask for is done: the
    pixels are its longest string, the labels the numbers behind their name.

    Args:
        content: of the file.
        labels: under which name they are.
        row: bytes of an image.

    Raises:
        ValueError: it has not as many pixels as the labels want, or is no pickle.
    """
    pixels: str | _Long = ""
    numbers, key = list[int](), ""
    for opcode, value, _ in pickletools.genops(_Opcodes(content)):
        if isinstance(value, _Long):
            pixels = value
        elif opcode.name in _TEXT:
            key = str(value)
            pixels = max(pixels, key, key=len)
        elif opcode.name == "BININT1" and key == labels:
            numbers.append(int(value or 0))
        if numbers and len(pixels) == len(numbers) * row:
            return _values(pixels, content).reshape(-1, row), numbers
    raise ValueError(f"it holds {len(pixels)} bytes of pixels for {len(numbers)} labels")


def _values(pixels: "str | _Long", content: bytes) -> Bytes:
    if isinstance(pixels, _Long):
        return np.frombuffer(content, np.uint8, pixels.size, pixels.at)
    return np.frombuffer(pixels.encode("latin-1"), np.uint8)


@dataclass(frozen=True)
class _Long:
    """Where a long string is in a pickle; it stands for what would be read and decoded only to be encoded again."""

    at: int
    size: int

    def __len__(self) -> int:
        return self.size

    def decode(self, _: str) -> "_Long":
        return self


class _Opcodes(BytesIO):
    """A pickle as what tells of its opcodes reads it."""

    def read(self, size: int | None = -1) -> Any:
        if size is None or size < _LONG:
            return super().read(size)
        at = self.tell()
        return _Long(at, self.seek(min(at + size, self.getbuffer().nbytes)) - at)
