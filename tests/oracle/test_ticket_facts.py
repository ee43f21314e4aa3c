"""Ticket facts: multiply-adds by formula, by torch's counter and as published; bytes against the stored file."""

import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny import DATASET, magnitude_mask, network
from ticketsearch.data.base import Data, Split
from ticketsearch.files import encode_ticket
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.ticket import TicketFacts, macs_per_weight
from ticketsearch.models.base import Normalise
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.predict import predict

CIFAR = (3, 32, 32)


def resnet20() -> nn.Module:
    return SmallImageResNet().build(CIFAR, 10, Normalise((0.5,) * 3, (0.25,) * 3)).eval()


def facts(model: nn.Module, mask: Mask, shape: tuple[int, ...] = CIFAR) -> dict[tuple[str, str], Value]:
    split = Split(torch.zeros(2, *shape, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    ctx = EvalContext(mask, prunable_layers(model), None, lambda s: predict(model, s), DATASET)
    return {(v.name, v.variant): v for v in TicketFacts()(model, Data(split, split, split), ctx)}


def by_formula() -> int:
    """Side^2 x out x in x 9 of each convolution (stem, six at 32 pixels, six at 16, six at 8), and the classifier."""
    stem, first = 32**2 * 16 * 3 * 9, 6 * 32**2 * 16 * 16 * 9
    second = 16**2 * 9 * (32 * 16 + 5 * 32 * 32)
    third = 8**2 * 9 * (64 * 32 + 5 * 64 * 64)
    return stem + first + second + third + 64 * 10


def test_macs_of_resnet20_on_cifar() -> None:
    model = resnet20()
    found = facts(model, Mask.ones(prunable_layers(model)))
    assert found["macs", ""].value == found["macs", "dense"].value == by_formula() == 40_551_040
    assert round(found["macs", ""].value / 1e9, 3) == 0.041  # published: 0.041 GMac (41 M multiply-adds)


def test_macs_are_half_of_torchs_floating_point_operations() -> None:
    model = resnet20()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *CIFAR))
    assert facts(model, Mask.ones(prunable_layers(model)))["macs", "dense"].value * 2 == counter.get_total_flops()


def test_macs_of_a_ticket_count_the_living_weights_where_they_are_used() -> None:
    model = resnet20()
    layers = prunable_layers(model)
    alive = {name: torch.zeros(layer.shape, dtype=torch.bool) for name, layer in layers.items()}
    alive["conv.weight"].flatten()[:5] = True  # at 32 x 32 places
    alive["blocks.3.conv1.weight"].flatten()[:7] = True  # its stride is 2: 16 x 16
    alive["blocks.8.conv2.weight"].flatten()[:2] = True  # 8 x 8
    found = facts(model, Mask(alive))
    assert found["macs", ""].value == 5 * 1024 + 7 * 256 + 2 * 64 + 640  # the classifier is not prunable: all of it
    assert found["macs", "dense"].value == by_formula()


def test_a_prunable_classifier_is_counted_by_its_mask() -> None:
    model = resnet20()
    alive = {name: torch.zeros(la.shape, dtype=torch.bool) for name, la in prunable_layers(model, "all").items()}
    alive["fc.weight"].flatten()[:3] = True
    assert facts(model, Mask(alive))["macs", ""].value == 3


class Twice(nn.Module):
    """A grouped convolution, used twice."""

    classifier = "fc"

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), nn.Linear(4, 2)
        self.unused = nn.Linear(100, 100)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(self.conv(x)).mean((2, 3)))


def test_shared_grouped_and_unused_layers() -> None:
    # 4 x 2 x 9 weights, at 5 x 6 places, twice; the layer that is not in use is not there.
    found = macs_per_weight(Twice(), torch.zeros(1, 4, 5, 6, dtype=torch.uint8))
    assert found == {"conv.weight": (72, 60), "fc.weight": (8, 1)}


@pytest.mark.parametrize("training", [True, False])
def test_counting_puts_the_mode_back_and_moves_no_statistics(training: bool) -> None:
    model = network().train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    macs_per_weight(model, DATASET.load().test.images[:1])
    assert model.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("density", [0.0, 0.37, 1.0])
def test_bytes_by_hand_and_of_the_stored_file(density: float) -> None:
    model = resnet20()
    mask = magnitude_mask(model, density)
    found = facts(model, mask)["ticket_bytes", ""].value
    # 688 normalised channels with 4 floats each, 19 counts of batches of 8 bytes, 650 floats of classifier.
    assert found == 688 * 4 * 4 + 19 * 8 + 650 * 4 + 267_696 // 8 + 4 * mask.kept
    content = encode_ticket(Ticket(mask, {}).masked(model.state_dict()), mask, None)
    header = 8 + int.from_bytes(content[:8], "little")
    stored = load(content)
    bits = {name: len(stored[name]) for name in ("mask", "deflated") if name in stored}
    assert found == len(content) - header - len(stored["index"]) - sum(bits.values()) + 267_696 // 8
    assert list(bits.values()) == [pytest.approx(267_696 // 8, rel=0.1)] if density == 0.37 else bits["deflated"] < 100


def test_layer_densities_and_collapsed_layers() -> None:
    model = resnet20()
    mask = magnitude_mask(model, 0.5)
    alive = dict(mask) | {"blocks.2.conv1.weight": torch.zeros(16, 16, 3, 3, dtype=torch.bool)}
    found = facts(model, Mask(alive))
    densities = {variant: value.value for (name, variant), value in found.items() if name == "layer_density"}
    assert densities == {name: pytest.approx(float(layer.float().mean()), abs=1e-6) for name, layer in alive.items()}
    assert found["collapsed_layers", ""].value == 1
