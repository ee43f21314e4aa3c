"""Masks, tickets, and what counts as prunable, by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.unit.masks import bits, shown
from ticketsearch.ticket import Mask, Ticket, prunable_layers


def test_counts_are_exact() -> None:
    mask = Mask({"a": bits("1101").view(2, 2), "b": bits("000")})
    assert (mask.kept, mask.total, mask.layer_kept) == (3, 7, {"a": 3, "b": 0})
    assert mask.sparsity == pytest.approx(4 / 7, abs=1e-15)
    assert (len(mask), list(mask)) == (2, ["a", "b"])


def test_a_mask_does_not_follow_the_tensors_and_the_mapping_it_was_made_from() -> None:
    alive = bits("111")
    layers = {"a": alive}
    mask = Mask(layers)
    alive[0] = False
    layers["b"] = bits("1")
    assert shown(mask) == {"a": "111"}
    assert mask.kept == 3


def test_changing_the_counts_that_a_mask_hands_out_does_not_change_it() -> None:
    mask = Mask({"a": bits("110")})
    mask.layer_kept["a"] = 99
    assert mask.kept == 2


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_only_bool_is_a_mask(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="conv7"):
        Mask({"conv7": torch.ones(3, dtype=dtype)})


def test_ones_has_every_layers_shape() -> None:
    layers = prunable_layers(Net())
    mask = Mask.ones(layers)
    assert {name: tuple(alive.shape) for name, alive in mask.items()} == {n: la.shape for n, la in layers.items()}
    assert mask.kept == mask.total
    assert mask.sparsity == 0


def test_equality_is_by_value() -> None:
    mask = Mask({"a": bits("101"), "b": bits("01")})
    assert mask == Mask({"a": bits("101"), "b": bits("01")})
    assert mask != Mask({"a": bits("110"), "b": bits("01")})  # the same counts
    assert mask != Mask({"a": bits("101"), "c": bits("01")})
    assert mask != Mask({"a": bits("101")})
    assert mask != Mask({"a": bits("101"), "b": bits("010")})
    assert mask != {"a": bits("101"), "b": bits("01")}


def test_issubset_by_hand() -> None:
    big, small = Mask({"a": bits("1101"), "b": bits("10")}), Mask({"a": bits("1001"), "b": bits("10")})
    other = Mask({"a": bits("0010"), "b": bits("10")})
    assert small.issubset(big)
    assert big.issubset(big)
    assert not big.issubset(small)
    assert not other.issubset(big)
    assert not Mask({"a": bits("1001")}).issubset(big)  # other layers
    assert not small.issubset(Mask({"a": bits("1111")}))


def test_hamming_by_hand_is_symmetric() -> None:
    one, two = Mask({"a": bits("1100"), "b": bits("10")}), Mask({"a": bits("1010"), "b": bits("00")})
    assert one.hamming(two) == two.hamming(one) == 3
    assert one.hamming(one) == 0


def test_pack_is_one_bit_a_weight_highest_bit_first() -> None:
    packed = Mask({"a": bits("1000"), "b": bits("00011")}).pack()
    assert packed.dtype == torch.uint8
    assert packed.tolist() == [0b10000001, 0b10000000]


@pytest.mark.parametrize("sizes", [(8,), (7,), (9,), (1,), (3, 5), (3, 6, 8), (5, 0, 4), (1000, 23)])
def test_unpack_undoes_pack(sizes: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    mask = Mask({f"layer{i}": torch.rand(size, generator=rng) < 0.5 for i, size in enumerate(sizes)})
    packed = mask.pack()
    assert len(packed) == math.ceil(sum(sizes) / 8)
    assert Mask.unpack(packed, {name: tuple(alive.shape) for name, alive in mask.items()}) == mask


def test_unpack_restores_the_shapes() -> None:
    mask = Mask({"a": bits("110100").view(3, 1, 2), "b": bits("01").view(2, 1)})
    assert Mask.unpack(mask.pack(), {"a": (3, 1, 2), "b": (2, 1)}) == mask


@pytest.mark.parametrize("length", [0, 1, 3])
def test_unpack_refuses_another_number_of_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="10 weights"):
        Mask.unpack(torch.zeros(length, dtype=torch.uint8), {"a": (5, 2)})


INF, NAN = math.inf, math.nan


class Net(nn.Module):
    """Names that mislead whoever selects by name."""

    classifier = "head.conv_like"

    def __init__(self) -> None:
        super().__init__()
        self.conv_norm = nn.BatchNorm2d(3)  # no "bn" in its name
        self.bn_conv = nn.Conv2d(3, 4, (3, 5), bias=True)  # "bn" in its name
        self.shortcut = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.hidden = nn.Linear(6, 5)
        self.head = nn.ModuleDict({"conv_like": nn.Linear(5, 2), "norm": nn.LayerNorm(5)})


CONVS = ["bn_conv.weight", "shortcut.0.weight", "grouped.weight"]


def test_prunable_is_decided_by_type_and_by_the_declared_classifier() -> None:
    assert list(prunable_layers(Net())) == [*CONVS, "hidden.weight"]
    assert list(prunable_layers(Net(), "conv")) == CONVS
    assert list(prunable_layers(Net(), "all")) == [*CONVS, "hidden.weight", "head.conv_like.weight"]


def test_layers_know_kind_shape_and_fan_in() -> None:
    layers = prunable_layers(Net(), "all")
    facts = {name: (la.kind, la.shape, la.fan_in, la.weights, la.is_classifier) for name, la in layers.items()}
    assert facts["bn_conv.weight"] == ("conv", (4, 3, 3, 5), 45, 180, False)
    assert facts["grouped.weight"] == ("conv", (6, 2, 3, 3), 18, 108, False)  # a group's inputs only
    assert facts["hidden.weight"] == ("linear", (5, 6), 6, 30, False)
    assert facts["head.conv_like.weight"] == ("linear", (2, 5), 5, 10, True)


def test_a_convolution_can_be_the_classifier() -> None:
    model = Net()
    model.classifier = "grouped"
    assert "grouped.weight" not in prunable_layers(model, "conv")
    assert "head.conv_like.weight" in prunable_layers(model)


@pytest.mark.parametrize("classifier", [None, "fc", 3])
def test_a_model_must_declare_a_classifier_that_it_has(classifier: object) -> None:
    model = Net()
    model.classifier = classifier
    with pytest.raises(ValueError, match=r"Net\.classifier"):
        prunable_layers(model)


def test_names_are_those_of_the_state_dict_in_its_order() -> None:
    model = Net()
    assert [name for name in model.state_dict() if name in prunable_layers(model, "all")] == list(
        prunable_layers(model, "all")
    )


def raw(tensor: Tensor) -> list[int]:
    """The bits, which tell 0.0 from -0.0."""
    return tensor.view(torch.int32).tolist()


def test_masking_selects_and_does_not_multiply() -> None:
    weights = {"a": torch.tensor([INF, NAN, -3.0, -2.0, INF]), "bn": torch.tensor([NAN])}
    masked = Ticket(Mask({"a": bits("00011")}), weights).masked(weights)
    assert raw(masked["a"]) == raw(torch.tensor([0.0, 0.0, 0.0, -2.0, INF]))  # no NaN, and no -0.0 from -3 x 0
    assert masked["bn"] is weights["bn"]
    assert weights["a"][0] == INF  # the argument is not written to


def test_masking_puts_pruned_weights_at_rest() -> None:
    weights, rest = {"a": torch.tensor([1.0, 2.0, 3.0])}, {"a": torch.tensor([NAN, -0.0, 7.0])}
    masked = Ticket(Mask({"a": bits("100")}), weights, rest).masked(weights)
    assert raw(masked["a"]) == raw(torch.tensor([1.0, -0.0, 7.0]))
