"""Scopes: how survivors are spread; counts sum exactly and never exceed what is alive."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ticketsearch.pruners.scopes import Erk, Global, Layerwise, UniformPlus, shared
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Layer, Mask


def view(*alive: int) -> View:
    """Layers `l0`, `l1`, ... with so many weights alive and one dead."""
    mask = Mask({f"l{i}": torch.arange(count + 1) < count for i, count in enumerate(alive)})
    return View(nn.Identity(), {}, mask, None, {})


def test_global_is_one_number() -> None:
    assert Global()(view(3, 5), 4) == 4


@pytest.mark.parametrize(
    ("alive", "keep", "kept"),
    [
        ((10, 20, 30), 30, [5, 10, 15]),
        ((10, 20, 30), 31, [5, 10, 16]),  # 5.17, 10.33, 15.5: the largest remainder
        ((3, 3, 3), 4, [2, 1, 1]),  # equal remainders go to the earlier layer
        ((1, 1, 98), 50, [1, 0, 49]),  # 0.5, 0.5, 49
        ((7, 0, 2), 9, [7, 0, 2]),
        ((7, 0, 2), 0, [0, 0, 0]),
    ],
)
def test_layerwise_by_hand(alive: tuple[int, ...], keep: int, kept: list[int]) -> None:
    assert list(Layerwise()(view(*alive), keep).values()) == kept


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any), st.data())
def test_layerwise_sums_exactly_and_rounds_each_share(alive: list[int], data: st.DataObject) -> None:
    keep = data.draw(st.integers(0, sum(alive)))
    names = [f"l{i}" for i in range(len(alive))]
    kept = Layerwise()(_Counts(dict(zip(names, alive, strict=True))), keep)  # type: ignore[arg-type]
    assert sum(kept.values()) == keep
    for name, count in zip(names, alive, strict=True):
        assert 0 <= kept[name] <= count
        # In whole numbers: less than one away from the exact share.
        assert abs(kept[name] * sum(alive) - count * keep) < sum(alive)


class _Counts:
    """A view of millions of weights without the weights: what a scope reads of a mask is its counts."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.mask, self.layer_kept, self.kept = self, counts, sum(counts.values())


def shaped(*shapes: tuple[int, ...]) -> View:
    """Layers of these shapes, everything alive."""
    layers = {
        f"l{i}": Layer("conv" if len(shape) == 4 else "linear", shape, 1, False) for i, shape in enumerate(shapes)
    }
    return View(nn.Identity(), {}, Mask.ones(layers), None, layers)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (60, [28, 32]),  # 26 : 30 of 56 as the sums of the dimensions, exactly 27.86 : 32.14
        (112, [52, 60]),
        (400, [144, 256]),  # the first is full, the second takes the rest
        (1296, [144, 1152]),
        (0, [0, 0]),
    ],
)
def test_erk_by_hand(keep: int, kept: list[int]) -> None:
    at = shaped((16, 4, 3, 3), (16, 8, 3, 3))  # 576 and 1152 weights, sums of 26 and 30
    if keep in (400, 1296):
        at = shaped((16, 1, 3, 3), (16, 8, 3, 3))  # 144 and 1152 weights, sums of 23 and 30
    assert list(Erk()(at, keep).values()) == kept


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 64)), min_size=1, max_size=12), st.data())
def test_erk_sums_exactly_within_what_there_is_in_proportion(
    shapes: list[tuple[int, int]], data: st.DataObject
) -> None:
    at = shaped(*shapes)
    keep = data.draw(st.integers(0, at.mask.total))
    kept = Erk()(at, keep)
    assert sum(kept.values()) == keep
    assert all(0 <= kept[name] <= at.layers[name].weights for name in kept)
    open_layers = [name for name in kept if kept[name] < at.layers[name].weights]
    factors = [kept[name] / sum(at.layers[name].shape) for name in open_layers]
    slack = max((2 / sum(at.layers[name].shape) for name in open_layers), default=0)
    assert not factors or max(factors) - min(factors) <= 2 * slack + 1e-9


def classified(*shapes: tuple[int, ...], alive: dict[str, int] | None = None) -> View:
    """Layers of these shapes, the last of them the classifier; of those in `alive` so many weights live."""
    at = shaped(*shapes)
    last = list(at.layers)[-1]
    mask = {n: (torch.arange(t.numel()) < (alive or {}).get(n, t.numel())).view_as(t) for n, t in at.mask.items()}
    return replace(at, mask=Mask(mask), layers=at.layers | {last: replace(at.layers[last], is_classifier=True)})


SMALL = ((16, 1, 3, 3), (16, 8, 3, 3), (10, 16))
"""144, 1152 and 160 weights, of which the classifier keeps at least 32."""


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (1456, [144, 1152, 160]),
        (800, [144, 576, 80]),  # half of what is not in the first
        (408, [144, 232, 32]),  # 264 of 1312 are 20.1 %: 231.8 and 32.2, which is enough
        (400, [144, 224, 32]),  # 256 of 1312 would be 31.2 of the classifier
        (176, [144, 0, 32]),
    ],
)
def test_uniform_plus_by_hand(keep: int, kept: list[int]) -> None:
    assert list(UniformPlus()(classified(*SMALL), keep).values()) == kept


def test_uniform_plus_refuses_to_touch_what_it_spares() -> None:
    with pytest.raises(ValueError, match="uniform_plus spares 176 weights of l0, l2: 175 are too few"):
        UniformPlus()(classified(*SMALL), 175)
    with pytest.raises(ValueError, match="spares 144 weights of l0: 143 are too few"):
        UniformPlus()(shaped(*SMALL[:2]), 143)


def test_uniform_plus_of_what_is_alive() -> None:
    """A fifth of the classifier's weights is a fifth of all that it has; fewer than that are all kept."""
    at = classified(*SMALL, alive={"l0": 100, "l1": 500, "l2": 40})
    assert list(UniformPlus()(at, 300).values()) == [100, 168, 32]
    at = classified(*SMALL, alive={"l1": 500, "l2": 20})
    assert list(UniformPlus()(at, 300).values()) == [144, 136, 20]


def test_uniform_plus_spares_neither_a_linear_first_layer_nor_a_classifier_that_is_not_prunable() -> None:
    assert list(UniformPlus()(shaped((30, 10), (10, 30)), 60).values()) == [30, 30]
    assert list(UniformPlus(classifier=0)(classified(*SMALL), 160).values()) == [144, 14, 2]


@given(st.data())
def test_uniform_plus_sums_exactly_within_what_there_is(data: st.DataObject) -> None:
    at = classified(*SMALL, alive={name: data.draw(st.integers(0, size)) for name, size in (("l1", 1152), ("l2", 160))})
    spared = 144 + min(32, at.mask.layer_kept["l2"])
    kept = UniformPlus()(at, keep := data.draw(st.integers(spared, at.mask.kept)))
    assert sum(kept.values()) == keep
    assert kept["l0"] == 144
    assert min(32, at.mask.layer_kept["l2"]) <= kept["l2"]
    assert all(kept[name] <= at.mask.layer_kept[name] for name in kept)


def test_more_than_there_are_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="cannot keep 11 of 10"):
        shared({"a": 1.0, "b": 1.0}, {"a": 4, "b": 6}, 11)
