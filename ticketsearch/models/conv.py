"""Conv-2, Conv-4 and Conv-6 (Frankle & Carbin 2019, figure 2): VGG made small, without batch norm."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from torch import nn

from ticketsearch.models.base import Model, Normalise
from ticketsearch.models.lenet import LeNet, glorot

Width = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Conv(Model):
    """Pairs of 3x3 convolutions, each followed by a maximum over 2x2 pixels, then two hidden layers; biases everywhere,
    Gaussian Glorot weights. On CIFAR-10 Conv-2 has 4,301,642 parameters, Conv-4 2,425,930 and Conv-6 2,262,602. (The
    first paper says 1.7 million of Conv-6, which is not what layers of the sizes in the same column have; these are the
    layers of Zhou et al.'s code.) Maxima stop where one pixel is left.

    Attributes:
        depth: how many convolutions.
        width: channels of the first pair; the next ones have twice and four times as many.
        hidden: units of the hidden layers.
    """

    revision: ClassVar[int] = 1

    depth: Literal[2, 4, 6] = 2
    width: Width = 64
    hidden: tuple[Width, ...] = (256, 256)

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        inputs, height, side = shape
        layers: OrderedDict[str, nn.Module] = OrderedDict(normalise=normalise)
        for number in range(1, self.depth + 1):
            outputs = self.width * 2 ** ((number - 1) // 2)
            layers |= {f"conv{number}": nn.Conv2d(inputs, outputs, 3, padding=1), f"relu{number}": nn.ReLU()}
            inputs = outputs
            if number % 2 == 0 and min(height, side) > 1:
                layers[f"pool{number // 2}"] = nn.MaxPool2d(2)
                height, side = height // 2, side // 2
        layers["flat"], inputs = nn.Flatten(), inputs * height * side
        for number, units in enumerate(self.hidden, 1):
            layers |= {f"fc{number}": nn.Linear(inputs, units), f"relu{self.depth + number}": nn.ReLU()}
            inputs = units
        return glorot(LeNet(layers | {"fc": nn.Linear(inputs, classes)}))
