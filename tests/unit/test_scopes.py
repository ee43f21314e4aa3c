"""Scopes: how survivors are spread; counts sum exactly and never exceed what is alive."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ticketsearch.pruners.scopes import Global, Layerwise
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Mask


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
