"""VGG for small images (Simonyan & Zisserman 2015, with batch norm and one linear layer, as in open_lth)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.channels import Channels
from ticketsearch.models.base import Model, Normalise

PLANS = {
    11: "1 M 2 M 4 4 M 8 8 M 8 8 M",
    16: "1 1 M 2 2 M 4 4 4 M 8 8 8 M 8 8 8",
    19: "1 1 M 2 2 M 4 4 4 4 M 8 8 8 8 M 8 8 8 8",
}
"""Depth -> channels of each convolution in multiples of the width, and where a maximum over 2x2 pixels is taken."""


class VGG(nn.Module):
    """The network: `normalise`, convolutions of 3x3 with batch norm, a global average, the linear classifier.

    Pooling stops where one pixel is left, so that images of 8x8 pass.
    """

    classifier = "fc"

    def __init__(self, plan: str, width: int, channels: int, side: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.convs, self.norms, self._pool_after = nn.ModuleList(), nn.ModuleList(), set[int]()
        for word in plan.split():
            if word != "M":
                outputs = int(word) * width
                self.convs.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
                self.norms.append(nn.BatchNorm2d(outputs))
                channels = outputs
            elif side > 1:
                self._pool_after.add(len(self.convs) - 1)
                side //= 2
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
        readers = [*(f"convs.{n}" for n in range(1, len(self.convs))), "fc"]
        self.channels = tuple(Channels(f"convs.{n}", f"norms.{n}", (reader,)) for n, reader in enumerate(readers))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))
            if number in self._pool_after:
                x = F.max_pool2d(x, 2)
        return self.fc(x.mean((2, 3)))


@dataclass(frozen=True)
class SmallImageVGG(Model):
    """VGG with batch norm for images of 32x32 and below.

    Attributes:
        depth: 11, 16 or 19: all but three of them convolutions; of the original's three linear layers one is left.
        width: channels of the first convolution.
    """

    revision: ClassVar[int] = 1

    depth: Annotated[int, Ge(11)] = 11
    width: Annotated[int, Ge(1)] = 64

    def __post_init__(self) -> None:
        if self.depth not in PLANS:
            raise ValueError(f"depth must be one of {', '.join(map(str, PLANS))}, not {self.depth}")

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        return VGG(PLANS[self.depth], self.width, shape[0], min(shape[1:]), classes, normalise)
