"""What a corruption is given: images of one block, the numbers of a severity, and its random numbers."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ticketsearch import seeding
from ticketsearch.data.corruptions.tables import Constants, scale

BLOCK = 256
"""The most images whose random numbers are drawn together."""
PIXELS = 2**18
"""The most positions of a block, so that large images do not need more memory than small ones: 256 x 32 x 32."""


def block_size(height: int, width: int) -> int:
    """How many images of this size are drawn for together."""
    return max(1, min(BLOCK, PIXELS // (height * width)))


@dataclass(frozen=True)
class Draws:
    """Random numbers of images that lie in one block of the set.

    Image i belongs to block i // size. A block has one generator, keyed by (kind, severity, block), and its numbers are
    always drawn for all of its places, so that those of an image depend on its index and shape alone: not on how many
    images are asked for at once, nor on which were before.

    Attributes:
        rng: of the block, on the CPU.
        size: places of the block.
        start: the place of the first image that is wanted.
        count: how many are wanted.
        device: where the numbers go.
    """

    rng: torch.Generator
    size: int
    start: int
    count: int
    device: torch.device

    @classmethod
    def of(cls, kind: str, severity: int, first: int, images: Tensor) -> "Draws":
        """The numbers of the images [n, C, H, W] whose first one has the index `first`; all lie in one block."""
        size = block_size(*images.shape[2:])
        rng = seeding.generator(0, "corruption", kind, severity, first // size)
        return cls(rng, size, first % size, len(images), images.device)

    def _wanted(self, numbers: Tensor) -> Tensor:
        return numbers[self.start : self.start + self.count].to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 [count, *shape]."""
        return self._wanted(torch.randn(self.size, *shape, generator=self.rng))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Numbers in [0, 1), [count, *shape]."""
        return self._wanted(torch.rand(self.size, *shape, generator=self.rng, dtype=dtype))


@dataclass(frozen=True)
class Case:
    """One call of a corruption.

    Attributes:
        images: uint8 [n, C, H, W] of one block; C is 1 or 3.
        c: the published numbers of the severity.
        draws: random numbers of the images.
        frost: the folder of the frost pictures, if there is one.
    """

    images: Tensor
    c: Constants
    draws: Draws
    frost: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def scale(self) -> float:
        """By how much lengths shrink (`tables`)."""
        return scale(*self.size)
