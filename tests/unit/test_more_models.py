"""The other networks: settings that are refused, initial weights, and what adapts to small images."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ticketsearch.data.digits import Digits
from ticketsearch.metrics.ticket import macs_per_weight
from ticketsearch.models.base import Model, Normalise
from ticketsearch.models.conv import Conv
from ticketsearch.models.deep_resnet import DeepResNet
from ticketsearch.models.mobilenet import SmallImageMobileNet
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.models.wide_resnet import WideResNet
from ticketsearch.ticket import prunable_layers


@pytest.mark.parametrize(
    ("made", "settings", "reason"),
    [
        (SmallImageResNet, {"widths": (16, 32)}, "three stages, not 2"),
        (SmallImageResNet, {"widths": (16, 32, 31)}, r"cannot fall where shortcuts are padded: \[16, 32, 31\]"),
        (DeepResNet, {"widths": (16, 32, 64)}, "four stages, not 3"),
        (WideResNet, {"widths": (16, 32, 64, 128)}, "three stages, not 4"),
        (WideResNet, {"depth": 26}, r"6n \+ 4 .*not 26"),
    ],
)
def test_what_is_no_network_is_refused(made: type[Model], settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        made(**settings)


def test_projected_shortcuts_may_become_narrower() -> None:
    network = SmallImageResNet(8, widths=(6, 4, 5), shortcut="projection").initial(Digits(), 0)
    assert [tuple(block.conv3.weight.shape) for block in network.blocks if block.projected] == [
        (4, 6, 1, 1),
        (5, 4, 1, 1),
    ]
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_scales_of_openlth_are_uniform_and_others_one() -> None:
    uniform, usual = (SmallImageResNet(scales=scales).initial(Digits(), 0) for scales in ("uniform", "one"))
    drawn, ones = (
        torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
        for network in (uniform, usual)
    )
    assert len(drawn) == len(ones) == 688
    assert bool((ones == 1).all())
    assert 0 <= float(drawn.min()) < 0.02
    assert 0.98 < float(drawn.max()) < 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=4 * 12**-0.5 / 688**0.5)


@pytest.mark.parametrize(
    ("model", "layers"), [(DeepResNet(18, 16), ["conv", "blocks"]), (WideResNet(16, 32), ["conv", "blocks"])], ids=str
)
def test_convolutions_begin_he_normal_by_fan_out(model: Model, layers: list[str]) -> None:
    network = model.initial(Digits(), 0)
    for name, layer in prunable_layers(network).items():
        weight: Tensor = network.state_dict()[name]
        std, error = (2 / (layer.shape[0] * weight[0, 0].numel())) ** 0.5, layer.weights**-0.5
        assert name.partition(".")[0] in layers
        assert abs(float(weight.std()) / std - 1) < 4 * error / 2**0.5, name
        assert abs(float(weight.mean())) < 4 * error * std, name


def test_the_wide_classifier_begins_without_biases() -> None:
    assert not WideResNet(10, 16).initial(Digits(), 0).fc.bias.any()
    assert DeepResNet(18, 4).initial(Digits(), 0).fc.bias.any()


def test_conv_weights_are_glorot_normal_and_biases_zero() -> None:
    network = Conv(2, 16).initial(Digits(), 0)
    for name, layer in prunable_layers(network, "all").items():
        weight = network.state_dict()[name]
        places = weight[0].numel() // weight.shape[1]
        std = (2 / (places * (weight.shape[0] + weight.shape[1]))) ** 0.5
        assert abs(float(weight.std()) / std - 1) < 4 * layer.weights**-0.5, name
        assert not network.state_dict()[name.replace("weight", "bias")].any()


@pytest.mark.parametrize(
    ("model", "side", "left"),
    [
        (Conv(6, 4), 8, 1), (Conv(6, 4), 4, 1), (Conv(6, 4), 28, 3),
        (DeepResNet(18, 4), 32, 4), (DeepResNet(18, 4), 8, 1),
        (DeepResNet(18, 4, stem="imagenet"), 224, 7), (DeepResNet(18, 4, stem="imagenet"), 32, 1),
        (DeepResNet(18, 4, stem="imagenet"), 8, 1), (WideResNet(10, 4), 32, 8), (WideResNet(10, 4), 8, 2),
        (SmallImageMobileNet(4), 32, 2), (SmallImageMobileNet(4), 8, 1),
    ],
    ids=str,
)  # fmt: skip
def test_sides_of_the_last_map(model: Model, side: int, left: int) -> None:
    network = model.build((1, side, side), 10, Normalise([0.0], [1.0])).eval()
    maps = list[Tensor]()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
            module.register_forward_hook(lambda _, __, output: maps.append(output))
    network(torch.zeros(1, 1, side, side))
    assert maps[-1].shape[2:] == (left, left)


def test_multiply_adds_of_depthwise_convolutions() -> None:
    """By hand: of the first block at 8x8, each of 4 channels reads 9 places of itself; then 1x1 from 4 to 8."""
    network = SmallImageMobileNet(4).initial(Digits(), 0)
    found = macs_per_weight(network, torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    assert found["blocks.0.conv1.weight"] == (4 * 9, 64)
    assert found["blocks.0.conv2.weight"] == (4 * 8, 64)
    assert found["blocks.1.conv1.weight"] == (8 * 9, 16)


def test_multiply_adds_of_a_linear_layer_that_sees_several_places() -> None:
    """As in a transformer: a weight works once at each of the 6 tokens."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.fc = nn.Linear(4, 5), nn.Linear(5, 10)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.fc(self.token(pixels.view(-1, 6, 4)).mean(1))

    found = macs_per_weight(Tokens(), torch.zeros(1, 1, 6, 4, dtype=torch.uint8))
    assert found == {"token.weight": (20, 6), "fc.weight": (50, 1)}
