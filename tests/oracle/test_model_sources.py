"""Networks against the codes that they follow and against torchvision: parameters, and logits of the same weights.

`sources.json` holds what the codes named in it say, run by themselves: logits of two images (`tests.executed`) in
training mode and double precision, of weights that follow a formula. Dropout, where they have some, was off.
"""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet, vgg

from tests.executed import filled, images, layers
from ticketsearch.build import build
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.models.base import Model, Normalise
from ticketsearch.models.conv import Conv
from ticketsearch.models.deep_resnet import DeepResNet
from ticketsearch.models.vgg import SmallImageVGG
from ticketsearch.models.wide_resnet import WideResNet

SOURCES = json.loads((Path(__file__).parent / "sources.json").read_text())
CIFAR = (3, 32, 32)
CIFAR_NORMAL = Normalise((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
NO_NORMAL = Normalise((0.0,) * 3, (1.0,) * 3)
NEVER_USED = {"efficientnet_b0": 32 * 32 + 2 * 32}
"""Parameters of the first block's expansion by 1, which that code makes and never reads."""
OTHERS = {"wrn16_1": WideResNet(16, 16), "wrn16_1_small": WideResNet(16, widths=(24, 34, 52))}
"""The wide networks in narrow: the codes take depth and widening factor."""


def chosen(name: str) -> Model:
    return OTHERS.get(name) or build(OWN.load("model", name), "model", (), PARTS["model"])


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "resnet50")) for n in SOURCES])
def test_logits_are_those_of_the_code_that_it_follows(name: str) -> None:
    source = SOURCES[name]
    normalise = CIFAR_NORMAL if "LTH-Pass" in source["code"] else NO_NORMAL
    network = chosen(name).build(CIFAR, 10, normalise)
    assert count(network) == source["parameters"] - NEVER_USED.get(name, 0)
    logits = filled(network, CIFAR)(images(CIFAR))
    torch.testing.assert_close(logits, torch.tensor(source["logits"], dtype=torch.float64), rtol=0, atol=1e-6)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_parameters_of_the_deep_resnets_are_torchvisions(depth: int) -> None:
    with torch.device("meta"):
        ours = DeepResNet(depth, stem="imagenet").build((3, 224, 224), 1000, NO_NORMAL)
        theirs = getattr(resnet, f"resnet{depth}")()
    assert count(ours) == count(theirs)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    shapes = [[m.weight.shape for m in net.modules() if isinstance(m, kinds)] for net in (ours, theirs)]
    assert sorted(shapes[0]) == sorted(shapes[1])


@pytest.mark.parametrize("depth", [18, pytest.param(50, marks=pytest.mark.slow)])
def test_logits_with_the_stem_for_imagenet_are_torchvisions(depth: int) -> None:
    shape = (3, 64, 64)
    ours = filled(DeepResNet(depth, stem="imagenet").build(shape, 1000, NO_NORMAL), shape)
    theirs = filled(getattr(resnet, f"resnet{depth}")(), shape)
    with torch.no_grad():
        torch.testing.assert_close(ours(images(shape)), theirs(images(shape)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("depth", "plan"), [(11, "A"), (16, "D"), (19, "E")])
def test_convolutions_of_the_vggs_are_torchvisions(depth: int, plan: str) -> None:
    """Narrow; from 16 on ours has no maximum after the last convolution, and averages what is left."""
    ours = filled(SmallImageVGG(depth, 4).build(CIFAR, 10, NO_NORMAL), CIFAR)
    features = vgg.make_layers([v if v == "M" else v // 16 for v in vgg.cfgs[plan]], batch_norm=True)
    theirs = features if depth == 11 else features[:-1]
    for mine, other in zip(layers(ours, images(CIFAR)), layers(theirs.double(), images(CIFAR)), strict=False):
        missing = other.load_state_dict(mine.state_dict(), strict=False).missing_keys
        assert missing == (["bias"] if isinstance(other, nn.Conv2d) else [])
        nn.init.zeros_(other.bias) if missing else None
    x = theirs.train()(images(CIFAR)).mean((2, 3))
    torch.testing.assert_close(ours(images(CIFAR)), F.linear(x, ours.fc.weight, ours.fc.bias), rtol=0, atol=1e-9)


def by_functions(network: nn.Module, depth: int, x: Tensor) -> Tensor:
    """Conv-2, -4 and -6 as in the table of Frankle & Carbin."""
    for number in range(1, depth + 1):
        conv = getattr(network, f"conv{number}")
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), conv.weight, conv.bias).relu()
        if number % 2 == 0:
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))  # the largest of 2x2
    x = x.flatten(1)
    for layer in (network.fc1, network.fc2):
        x = F.linear(x, layer.weight, layer.bias).relu()
    return F.linear(x, network.fc.weight, network.fc.bias)


# By hand: convolutions 64, 64, 128, 128, 256, 256 of 3x3, 256 units on what one to three maxima leave, 256, 10.
@pytest.mark.parametrize(
    ("depth", "number"),
    [
        (2, 1_792 + 36_928 + (16 * 16 * 64 + 1) * 256 + 65_792 + 2_570),
        (4, 1_792 + 36_928 + 73_856 + 147_584 + (8 * 8 * 128 + 1) * 256 + 65_792 + 2_570),
        (6, 1_792 + 36_928 + 73_856 + 147_584 + 295_168 + 590_080 + (4 * 4 * 256 + 1) * 256 + 65_792 + 2_570),
    ],
)
def test_conv_2_4_and_6_by_functions(depth: int, number: int) -> None:
    with torch.device("meta"):
        assert count(Conv(depth).build(CIFAR, 10, NO_NORMAL)) == number
    network = filled(Conv(depth, 4, (16, 16)).build(CIFAR, 10, NO_NORMAL), CIFAR)
    wanted = by_functions(network, depth, images(CIFAR))
    torch.testing.assert_close(network(images(CIFAR)), wanted, rtol=0, atol=1e-9)
    assert float(wanted.detach().std()) > 1e-3
