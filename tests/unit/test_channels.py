"""Channels: what goes with one, how many weights that is, and the smaller network that computes the same."""

from pathlib import Path

import pytest
import torch
from commands import run_here
from torch import nn

from tests.tiny import network, weights_of
from ticketsearch import channels
from ticketsearch.channels import Channels
from ticketsearch.errors import UsageError
from ticketsearch.export.compact import compact
from ticketsearch.files import decode_ticket, encode_ticket
from ticketsearch.models.base import Normalise
from ticketsearch.models.resnet import ResNet, SmallImageResNet
from ticketsearch.models.vgg import SmallImageVGG
from ticketsearch.ticket import Mask, Prunable, Ticket, prunable_layers


class Chain(nn.Module):
    """Two convolutions with biases and a classifier that sees four pixels of each of three channels."""

    classifier = "fc"
    channels = (Channels("one", "norm", ("two",)), Channels("two", "norm2", ("fc",)))

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.two, self.norm2 = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
        self.fc = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.one(x)))
        return self.fc(torch.relu(self.norm2(self.two(x))).flatten(1))


def ones(model: nn.Module, prunable: Prunable = "default") -> Mask:
    return Mask.ones(prunable_layers(model, prunable))


def shaken(model: nn.Module) -> nn.Module:
    """A network whose batch norms do something."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def test_a_channel_goes_with_all_that_is_its_own() -> None:
    model = Chain()
    kept = {"one": torch.tensor([True, False]), "two": torch.tensor([False, True, True])}
    mask = channels.without(model, ones(model), kept)
    assert mask["one.weight"].flatten(1).all(1).tolist() == [True, False]
    assert mask["two.weight"][:, :, 0, 0].tolist() == [[False, False], [True, False], [True, False]]
    assert mask.kept == 9 + 2
    held = {name: zero.int().tolist() for name, zero in mask.held.items()}
    fc = [[1] * 4 + [0] * 8] * 2
    assert held == {
        **{name: [0, 1] for name in ("norm.weight", "norm.bias", "one.bias")},
        **{name: [1, 0, 0] for name in ("norm2.weight", "norm2.bias", "two.bias")},
        "fc.weight": fc,
    }


def test_what_is_prunable_is_counted_and_not_held() -> None:
    model = Chain()
    mask = channels.without(model, ones(model, "all"), {"two": torch.tensor([False, True, True])})
    assert "fc.weight" not in mask.held
    assert mask.kept == 18 + 4 + 16


@pytest.mark.parametrize(
    ("keep", "removed", "kept"),
    [
        (24, [], 24),
        (23, ["two 0"], 22 + 0),
        (22, ["two 0"], 22),
        (21, ["two 0"], 22),
        (13, ["two 0", "one 1"], 9 + 2),
        (11, ["two 0", "one 1"], 11),
        (10, ["two 0", "one 1", "two 2"], 10),
        (0, ["two 0", "one 1", "two 2"], 10),  # one channel a layer is left
    ],
)
def test_the_lowest_go_until_the_next_would_be_too_much(keep: int, removed: list[str], kept: int) -> None:
    """A channel of `two` is two weights, or one when `one` has lost a channel; of `one` it is nine and those of two."""
    model = Chain()
    scores = {"one": torch.tensor([9.0, 2.0]), "two": torch.tensor([1.0, 8.0, 3.0])}
    mask = channels.lowest_removed(model, ones(model), scores, keep)
    gone = [f"{name} {c}" for name, stays in channels.alive(model, mask).items() for c in (~stays).nonzero().flatten()]
    if keep in (23, 13):  # the next would leave fewer than are to be kept
        removed, kept = removed[:-1], {23: 24, 13: 22}[keep]
    assert (sorted(gone), mask.kept) == (sorted(removed), kept)


def test_ties_go_to_the_earlier_channel_and_no_score_is_refused() -> None:
    model = Chain()
    scores = {"one": torch.ones(2), "two": torch.ones(3)}
    assert channels.alive(model, channels.lowest_removed(model, ones(model), scores, 22))["two"].tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="scores of two are not numbers"):
        channels.lowest_removed(model, ones(model), scores | {"two": torch.tensor([1, float("nan"), 2])}, 22)
    with pytest.raises(ValueError, match="Identity declares no channels"):
        channels.declared(nn.Identity())


def resnet20() -> nn.Module:
    return SmallImageResNet(depth=20).build((3, 32, 32), 10, Normalise((0.5,) * 3, (0.25,) * 3))


def vgg11() -> nn.Module:
    return SmallImageVGG(depth=11, width=16).build((3, 32, 32), 10, Normalise((0.5,) * 3, (0.25,) * 3))


@pytest.mark.parametrize("build", [Chain, network, resnet20, vgg11])
@pytest.mark.parametrize("density", [0.9, 0.5, 0.1, 0.0])
def test_the_smaller_network_computes_the_same(build: type[nn.Module], density: float) -> None:
    torch.manual_seed(0)
    model = shaken(build())
    layers = prunable_layers(model)
    scores = {g.layer: model.state_dict()[f"{g.layer}.weight"].flatten(1).abs().mean(1) for g in model.channels}
    before = ones(model)
    mask = channels.lowest_removed(model, before, scores, round(density * before.total))
    ticket = Ticket(mask, {})
    model.load_state_dict(ticket.masked(model.state_dict()))
    shape = {Chain: (5, 1, 2, 2), network: (5, 1, 8, 8)}.get(build, (5, 3, 32, 32))
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    small = compact(model, mask)
    with torch.no_grad():
        wanted = model.double()(images.double())
        torch.testing.assert_close(small.double()(images.double()), wanted, rtol=0, atol=1e-12)
    assert wanted.std() > 1e-3
    assert sum(p.numel() for name, p in small.named_parameters() if name in layers) == mask.kept
    assert (density == 0.9) or mask.kept < 0.95 * mask.total
    left = [int(stays.sum()) for stays in channels.alive(model, mask).values()]
    assert min(left) >= 1
    assert density > 0 or max(left) == 1


def test_a_mask_with_what_is_held_survives_its_file() -> None:
    model = network()
    before = ones(model)
    scores = {
        group.layer: torch.arange(64.0)[: len(stays)]
        for group, stays in zip(model.channels, channels.alive(model, before).values(), strict=True)
    }
    mask = channels.lowest_removed(model, before, scores, before.total // 2)
    assert mask.held
    weights = Ticket(mask, {}).masked(weights_of(model))
    stored = decode_ticket(encode_ticket(weights, mask, None))
    assert stored.mask == mask
    assert stored.mask != Mask(dict(mask))
    assert all(not weights[name][zero].any() for name, zero in mask.held.items())
    assert all(torch.equal(stored.start[name], weights[name]) for name in weights)


@pytest.mark.slow
def test_where_one_channel_a_layer_is_left_it_is_told(tmp_path: Path) -> None:
    for pruner, count in (("channel_l1", 2), ("early_bird", 2)):
        _, recorder = run_here(tmp_path, f"pruner={pruner}", "schedule=explicit", "schedule.sparsities=[0.97,0.99]")
        assert sum("one channel a layer is left" in text for text in recorder.notices) == count
        _, recorder = run_here(tmp_path, f"pruner={pruner}", "schedule.rounds=1")
        assert not any("one channel a layer is left" in text for text in recorder.notices)


def test_a_network_without_channels_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ResNet, "__setattr__", lambda self, name, value: name == "channels" or nn.Module.__setattr__(self, name, value)
    )
    with pytest.raises(UsageError, match="channel_l1 removes channels, and resnet20 declares none"):
        run_here(tmp_path / "out", "pruner=channel_l1")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_both_prunable_and_held() -> None:
    alive = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="w is prunable"):
        Mask({"w": alive}, {"w": alive})
