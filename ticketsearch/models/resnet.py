"""ResNets for small images (He et al. 2016, section 4.2): 6n + 2 layers in three stages of widths w, 2w, 4w."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.channels import Channels
from ticketsearch.models.base import Model, Normalise


class _Block(nn.Module):
    """Two 3x3 convolutions around an option-A shortcut: every second pixel, new channels zero, no weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu(out + x)


class ResNet(nn.Module):
    """The network: `normalise`, a 3x3 stem, three stages of `blocks` blocks, global average, linear classifier."""

    classifier = "fc"

    def __init__(self, blocks: int, width: int, channels: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        stages, inputs = [], width
        for stage in range(3):
            outputs = width * 2**stage
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            stages += [_Block(inputs if i == 0 else outputs, outputs, stride) for i, stride in enumerate(strides)]
            inputs = outputs
        self.blocks = nn.Sequential(*stages)
        # Of a block whose output is added to its input, the channels in between alone can be removed.
        self.channels = tuple(
            Channels(f"blocks.{n}.conv1", f"blocks.{n}.bn1", (f"blocks.{n}.conv2",)) for n in range(len(stages))
        )
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(self.normalise(pixels))))
        return self.fc(self.blocks(x).mean((2, 3)))


@dataclass(frozen=True)
class SmallImageResNet(Model):
    """ResNet-20, -32, -44, -56, -110 as in the paper: option-A shortcuts, He-normal weights; ResNet-20 has 269,722
    parameters on CIFAR-10.

    Attributes:
        depth: 6n + 2.
        width: channels of the first stage.
    """

    revision: ClassVar[int] = 1

    depth: Annotated[int, Ge(8)] = 20
    width: Annotated[int, Ge(1)] = 16

    def __post_init__(self) -> None:
        if self.depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 (20, 32, 44, 56, 110), not {self.depth}")

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        return ResNet((self.depth - 2) // 6, self.width, shape[0], classes, normalise)
