"""LeNets: the perceptron 784-300-100-10 of the lottery ticket papers, and LeNet-5 (LeCun et al. 1998)."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import nn

from ticketsearch.models.base import Model, Normalise

Width = Annotated[int, Ge(1)]


class LeNet(nn.Sequential):
    """Layers one after the other; the last is the classifier."""

    classifier = "fc"


def glorot(network: nn.Module) -> nn.Module:
    """Gaussian Glorot weights and no biases, as in Frankle & Carbin (2019, figure 2)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


@dataclass(frozen=True)
class LeNet300(Model):
    """LeNet-300-100: two hidden layers, with biases; 266,610 parameters for MNIST.

    Attributes:
        widths: of the hidden layers.
    """

    revision: ClassVar[int] = 1

    widths: tuple[Width, ...] = (300, 100)

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        inputs = shape[0] * shape[1] * shape[2]
        layers: OrderedDict[str, nn.Module] = OrderedDict(normalise=normalise, flat=nn.Flatten())
        for number, width in enumerate(self.widths, 1):
            layers |= {f"fc{number}": nn.Linear(inputs, width), f"relu{number}": nn.ReLU()}
            inputs = width
        return glorot(LeNet(layers | {"fc": nn.Linear(inputs, classes)}))


@dataclass(frozen=True)
class LeNet5(Model):
    """Two convolutions of 5x5 with ReLU and maxima over 2x2, then 120 and 84 units; 61,706 parameters for MNIST, 62,006
    for CIFAR-10. Images of 32x32 are not padded, those of 28x28 are to that size, as in the original; smaller ones keep
    their size in both convolutions.
    """

    revision: ClassVar[int] = 1

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        channels, side = shape[0], min(shape[1:])
        first, second = (0 if side >= 32 else 2), (0 if side >= 28 else 2)
        left = [((size + 2 * first - 4) // 2 + 2 * second - 4) // 2 for size in shape[1:]]
        layers: dict[str, nn.Module] = {
            "normalise": normalise,
            "conv1": nn.Conv2d(channels, 6, 5, padding=first),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(2),
            "conv2": nn.Conv2d(6, 16, 5, padding=second),
            "relu2": nn.ReLU(),
            "pool2": nn.MaxPool2d(2),
            "flat": nn.Flatten(),
            "fc1": nn.Linear(16 * left[0] * left[1], 120),
            "relu3": nn.ReLU(),
            "fc2": nn.Linear(120, 84),
            "relu4": nn.ReLU(),
            "fc": nn.Linear(84, classes),
        }
        return glorot(LeNet(OrderedDict(layers)))
