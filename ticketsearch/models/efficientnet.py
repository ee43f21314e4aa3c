"""EfficientNet-B0 for small images (Tan & Le 2019, as in kuangliu's pytorch-cifar)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.models.base import Model, Normalise

STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
"""Of each stage: expansion, channels where the stem has 32, blocks, kernel, stride of the first block."""
STEM = 32


class _Squeeze(nn.Module):
    """Each channel times a number in (0, 1) that follows from the averages of all (Hu et al. 2018)."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, units, 1)
        self.conv2 = nn.Conv2d(units, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(F.silu(self.conv1(x.mean((2, 3), keepdim=True)))).sigmoid()


class _Block(nn.Module):
    """1x1 to more channels (nothing where the expansion is 1), a depthwise convolution, squeeze and excitation, 1x1 to
    the block's channels; added to its input where the shape is the same.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = expansion * inputs
        self.expanded = expansion > 1
        if self.expanded:
            self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.squeeze = _Squeeze(inner, max(1, inputs // 4))
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = F.silu(self.bn1(self.conv1(x))) if self.expanded else x
        out = self.squeeze(F.silu(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        return out + x if self.added else out


class EfficientNet(nn.Module):
    """The network: `normalise`, a 3x3 stem, 16 blocks, global average, classifier.

    It declares no channels: one that goes takes a whole depthwise filter with it, which `Channels` cannot say.
    """

    classifier = "fc"

    def __init__(self, width: int, channels: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks, inputs = list[nn.Module](), width
        for expansion, wanted, count, kernel, stride in STAGES:
            outputs = max(1, wanted * width // STEM)
            for number in range(count):
                blocks.append(_Block(inputs, outputs, expansion, kernel, 1 if number else stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.silu(self.bn(self.conv(self.normalise(pixels))))
        return self.fc(self.blocks(x).mean((2, 3)))


@dataclass(frozen=True)
class SmallImageEfficientNet(Model):
    """EfficientNet-B0 with 3,598,598 parameters on CIFAR-10; PyTorch's own initial weights.

    The code that it follows counts 3,599,686: in its first block it makes a convolution and a batch norm that no image
    goes through, 1,088 parameters. It also drops units and whole blocks at random in training, which is left out here:
    such numbers would not be a function of the seed and the step.

    Attributes:
        width: channels of the first convolution; those of the stages are in proportion, rounded down.
    """

    revision: ClassVar[int] = 1

    width: Annotated[int, Ge(1)] = 32

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        return EfficientNet(self.width, shape[0], classes, normalise)
