"""Wide ResNets for small images (Zagoruyko & Komodakis 2016): 6n + 4 layers, batch norm before each convolution."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.channels import Channels
from ticketsearch.models.base import Model, Normalise

Width = Annotated[int, Ge(1)]
STEM = 16
"""Channels of the first convolution, whatever the widths of the stages are."""


class _Block(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU; where the shape changes the shortcut is a 1x1 convolution
    of what the first of them reads.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.projected = stride > 1 or inputs != outputs
        if self.projected:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        read = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(read))))
        return out + (self.shortcut(read) if self.projected else x)


class Wide(nn.Module):
    """The network: `normalise`, a 3x3 stem, three stages of `blocks` blocks, batch norm, global average, classifier."""

    classifier = "fc"

    def __init__(self, blocks: int, widths: tuple[int, ...], channels: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        stages, inputs = list[_Block](), STEM
        for stage, outputs in enumerate(widths):
            for number in range(blocks):
                stages.append(_Block(inputs, outputs, 2 if stage and not number else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(inputs)
        self.channels = tuple(
            Channels(f"blocks.{n}.conv1", f"blocks.{n}.bn2", (f"blocks.{n}.conv2",)) for n in range(len(stages))
        )
        self.fc = nn.Linear(inputs, classes)
        nn.init.zeros_(self.fc.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.blocks(self.conv(self.normalise(pixels)))
        return self.fc(F.relu(self.bn(x)).mean((2, 3)))


@dataclass(frozen=True)
class WideResNet(Model):
    """WRN-28-10 without dropout: 36,479,194 parameters on CIFAR-10. Convolutions begin He-normal by fan-out, the
    classifier with PyTorch's own weights and no biases, as in the code of Chen et al. (2022), whose comparator
    (`widths` 120, 170, 260) has 7,663,774.

    Attributes:
        depth: 6n + 4.
        width: channels of the first stage, 16 times the widening factor; the next ones have twice and four times as
            many.
        widths: channels of the three stages; null: as `width` says.
    """

    revision: ClassVar[int] = 1

    depth: Annotated[int, Ge(10)] = 28
    width: Width = 160
    widths: tuple[Width, ...] | None = None

    def __post_init__(self) -> None:
        if self.depth % 6 != 4:
            raise ValueError(f"depth must be 6n + 4 (16, 22, 28, 40), not {self.depth}")
        if self.widths is not None and len(self.widths) != 3:
            raise ValueError(f"widths are of three stages, not {len(self.widths)}")

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        widths = self.widths or (self.width, 2 * self.width, 4 * self.width)
        return Wide((self.depth - 4) // 6, widths, shape[0], classes, normalise)
