"""The small-image ResNets: published counts, a shortcut by hand, and weights that are a function of the seed."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import same, weights_of
from ticketsearch.data.digits import Digits
from ticketsearch.models.base import Normalise
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.ticket import prunable_layers

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def cifar(depth: int = 20, width: int = 16) -> nn.Module:
    return SmallImageResNet(depth, width).build((3, 32, 32), 10, Normalise(MEAN, STD))


# Published for CIFAR-10 with option-A shortcuts (He et al. 2016, table 6, rounded; counted by akamaster's
# pytorch_resnet_cifar10).
@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_published_numbers_of_parameters(depth: int, count: int) -> None:
    assert sum(p.numel() for p in cifar(depth).parameters()) == count


def test_prunable_layers_of_resnet20() -> None:
    layers = prunable_layers(cifar())
    blocks = [f"blocks.{block}.conv{i}.weight" for block in range(9) for i in (1, 2)]
    assert list(layers) == ["conv.weight", *blocks]
    counts = [432] + [2304] * 6 + [4608] + [9216] * 5 + [18432] + [36864] * 5
    assert [layer.weights for layer in layers.values()] == counts
    assert sum(counts) == 267_696


def test_the_classifier_is_prunable_only_when_asked_for() -> None:
    assert list(prunable_layers(cifar(), "conv")) == list(prunable_layers(cifar()))
    assert set(prunable_layers(cifar(), "all")) - set(prunable_layers(cifar())) == {"fc.weight"}


def test_on_one_channel_the_stem_is_smaller() -> None:
    model = SmallImageResNet().initial(Digits(), 0)
    assert sum(layer.weights for layer in prunable_layers(model).values()) == 267_408
    assert sum(p.numel() for p in model.parameters()) == 269_722 - 2 * 16 * 9


def block_by_hand(block: nn.Module, x: Tensor) -> Tensor:
    """relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut), the shortcut by a loop over channels."""
    out = F.relu(block.bn1(F.conv2d(x, block.conv1.weight, stride=block.conv1.stride, padding=1)))
    out = block.bn2(F.conv2d(out, block.conv2.weight, padding=1))
    images, old, _, _ = x.shape
    new = out.shape[1]
    shortcut = torch.zeros_like(out)
    step = x.shape[2] // out.shape[2]
    for image in range(images):
        for channel in range(old):  # half of the new channels before the old ones, half after
            shortcut[image, channel + (new - old) // 2] = x[image, channel, ::step, ::step]
    return F.relu(out + shortcut)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_shortcuts_subsample_and_pad_with_zeros(index: int) -> None:
    torch.manual_seed(0)
    model = cifar(8, 4).double().eval()
    block = model.blocks[index]
    x = torch.randn(2, block.conv1.in_channels, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x), block_by_hand(block, x), rtol=0, atol=1e-12)


def test_shortcuts_have_no_weights() -> None:
    names = {name.split(".")[2] for name, _ in cifar().named_parameters() if name.startswith("blocks.")}
    assert names == {"conv1", "bn1", "conv2", "bn2"}


def test_the_whole_network_is_stem_blocks_average_and_classifier() -> None:
    torch.manual_seed(0)
    model = cifar(8, 4).double().eval()
    pixels = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    mean, std = (torch.tensor(v, dtype=torch.float32).double().view(1, 3, 1, 1) for v in (MEAN, STD))
    x = F.relu(model.bn(F.conv2d((pixels - mean) / std, model.conv.weight, padding=1)))
    for block in model.blocks:
        x = block_by_hand(block, x)
    assert x.shape == (2, 16, 4, 4)
    wanted = x.flatten(2).mean(2) @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(model(pixels), wanted, rtol=0, atol=1e-12)


def test_normalisation_is_inside_the_model() -> None:
    seen: list[Tensor] = []
    model = SmallImageResNet(8, 4).initial(Digits(), 0).eval()
    model.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([0.0, 0.305, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8))
    wanted = torch.tensor([-0.305 / 0.376, 0, 0.695 / 0.376])
    torch.testing.assert_close(seen[0][:, 0, 0, 0], wanted)


def test_normalisation_constants_are_no_weights() -> None:
    assert not [name for name in cifar().state_dict() if "normalise" in name]


def initial(seed: int = 0, purpose: str = "init", before: Callable[[], object] = lambda: None) -> dict[str, Tensor]:
    before()
    return weights_of(SmallImageResNet(8, 4).initial(Digits(), seed, purpose))


def test_initial_weights_are_a_function_of_the_seed_alone() -> None:
    assert same(initial(before=lambda: torch.manual_seed(1)), initial(before=lambda: torch.manual_seed(2)))


def test_building_a_model_leaves_the_global_generator() -> None:
    before = torch.get_rng_state()
    initial()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("other", [{"seed": 1}, {"purpose": "reinit"}])
def test_other_seeds_and_purposes_give_other_weights_in_every_layer(other: dict) -> None:
    one, two = initial(), initial(**other)
    for name in prunable_layers(SmallImageResNet(8, 4).initial(Digits(), 0), "all"):
        assert not torch.equal(one[name], two[name])


def test_weights_are_he_normal() -> None:
    model = cifar()
    for name, layer in prunable_layers(model, "all").items():
        weight = model.state_dict()[name]
        std, error = (2 / layer.fan_in) ** 0.5, layer.weights**-0.5
        assert abs(float(weight.std()) / std - 1) < 4 * error / 2**0.5, name
        assert abs(float(weight.mean())) < 4 * error * std, name


@pytest.mark.parametrize("depth", [9, 18, 21, 34])
def test_depth_must_be_six_n_plus_two(depth: int) -> None:
    with pytest.raises(ValueError, match=f"6n \\+ 2.*{depth}"):
        SmallImageResNet(depth)
