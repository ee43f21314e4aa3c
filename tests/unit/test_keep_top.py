"""The choice of the highest scores: by hand, and against a full sort."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.masks import bits, shown
from ticketsearch.ticket import Mask, keep_top


def ones(**sizes: int) -> Mask:
    return Mask({name: torch.ones(size, dtype=torch.bool) for name, size in sizes.items()})


def kept(keep: int | dict[str, int], mask: Mask | None = None, **scores: list[float]) -> dict[str, str]:
    mask = mask or ones(**{name: len(values) for name, values in scores.items()})
    return shown(keep_top({name: torch.tensor(values) for name, values in scores.items()}, mask, keep))


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("keep", "a", "b"),
    [(0, "0000", "000"), (1, "0000", "010"), (2, "0010", "010"), (3, "0010", "011"), (4, "1010", "011"),
     (5, "1010", "111"), (7, "1111", "111")],
)  # fmt: skip
def test_layers_compete_by_hand(keep: int, a: str, b: str) -> None:
    assert kept(keep, a=[3.0, -1.0, 5.0, 0.5], b=[2.0, 9.0, 4.0]) == {"a": a, "b": b}


@pytest.mark.parametrize("value", [0.0, -0.0, 7.5, -INF, INF])
@pytest.mark.parametrize("keep", [0, 1, 3, 4, 6])
def test_equal_scores_go_by_layer_then_index(value: float, keep: int) -> None:
    flat = "1" * keep + "0" * (6 - keep)
    assert kept(keep, b=[value] * 4, a=[value] * 2) == {"b": flat[:4], "a": flat[4:]}  # the mask's order, not a to z


def test_ties_at_the_threshold_are_not_lost_and_not_all_kept() -> None:
    assert kept(3, a=[1.0, 2.0, 1.0], b=[1.0, 0.0, 3.0]) == {"a": "110", "b": "001"}


def test_minus_zero_is_zero() -> None:
    # An order by bits would prefer 0.0 to -0.0 and keep the last two.
    assert kept(2, a=[-0.0, -0.0, 0.0, 0.0]) == {"a": "1100"}
    assert kept(2, a=[0.0, -0.0, 0.0, -0.0]) == {"a": "1100"}


def test_infinite_scores_have_their_place() -> None:
    assert kept(2, a=[INF, 1.0, -INF, 2.0]) == {"a": "1001"}
    assert kept(3, a=[-INF, 1.0, -INF, INF]) == {"a": "1101"}


def test_nan_is_refused_and_the_layer_named() -> None:
    with pytest.raises(ValueError, match=r"blocks\.1\.conv"):
        kept(1, **{"stem": [1.0, 1.0], "blocks.1.conv": [1.0, NAN]})


def test_scores_of_dead_weights_are_not_looked_at() -> None:
    mask = Mask({"a": bits("0110"), "b": bits("1001")})
    assert kept(2, mask, a=[NAN, 1.0, 2.0, INF], b=[0.5, NAN, INF, 3.0]) == {"a": "0010", "b": "0001"}
    assert kept({"a": 1, "b": 2}, mask, a=[NAN, 1.0, 2.0, INF], b=[0.5, NAN, INF, 3.0]) == {"a": "0010", "b": "1001"}


@pytest.mark.parametrize("keep", [4, -1])
def test_more_than_are_alive_or_fewer_than_none_raise(keep: int) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {keep} of 3"):
        kept(keep, Mask({"a": bits("0110"), "b": bits("10")}), a=[1.0] * 4, b=[1.0] * 2)


def test_a_layer_cannot_keep_more_than_it_has_alive() -> None:
    with pytest.raises(ValueError, match="cannot keep 3 of 2"):
        kept({"a": 3, "b": 0}, Mask({"a": bits("0110"), "b": bits("10")}), a=[1.0] * 4, b=[1.0] * 2)


def test_a_count_for_each_layer_by_hand() -> None:
    scores = {"a": [1.0, 2.0, 2.0, 2.0], "b": [9.0, 8.0, 7.0], "c": [5.0]}
    assert kept({"c": 0, "a": 2, "b": 1}, **scores) == {"a": "0110", "b": "100", "c": "0"}


def test_missing_scores_and_other_shapes_raise() -> None:
    with pytest.raises(ValueError, match="for b"):
        keep_top({"a": torch.ones(2)}, ones(a=2, b=2), 1)
    with pytest.raises(ValueError, match=r"\(2,\) for a"):
        keep_top({"a": torch.ones(1, 2)}, ones(a=2), 1)


def test_masks_have_the_layers_shapes_and_scores_with_gradients_are_taken() -> None:
    score = torch.tensor([[1.0, 4.0], [3.0, 2.0]], requires_grad=True)
    mask = keep_top({"a": score}, Mask({"a": torch.ones(2, 2, dtype=torch.bool)}), 2)
    assert mask["a"].tolist() == [[False, True], [True, False]]


# Few different values, so that ties are the rule; both zeros and both infinities among them.
SCORES = st.sampled_from([-INF, -2.0, -0.0, 0.0, 0.5, 1.0, 1e-45, 3e38, INF])
LAYERS = st.lists(st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=9), min_size=1, max_size=4)


def lexsort_oracle(scores: np.ndarray, alive: np.ndarray, keep: int) -> np.ndarray:
    """Indices of the `keep` best: a full stable sort by (score down, index up), in float64."""
    living = np.flatnonzero(alive)
    return living[np.lexsort((living, -scores[living].astype(np.float64)))][:keep]


def drawn(layers: list[list[tuple[float, bool]]]) -> tuple[dict[str, Tensor], Mask]:
    scores = {f"l{i}": torch.tensor([s for s, _ in layer]) for i, layer in enumerate(layers)}
    return scores, Mask({f"l{i}": torch.tensor([a for _, a in layer]) for i, layer in enumerate(layers)})


@given(LAYERS, st.data())
def test_the_global_choice_is_the_first_of_a_sorted_list(layers: list, data: st.DataObject) -> None:
    scores, mask = drawn(layers)
    keep = data.draw(st.integers(0, mask.kept))
    chosen = keep_top(scores, mask, keep)
    flat = np.concatenate([s.numpy() for s in scores.values()])
    assert chosen.kept == keep
    assert chosen.issubset(mask)
    found = np.flatnonzero(chosen.flat().numpy())
    assert found.tolist() == sorted(lexsort_oracle(flat, mask.flat().numpy(), keep))


@given(LAYERS, st.data())
def test_the_choice_in_each_layer_is_the_first_of_a_sorted_list(layers: list, data: st.DataObject) -> None:
    scores, mask = drawn(layers)
    keep = {name: data.draw(st.integers(0, count)) for name, count in mask.layer_kept.items()}
    chosen = keep_top(scores, mask, keep)
    for name, alive in mask.items():
        best = lexsort_oracle(scores[name].numpy(), alive.numpy(), keep[name])
        assert np.flatnonzero(chosen[name].numpy()).tolist() == sorted(best)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_distinct_scores_are_kept_wherever_they_lie(order: list[int], keep: int) -> None:
    score = torch.arange(12.0).sub(5)
    plain = keep_top({"a": score}, ones(a=12), keep)["a"]
    permuted = keep_top({"a": score[list(order)]}, ones(a=12), keep)["a"]
    assert torch.equal(permuted, plain[list(order)])
