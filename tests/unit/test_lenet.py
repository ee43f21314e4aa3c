"""The LeNets: published counts, a plain torch construction, and Glorot's Gaussian weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.official import CLASSES
from tests.tiny import same, weights_of
from ticketsearch.build import build
from ticketsearch.data.base import Dataset
from ticketsearch.data.digits import Digits
from ticketsearch.models.base import Model
from ticketsearch.models.lenet import LeNet5, LeNet300
from ticketsearch.ticket import prunable_layers

MNIST, CIFAR10 = CLASSES["mnist"](), CLASSES["cifar10"]()
MODELS: list[Model] = [LeNet300(), LeNet5()]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def perceptron() -> nn.Module:
    """As in the papers."""
    return nn.Sequential(nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10))


def lenet5(channels: int) -> nn.Module:
    """Of 32x32 pixels, after two convolutions and two maxima, 5x5 are left."""
    convolutions = [nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)]
    return nn.Sequential(*convolutions, nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10))


@pytest.mark.parametrize(
    ("model", "dataset", "plain", "number"),
    [
        (LeNet300(), MNIST, perceptron(), 266_610),
        (LeNet5(), MNIST, lenet5(1), 61_706),
        (LeNet5(), CIFAR10, lenet5(3), 62_006),
    ],
    ids=["lenet300", "lenet5", "lenet5-colour"],
)
def test_published_numbers_of_parameters(model: Model, dataset: Dataset, plain: nn.Module, number: int) -> None:
    built = model.initial(dataset, 0)
    assert count(built) == count(plain) == number
    assert [p.shape for p in built.parameters()] == [p.shape for p in plain.parameters()]


def test_prunable_layers() -> None:
    layers = prunable_layers(LeNet300().initial(MNIST, 0), "all")
    assert [layer.weights for layer in layers.values()] == [235_200, 30_000, 1_000]
    assert list(layers) == ["fc1.weight", "fc2.weight", "fc.weight"]
    layers = prunable_layers(LeNet5().initial(MNIST, 0))
    assert [layer.weights for layer in layers.values()] == [150, 2_400, 48_000, 10_080]
    assert [layer.kind for layer in layers.values()] == ["conv", "conv", "linear", "linear"]
    assert sum(layer.weights for layer in layers.values()) == 60_630


def normal(pixels: Tensor, dataset: Dataset) -> Tensor:
    mean, std = (torch.tensor(v).double().view(1, -1, 1, 1) for v in (dataset.mean, dataset.std))
    return (pixels - mean) / std


def test_the_perceptron_by_matrix_products() -> None:
    model = LeNet300().initial(MNIST, 0).double()
    pixels = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)).double()
    x = normal(pixels, MNIST).reshape(3, 784)
    for layer in (model.fc1, model.fc2):
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(model(pixels), x @ model.fc.weight.T + model.fc.bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dataset", "padding"), [(MNIST, (2, 0)), (CIFAR10, (0, 0)), (Digits(), (2, 2))], ids=["mnist", "cifar10", "digits"]
)
def test_lenet5_by_functions(dataset: Dataset, padding: tuple[int, int]) -> None:
    model = LeNet5().initial(dataset, 0).double()
    pixels = torch.rand(3, *dataset.shape, generator=torch.Generator().manual_seed(0)).double()
    x = normal(pixels, dataset)
    for layer, pad in zip((model.conv1, model.conv2), padding, strict=True):
        x = F.conv2d(F.pad(x, (pad,) * 4), layer.weight, layer.bias).relu()
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))  # the largest of 2x2
    assert x.shape[2:] == ((2, 2) if dataset.shape[1] == 8 else (5, 5))
    x = x.flatten(1)
    for layer in (model.fc1, model.fc2):
        x = F.linear(x, layer.weight, layer.bias).relu()
    torch.testing.assert_close(model(pixels), F.linear(x, model.fc.weight, model.fc.bias), rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [8, 9, 16, 27, 28, 29, 31, 32, 33, 64])
def test_lenet5_takes_images_of_any_side(side: int) -> None:
    class Made(Digits):
        shape = (1, side, side)

    model = LeNet5().initial(Made(), 0)
    assert model(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_on_digits_the_first_layer_is_smaller() -> None:
    model = LeNet300().initial(Digits(), 0)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert count(model) == 266_610 - (784 - 64) * 300
    assert count(LeNet5().initial(Digits(), 0)) == 61_706 - (400 - 16 * 2 * 2) * 120


@pytest.mark.parametrize(("widths", "sizes"), [((), [640]), ((20,), [1280, 200]), ((5, 6, 7), [320, 30, 42, 70])])
def test_widths_are_those_of_the_hidden_layers(widths: tuple[int, ...], sizes: list[int]) -> None:
    model = build({"_target_": "ticketsearch.models.lenet.LeNet300", "widths": list(widths)}, "model")
    assert model == LeNet300(widths)
    built = model.initial(Digits(), 0)
    layers = prunable_layers(built, "all")
    assert [layer.weights for layer in layers.values()] == sizes
    assert [layer.is_classifier for layer in layers.values()] == [False] * len(widths) + [True]
    assert built(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert sum(isinstance(module, nn.ReLU) for module in built.modules()) == len(widths)


def fans(weight: Tensor) -> tuple[int, int]:
    """Inputs and outputs that a unit is connected to."""
    places = weight[0, 0].numel()
    return weight.shape[1] * places, weight.shape[0] * places


@pytest.mark.parametrize("model", MODELS, ids=["lenet300", "lenet5"])
def test_weights_are_glorot_normal_and_biases_zero(model: Model) -> None:
    built = model.initial(MNIST, 0)
    for name, layer in prunable_layers(built, "all").items():
        weight = built.state_dict()[name]
        std, error = (2 / sum(fans(weight))) ** 0.5, layer.weights**-0.5
        assert abs(float(weight.std()) / std - 1) < 4 * error / 2**0.5, name
        assert abs(float(weight.mean())) < 4 * error * std, name
        # A uniform distribution of this deviation ends at 1.73 of it; a Gaussian has 8 % of its weights beyond.
        assert float((weight.abs() > 3**0.5 * std).double().mean()) == pytest.approx(0.0833, abs=4 * 0.2764 * error)
        assert not built.state_dict()[name.replace("weight", "bias")].any()


@pytest.mark.parametrize("model", MODELS, ids=["lenet300", "lenet5"])
def test_initial_weights_are_a_function_of_the_seed(model: Model) -> None:
    before = torch.get_rng_state()
    one, again, other = (weights_of(model.initial(MNIST, seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same(one, again)
    assert all(not torch.equal(one[name], other[name]) for name in one if name.endswith("weight"))
