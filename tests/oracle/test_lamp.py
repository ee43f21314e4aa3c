"""LAMP beside numbers worked out by hand and a sum over all pairs of weights in float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.three import context, pruner, view
from ticketsearch.pruners.scores import Lamp
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Mask, keep_top

LAMP = Lamp()


def of(alive: dict[str, list[bool]] | None = None, **weights: list[float]) -> View:
    tensors = {name: torch.tensor(values) for name, values in weights.items()}
    mask = {
        n: torch.ones_like(t, dtype=torch.bool) if alive is None else torch.tensor(alive[n]) for n, t in tensors.items()
    }
    return View(nn.Identity(), tensors, Mask(mask), None, {})


def scores(at: View) -> dict[str, list[float]]:
    return {name: score.tolist() for name, score in LAMP(at, None).items()}  # type: ignore[arg-type]


def test_by_hand() -> None:
    """1, 2, 3: 1 / (1 + 4 + 9), 4 / (4 + 9), 9 / 9; signs and scale do not matter."""
    found = scores(of(a=[1.0, 2.0, 3.0], b=[-0.5, 0.0, 0.25]))
    assert found["a"] == [pytest.approx(1 / 14), pytest.approx(4 / 13), 1.0]
    assert found["b"] == [1.0, 0.0, pytest.approx(0.0625 / 0.3125)]
    assert scores(of(a=[-100.0, 200.0, -300.0]))["a"] == [pytest.approx(1 / 14), pytest.approx(4 / 13), 1.0]


def test_dead_weights_are_in_no_sum() -> None:
    """Whatever they hold: the trained weights of a view are not masked everywhere."""
    at = of({"a": [True, False, True, True]}, a=[1.0, 50.0, 2.0, 3.0])
    assert scores(at)["a"] == [pytest.approx(1 / 14), 0.0, pytest.approx(4 / 13), 1.0]


def test_of_equal_weights_the_earlier_has_the_higher_score() -> None:
    """Each is in the sum of the later ones: 4 / 4, 4 / 8, 4 / 12, and 1 / 13 for the small one."""
    assert scores(of(a=[2.0, 1.0, -2.0, 2.0]))["a"] == [1.0, pytest.approx(1 / 13), 0.5, pytest.approx(1 / 3)]


def test_a_layer_of_zeros_is_the_first_to_go() -> None:
    at = of(a=[0.0, 0.0], b=[1e-20, 1e-19])
    assert scores(at)["a"] == [0.0, 0.0]
    assert keep_top(LAMP(at, None), at.mask, 2).layer_kept == {"a": 0, "b": 2}  # type: ignore[arg-type]


def test_a_weight_that_is_no_number_is_refused() -> None:
    at = of(a=[1.0, float("nan"), 2.0], b=[1.0])
    with pytest.raises(ValueError, match="a are not numbers"):
        keep_top(LAMP(at, None), at.mask, 2)  # type: ignore[arg-type]


def pairs(weights: Tensor, alive: Tensor) -> Tensor:
    """w_i^2 over the sum of w_j^2 of every j that is alive and larger, or as large and not later; n^2 comparisons."""
    squares, index = weights.double().square(), torch.arange(weights.numel())
    first = squares[None, :] > squares[:, None]
    tied = (squares[None, :] == squares[:, None]) & (index[None, :] <= index[:, None])
    below = ((first | tied) & alive[None, :]).double() @ squares
    return torch.where(alive & (squares > 0), squares / below, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, -0.5, 1.0, -3.0, 1e-15, 2e18])
            | st.floats(-9, 9, width=32, allow_subnormal=False),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_it_is_the_sum_over_all_pairs(layer: list[tuple[float, bool]]) -> None:
    weights, alive = torch.tensor([w for w, _ in layer]), torch.tensor([a for _, a in layer])
    at = View(nn.Identity(), {"a": weights}, Mask({"a": alive}), None, {})
    assert torch.allclose(LAMP(at, None)["a"], pairs(weights, alive), rtol=1e-12, atol=0)  # type: ignore[arg-type]


def test_it_is_the_sum_over_all_pairs_in_a_network() -> None:
    at = view(pruner("lamp"))
    found = LAMP(at, context(at))
    for name, alive in at.mask.items():
        wanted = pairs(at.weights[name].flatten(), alive.flatten()).view_as(alive)
        assert torch.allclose(found[name], wanted, rtol=1e-12, atol=0)
        assert found[name].dtype == torch.float64


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_no_layer_loses_its_last_weight_before_every_other_has_one_left(scale: float) -> None:
    """Even where one layer's weights are much smaller than the others'; magnitudes lose it."""
    at = view(pruner("lamp"))
    weights = {name: tensor * (scale if name == "one.weight" else 1) for name, tensor in at.weights.items()}
    at = replace(at, weights=weights)
    found = LAMP(at, context(at))
    for keep in range(len(at.mask), 60):
        assert min(keep_top(found, at.mask, keep).layer_kept.values()) > 0
    assert max(keep_top(found, at.mask, len(at.mask)).layer_kept.values()) == 1
    if scale < 1:
        magnitudes = {name: weights[name].abs() for name in at.mask}
        assert keep_top(magnitudes, at.mask, 60).layer_kept["one.weight"] == 0


def test_ranks_within_a_layer_are_those_of_magnitude() -> None:
    at = view(pruner("lamp"))
    for keep in (500, 100, 10):
        mask = keep_top(LAMP(at, context(at)), at.mask, keep)
        magnitudes = {name: at.weights[name].abs() for name in at.mask}
        assert mask == keep_top(magnitudes, at.mask, mask.layer_kept)
