"""The mask criteria of Zhou et al. (2019) beside a table worked out by hand."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from tests.three import context, network, pruner, trained, view
from tests.tiny import weights_of
from ticketsearch.pruners.base import Source
from ticketsearch.pruners.criteria import FORMULAS, Criterion, SameSign, Zhou
from ticketsearch.pruners.scopes import Rates
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, Weights, keep_top

INITIAL = [3.0, -1.0, 0.5, -2.0, 0.0]
FINAL = [1.0, -4.0, -2.0, 2.5, 0.25]
OUT = -torch.inf

TABLE = {
    "large_final": [1, 4, 2, 2.5, 0.25],
    "small_final": [-1, -4, -2, -2.5, -0.25],
    "large_init": [3, 1, 0.5, 2, 0],
    "small_init": [-3, -1, -0.5, -2, 0],
    # Places by |i|: first, third, fourth, second, last; by |f|: fourth, first, third, second, last.
    "large_init_large_final": [-3, -2, -3, -1, -4],
    "small_init_small_final": [-4, -4, -2, -3, 0],
    "magnitude_increase": [-2, 3, 1.5, 0.5, 0.25],
    "movement": [2, 3, 2.5, 4.5, 0.25],
    "large_final_same_sign": [1, 4, OUT, OUT, OUT],
    "large_final_diff_sign": [OUT, OUT, 2, 2.5, OUT],
    "magnitude_increase_same_sign": [-2, 3, OUT, OUT, OUT],
    "magnitude_increase_diff_sign": [OUT, OUT, 1.5, 0.5, OUT],
}
BEST_TWO = {
    "large_final": [1, 3], "small_final": [0, 4], "large_init": [0, 3], "small_init": [2, 4],
    "large_init_large_final": [1, 3], "small_init_small_final": [2, 4], "magnitude_increase": [1, 2],
    "movement": [1, 3], "large_final_same_sign": [0, 1], "large_final_diff_sign": [2, 3],
    "magnitude_increase_same_sign": [0, 1], "magnitude_increase_diff_sign": [2, 3],
}  # fmt: skip


def given(initial: Weights) -> Any:
    """A context of which a criterion reads the initial weights alone."""
    return replace(context(view(pruner("lth"))), initial=initial)


def of(initial: list[float], final: list[float], alive: list[bool] | None = None) -> tuple[View, Context]:
    mask = Mask({"a": torch.ones(len(final), dtype=torch.bool) if alive is None else torch.tensor(alive)})
    return View(nn.Identity(), {"a": torch.tensor(final)}, mask, None, {}), given({"a": torch.tensor(initial)})


def test_every_criterion_is_in_the_table() -> None:
    assert set(get_args(Criterion)) == set(FORMULAS) == set(TABLE) == set(BEST_TWO)


@pytest.mark.parametrize("criterion", TABLE)
def test_criteria_by_hand(criterion: Any) -> None:
    at, ctx = of(INITIAL, FINAL)
    found = Zhou(criterion)(at, ctx)
    assert found["a"].tolist() == TABLE[criterion]
    assert keep_top(found, at.mask, 2)["a"].nonzero().flatten().tolist() == BEST_TWO[criterion]


@pytest.mark.parametrize("criterion", TABLE)
def test_dead_weights_take_no_rank_and_are_not_looked_at(criterion: Any) -> None:
    at, ctx = of([3.0, 9.0, -1.0, 0.5, -2.0, 0.0], [1.0, torch.nan, -4.0, -2.0, 2.5, 0.25], [True, False] + [True] * 4)
    found = Zhou(criterion)(at, ctx)["a"]
    assert found[at.mask["a"]].tolist() == TABLE[criterion]


def test_ranks_of_equal_weights_go_by_index() -> None:
    at, ctx = of([1.0, -1.0, 1.0, 2.0], [5.0, 5.0, -5.0, 5.0])
    assert Zhou("large_init_large_final")(at, ctx)["a"].tolist() == [-1, -2, -3, -3]


@pytest.mark.parametrize("criterion", TABLE)
@pytest.mark.parametrize("where", ["initial", "final"])
def test_a_weight_that_is_no_number_is_refused(criterion: Any, where: str) -> None:
    broken = [1.0, torch.nan, 3.0, 4.0, 5.0]
    at, ctx = of(broken, FINAL) if where == "initial" else of(INITIAL, broken)
    with pytest.raises(ValueError, match="a are not numbers"):
        keep_top(Zhou(criterion)(at, ctx), at.mask, 2)


@pytest.mark.parametrize("quadrant", ["large_init_large_final", "small_init_small_final"])
def test_the_lower_rank_is_the_quadrant_that_its_thresholds_cut_out(quadrant: Any) -> None:
    """For every number n, those within the n first by both sizes come before all others."""
    rng = torch.Generator().manual_seed(0)
    initial, final = torch.randn(200, generator=rng), torch.randn(200, generator=rng)
    at, ctx = of(initial.tolist(), final.tolist())
    found = Zhou(quadrant)(at, ctx)
    large = quadrant.startswith("large")
    for n in (20, 60, 120, 199):
        both = torch.ones(200, dtype=torch.bool)
        for values in (initial, final):
            both &= torch.zeros(200, dtype=torch.bool).scatter(0, values.abs().topk(n, largest=large).indices, True)
        assert torch.equal(keep_top(found, at.mask, int(both.sum()))["a"], both)


def test_they_are_ranked_within_layers_by_iteration() -> None:
    chosen = pruner("zhou")
    assert (chosen.source, chosen.scope) == (Source.PREVIOUS, Rates())
    assert chosen.score == Zhou("magnitude_increase")


def test_large_final_is_magnitude() -> None:
    at = view(pruner("zhou"))
    one, two = Zhou("large_final")(at, context(at)), Magnitude()(at, context(at))
    assert all(torch.equal(one[name][alive], two[name][alive]) for name, alive in at.mask.items())


# All of one sign.


def all_of(sign: str, initial: list[float], final: list[float], alive: list[bool] | None = None) -> list[bool]:
    at, ctx = of(initial, final, alive)
    return SameSign(source=Source.DENSE, sign=sign).draw(at, 0, ctx)["a"].tolist()  # type: ignore[arg-type]


def test_all_of_one_sign_by_hand() -> None:
    assert all_of("same", INITIAL, FINAL) == [True, True, False, False, False]
    assert all_of("diff", INITIAL, FINAL) == [False, False, True, True, False]
    assert all_of("same", INITIAL, FINAL, [True, False, True, True, True]) == [True, False, False, False, False]


def test_the_signs_of_weights_so_small_that_their_product_is_zero_are_told() -> None:
    assert all_of("same", [1e-30, -1e-30], [1e-30, 1e-30]) == [True, False]
    assert all_of("diff", [1e-30, -1e-30], [1e-30, 1e-30]) == [False, True]
    at, ctx = of([1e-30, -1e-30], [1e-30, 1e-30])
    assert Zhou("large_final_same_sign")(at, ctx)["a"].tolist() == [pytest.approx(1e-30), OUT]
    assert Zhou("large_final_diff_sign")(at, ctx)["a"].tolist() == [OUT, pytest.approx(1e-30)]


def test_of_the_trained_model_both_signs_together_are_all_that_is_not_zero() -> None:
    model = network()
    initial: dict[str, Tensor] = weights_of(model)
    at = replace(view(pruner("same_sign")), mask=Mask.ones(view(pruner("same_sign")).layers), weights=trained())
    ctx = given(initial)
    same, diff = (SameSign(source=Source.DENSE, sign=sign).draw(at, 0, ctx) for sign in ("same", "diff"))  # type: ignore[arg-type]
    for name in at.mask:
        assert not bool((same[name] & diff[name]).any())
        assert torch.equal(same[name] | diff[name], (initial[name] != 0) & (at.weights[name] != 0))
    assert 0 < diff.kept < same.kept


def test_there_is_one_round_and_no_target() -> None:
    chosen = pruner("same_sign")
    assert (chosen.exact, chosen.source) == (False, Source.DENSE)
    assert [list(chosen.rounds(last)) for last in (0, 1, 15)] == [[], [1], [1]]


def test_nan_under_a_sign_is_refused_where_it_is_alive() -> None:
    with pytest.raises(ValueError, match="a are not numbers"):
        all_of("same", [1.0, 2.0], [torch.nan, 2.0])
    assert all_of("same", [1.0, 2.0], [torch.nan, 2.0], [False, True]) == [False, True]
