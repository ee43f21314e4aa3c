"""ResNets for small images (He et al. 2016, section 4.2): 6n + 2 layers in three stages of widths w, 2w, 4w."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.channels import Channels
from ticketsearch.models.base import Model, Normalise

Width = Annotated[int, Ge(1)]
Shortcut = Literal["pad", "projection"]


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut. Where the shape changes it is option A, every second pixel, new channels
    zero, no weights; or option B, a 1x1 convolution with batch norm.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.new = stride, outputs - inputs
        self.projected = shortcut == "projection" and bool(stride > 1 or self.new)
        if self.projected:
            self.conv3 = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.projected:
            x = self.bn3(self.conv3(x))
        elif self.stride > 1 or self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu(out + x)


class ResNet(nn.Module):
    """The network: `normalise`, a 3x3 stem, three stages of `blocks` blocks, global average, linear classifier."""

    classifier = "fc"

    def __init__(
        self,
        blocks: int,
        widths: tuple[int, ...],
        shortcut: Shortcut,
        channels: int,
        classes: int,
        normalise: Normalise,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        stages, inputs = [], widths[0]
        for stage, outputs in enumerate(widths):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            stages += [
                _Block(inputs if i == 0 else outputs, outputs, stride, shortcut) for i, stride in enumerate(strides)
            ]
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
    """ResNet-20, -32, -44, -56, -110 as in the paper: option-A shortcuts, He-normal weights; on CIFAR-10 ResNet-20 has
    269,722 parameters, ResNet-32 464,154. OpenLTH's form of ResNet-20 (`shortcut=projection scales=uniform`) has
    272,474; the comparator of Chen et al. (2022), with the widths of their code, 13, 17 and 25, has 57,367.

    Attributes:
        depth: 6n + 2.
        width: channels of the first stage; the next ones have twice and four times as many.
        widths: channels of the three stages; null: as `width` says.
        shortcut: where the shape changes: `pad` (option A) or `projection` (option B).
        scales: of batch norm at first: `one`, or `uniform` in [0, 1), as OpenLTH has it.
    """

    revision: ClassVar[int] = 1

    depth: Annotated[int, Ge(8)] = 20
    width: Width = 16
    widths: tuple[Width, ...] | None = None
    shortcut: Shortcut = "pad"
    scales: Literal["one", "uniform"] = "one"

    def __post_init__(self) -> None:
        if self.depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 (20, 32, 44, 56, 110), not {self.depth}")
        if self.widths is not None and len(self.widths) != 3:
            raise ValueError(f"widths are of three stages, not {len(self.widths)}")
        if self.shortcut == "pad" and self.widths is not None and any(a > b for a, b in pairwise(self.widths)):
            raise ValueError(f"widths cannot fall where shortcuts are padded: {list(self.widths)}; shortcut=projection")

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        widths = self.widths or (self.width, 2 * self.width, 4 * self.width)
        network = ResNet((self.depth - 2) // 6, widths, self.shortcut, shape[0], classes, normalise)
        if self.scales == "uniform":
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.weight)
        return network
