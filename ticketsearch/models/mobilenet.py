"""MobileNet for small images (Howard et al. 2017, as in kuangliu's pytorch-cifar): depthwise separable convolutions."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.models.base import Model, Normalise

PLAN = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1))
"""Of each block: channels in multiples of the width, and stride. Two strides fewer than for ImageNet."""


class _Separable(nn.Module):
    """A depthwise 3x3 convolution and a 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class MobileNet(nn.Module):
    """The network: `normalise`, a 3x3 stem, 13 blocks, global average, classifier.

    It declares no channels: one that goes takes a whole depthwise filter with it, which `Channels` cannot say.
    """

    classifier = "fc"

    def __init__(self, width: int, channels: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        widths = [width, *(width * times for times, _ in PLAN)]
        self.blocks = nn.Sequential(*(_Separable(widths[n], widths[n + 1], PLAN[n][1]) for n in range(len(PLAN))))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(self.normalise(pixels))))
        return self.fc(self.blocks(x).mean((2, 3)))


@dataclass(frozen=True)
class SmallImageMobileNet(Model):
    """MobileNet (version 1) with 3,217,226 parameters on CIFAR-10; PyTorch's own initial weights.

    Attributes:
        width: channels of the first convolution; 32 times the paper's width multiplier.
    """

    revision: ClassVar[int] = 1

    width: Annotated[int, Ge(1)] = 32

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        return MobileNet(self.width, shape[0], classes, normalise)
