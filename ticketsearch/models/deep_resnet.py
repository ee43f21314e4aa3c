"""ResNets of four stages (He et al. 2016, table 1), with their stem for ImageNet or one for small images."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.channels import Channels
from ticketsearch.models.base import Model, Normalise

Width = Annotated[int, Ge(1)]
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth -> blocks of each stage."""
BOTTLENECK = 50
"""From this depth on a block is 1x1, 3x3, 1x1, and its output is four times as wide."""


class _Block(nn.Module):
    """Two 3x3 convolutions, or a bottleneck with its stride at the 3x3 one, around a shortcut; where the shape changes
    that is a 1x1 convolution with batch norm.
    """

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        plan = [(3, stride, width), (3, 1, width)]
        if bottleneck:
            plan = [(1, 1, width), (3, stride, width), (1, 1, 4 * width)]
        self.convs, self.norms, self.outputs = nn.ModuleList(), nn.ModuleList(), inputs
        for kernel, step, outputs in plan:
            self.convs.append(nn.Conv2d(self.outputs, outputs, kernel, step, kernel // 2, bias=False))
            self.norms.append(nn.BatchNorm2d(outputs))
            self.outputs = outputs
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != self.outputs:
            projection = nn.Conv2d(inputs, self.outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(self.outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            out = norm(conv(F.relu(out) if number else out))
        return F.relu(out + self.shortcut(x))


class FourStages(nn.Module):
    """The network: `normalise`, the stem, four stages of blocks, global average, linear classifier.

    Args:
        blocks: of each stage.
        widths: of the stem and of each stage; a bottleneck's output is four times as wide.
        bottleneck: what blocks are.
        imagenet: a stem of 7x7 and a maximum that leave every fourth pixel; else one of 3x3.
        channels: of an image.
        classes: how many.
        normalise: the first layer.
    """

    classifier = "fc"

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        bottleneck: bool,
        imagenet: bool,
        channels: int,
        classes: int,
        normalise: Normalise,
    ) -> None:
        super().__init__()
        self.normalise, self.imagenet = normalise, imagenet
        kernel, stride, padding = (7, 2, 3) if imagenet else (3, 1, 1)
        self.conv = nn.Conv2d(channels, widths[0], kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        stages, inputs = list[_Block](), widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths[1:], strict=True)):
            for number in range(count):
                stages.append(_Block(inputs, width, 2 if stage and not number else 1, bottleneck))
                inputs = stages[-1].outputs
        self.blocks = nn.Sequential(*stages)
        self.channels = tuple(group for n, block in enumerate(stages) for group in _inner(n, len(block.convs)))
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(self.normalise(pixels))))
        if self.imagenet:
            x = F.max_pool2d(x, 3, 2, padding=1)
        return self.fc(self.blocks(x).mean((2, 3)))


def _inner(block: int, convs: int) -> tuple[Channels, ...]:
    """The channels that a block can lose: those between its convolutions."""
    name = f"blocks.{block}"
    return tuple(
        Channels(f"{name}.convs.{n}", f"{name}.norms.{n}", (f"{name}.convs.{n + 1}",)) for n in range(convs - 1)
    )


@dataclass(frozen=True)
class DeepResNet(Model):
    """ResNet-18 to -152. With the small stem and 10 classes ResNet-18 has 11,173,962 parameters and ResNet-50
    23,520,842; with that for ImageNet and 1000 classes ResNet-50 has 25,557,032, as in torchvision, whose initial
    weights these are: He-normal by fan-out for convolutions, PyTorch's own for the classifier.

    The stem for ImageNet takes any image, but of one below 32x32 a single pixel is left before the last stage.

    Attributes:
        depth: 18 and 34 of two 3x3 convolutions a block, the others of bottlenecks.
        width: channels of the stem and of the first stage; each next stage has twice as many.
        widths: channels of the four stages, while the stem keeps `width`; null: as `width` says.
        stem: `small` for CIFAR: 3x3, no stride and no maximum; `imagenet`.
    """

    revision: ClassVar[int] = 1

    depth: Literal[18, 34, 50, 101, 152] = 18
    width: Width = 64
    widths: tuple[Width, ...] | None = None
    stem: Literal["small", "imagenet"] = "small"

    def __post_init__(self) -> None:
        if self.widths is not None and len(self.widths) != 4:
            raise ValueError(f"widths are of four stages, not {len(self.widths)}")

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        widths = (self.width, *(self.widths or (self.width * 2**stage for stage in range(4))))
        blocks, bottleneck = BLOCKS[self.depth], self.depth >= BOTTLENECK
        return FourStages(blocks, widths, bottleneck, self.stem == "imagenet", shape[0], classes, normalise)
