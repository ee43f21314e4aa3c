"""PNASNets for small images (Liu et al. 2018, cells of kuangliu's pytorch-cifar): depthwise convolutions and maxima."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.models.base import Model, Normalise


class _Convolved(nn.Module):
    """A convolution with batch norm; if depthwise, each input channel has its own filters."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class _CellA(nn.Module):
    """relu(7x7 depthwise + maximum)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.seven = _Convolved(inputs, outputs, 7, stride, depthwise=True)
        self.project: nn.Module = _Convolved(inputs, outputs, 1) if stride > 1 else nn.Identity()

    def pooled(self, x: Tensor) -> Tensor:
        """The maximum over 3x3, with as many channels as the cell gives."""
        return self.project(F.max_pool2d(x, 3, self.stride, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.seven(x) + self.pooled(x))


class _CellB(_CellA):
    """relu(7x7 + 3x3) beside relu(maximum + 5x5), brought to the cell's channels by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        self.three = _Convolved(inputs, outputs, 3, stride, depthwise=True)
        self.five = _Convolved(inputs, outputs, 5, stride, depthwise=True)
        self.reduce = _Convolved(2 * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        sums = self.seven(x) + self.three(x), self.pooled(x) + self.five(x)
        return F.relu(self.reduce(F.relu(torch.cat(sums, 1))))


class PNASNet(nn.Module):
    """The network: `normalise`, a 3x3 stem, three stages of cells with one of stride 2 between them, global average,
    classifier. What cells give is a sum, so that it declares no channels.
    """

    classifier = "fc"

    def __init__(
        self, cell: type[_CellA], cells: int, width: int, channels: int, classes: int, normalise: Normalise
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.stem = _Convolved(channels, width, 3)
        stages, inputs = list[nn.Module](), width
        for stage in range(3):
            outputs = width * 2**stage
            stages += [cell(inputs, outputs, 2)] * (stage > 0)
            stages += [cell(outputs, outputs, 1) for _ in range(cells)]
            inputs = outputs
        self.cells = nn.Sequential(*stages)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.relu(self.stem(self.normalise(pixels)))
        return self.fc(self.cells(x).mean((2, 3)))


@dataclass(frozen=True)
class SmallImagePNASNet(Model):
    """PNASNet-A (width 44) with 130,646 parameters on CIFAR-10, PNASNet-B (width 32) with 451,626; PyTorch's own
    initial weights.

    Attributes:
        cell: `a`: a depthwise 7x7 convolution and a maximum; `b`: three depthwise, a maximum, then 1x1.
        cells: of stride 1 in each stage.
        width: channels of the first stage; the next ones have twice and four times as many.
    """

    revision: ClassVar[int] = 1

    cell: Literal["a", "b"] = "a"
    cells: Annotated[int, Ge(0)] = 6
    width: Annotated[int, Ge(1)] = 44

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        cell = {"a": _CellA, "b": _CellB}[self.cell]
        return PNASNet(cell, self.cells, self.width, shape[0], classes, normalise)
