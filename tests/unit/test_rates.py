"""The scope of rates by layer: LeNet-300-100 as published, a brute-force oracle, and what holds whatever the counts."""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ticketsearch.build import build
from ticketsearch.compose import compose
from ticketsearch.data.mnist import Mnist
from ticketsearch.models.lenet import LeNet300
from ticketsearch.pruners.scopes import Layerwise, Rates
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Layer, Mask, keep_top, prunable_layers

LENET = {"fc1": 784 * 300, "fc2": 300 * 100, "fc": 100 * 10}
TOTAL = 266_200
FRANKLE = Rates()


class _Counts(dict[str, Tensor]):
    """A mask without the weights: what a scope reads of it is how many there are and how many live."""

    def __init__(self, sizes: Mapping[str, int], alive: Mapping[str, int] | None = None) -> None:
        super().__init__({name: torch.empty(size, device="meta") for name, size in sizes.items()})
        self.layer_kept = dict(alive or sizes)


def view(sizes: Mapping[str, int], alive: Mapping[str, int] | None = None, kinds: Mapping[str, str] = {}) -> Any:
    """Layers of these sizes; `fc` is the classifier, and what `kinds` does not name is linear."""
    layers = {n: Layer(kinds.get(n, "linear"), (size, 1), 1, n == "fc") for n, size in sizes.items()}  # type: ignore[arg-type]
    return SimpleNamespace(mask=_Counts(sizes, alive), layers=layers)


def rates_of(scope: Rates, at: Any) -> dict[str, Fraction]:
    """The written decimals, exactly."""
    wanted = {
        n: scope.classifier if layer.is_classifier else getattr(scope, layer.kind) for n, layer in at.layers.items()
    }
    return {name: Fraction(str(rate)) for name, rate in wanted.items()}


def by_hand(scope: Rates, at: Any, keep: int) -> dict[str, Fraction]:
    """How many each layer keeps before rounding, by bisection with fifty digits; full layers are taken out in turn."""
    rates = rates_of(scope, at)
    with localcontext() as precise:
        precise.prec = 50
        left = {n: 1 - Decimal(rate.numerator) / Decimal(rate.denominator) for n, rate in rates.items()}

        def parts(t: Decimal) -> dict[str, Decimal]:
            return {name: tensor.numel() * left[name] ** t for name, tensor in at.mask.items()}

        low, high = Decimal(0), Decimal(100_000)
        for _ in range(120):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(parts(middle).values()) > keep else (low, middle)
        found = {name: Fraction(part) for name, part in parts(low).items()}
    full: dict[str, Fraction] = {n: Fraction(0) for n, count in at.mask.layer_kept.items() if count == 0}
    while True:
        free = {name: part for name, part in found.items() if name not in full}
        share = (keep - sum(full.values())) / sum(free.values()) if free else Fraction(0)
        over = {n: Fraction(at.mask.layer_kept[n]) for n, part in free.items() if part * share >= at.mask.layer_kept[n]}
        if not over:
            return {name: full[name] if name in full else free[name] * share for name in found}
        full |= over


def rounded(exact: Mapping[str, Fraction], keep: int) -> dict[str, int]:
    """The largest remainders get what is left over."""
    kept = {name: int(count) for name, count in exact.items()}
    for name in sorted(exact, key=lambda n: kept[n] - exact[n])[: keep - sum(kept.values())]:
        kept[name] += 1
    return kept


def target(n: int, total: int = TOTAL) -> int:
    return round(Fraction(total) * Fraction(4, 5) ** n)


# As published.


def test_the_sizes_are_those_of_lenet() -> None:
    layers = prunable_layers(LeNet300().initial(Mnist(), 0), "all")
    assert {name.removesuffix(".weight"): layer.weights for name, layer in layers.items()} == LENET
    assert [layer.is_classifier for layer in layers.values()] == [False, False, True]


def test_the_first_round_removes_a_fifth_of_the_hidden_layers_and_a_tenth_of_the_output() -> None:
    # A fifth of everything is 212,960. By layer, 188,160 + 24,000 + 900 = 213,060 are 100 more, so t is 1.0021: the
    # sum's slope is 265,200 x 0.8 x ln 0.8 + 1,000 x 0.9 x ln 0.9 = -47,437. Of the first layer stay
    # 235,200 x 0.8^1.0021 = 188,071.5, of the second 23,988.7, of the last 899.8.
    kept = FRANKLE(view(LENET), target(1))
    assert target(1) == 212_960
    assert kept == {"fc1": 188_071, "fc2": 23_989, "fc": 900}
    for name, rate in (("fc1", 0.2), ("fc2", 0.2), ("fc", 0.1)):
        assert 1 - kept[name] / LENET[name] == pytest.approx(rate, abs=5e-4)


@pytest.mark.parametrize("n", range(1, 32))  # to 99.9 %
def test_every_round_is_the_oracle_and_sums_exactly(n: int) -> None:
    at = view(LENET)
    kept = FRANKLE(at, target(n))
    assert sum(kept.values()) == target(n)
    assert kept == rounded(by_hand(FRANKLE, at, target(n)), target(n))


def test_the_output_layer_is_the_densest_from_the_first_round_to_the_last() -> None:
    for n in range(1, 32):
        density = {name: count / LENET[name] for name, count in FRANKLE(view(LENET), target(n)).items()}
        assert density["fc"] > max(density["fc1"], density["fc2"])
    # At 99.9 % 264 are left. 0.9^31.6 = 3.6 % of the output layer are 36 of them, and 0.8^31.6 x 265,200 are 228.
    kept = FRANKLE(view(LENET), target(31))
    assert (kept["fc"], kept["fc1"] + kept["fc2"]) == (36, 228)


def test_one_number_of_steps_fits_every_layer() -> None:
    # log(kept / total) / log(1 - rate); one weight more or less moves it by 1 / (kept x |log(1 - rate)|).
    for n in range(1, 32):
        kept = FRANKLE(view(LENET), target(n))
        steps = {name: log(kept[name] / LENET[name]) / log(0.9 if name == "fc" else 0.8) for name in LENET}
        for name in ("fc2", "fc"):
            slack = sum(1 / (kept[layer] * -log(0.9 if layer == "fc" else 0.8)) for layer in ("fc1", name))
            assert abs(steps[name] - steps["fc1"]) <= slack


def test_the_yaml_is_magnitude_within_layers_at_these_rates() -> None:
    found, other = compose(["pruner=lth_layerwise"]), compose(["pruner=lth_layerwise", "pruner.scope.conv=0.1"])
    lth = compose(["pruner=lth"]).pruner
    assert found.pruner.scope == FRANKLE == Rates(0.2, 0.2, 0.1)
    assert (found.pruner.score, found.pruner.source) == (lth.score, lth.source)
    assert other.pruner.scope == Rates(0.1, 0.2, 0.1)
    assert other.id != found.id


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5])
def test_rates_are_shares(rate: float) -> None:
    with pytest.raises(Exception, match="conv"):
        build({"_target_": "ticketsearch.pruners.scopes.Rates", "conv": rate}, "scope")


# Whatever the counts.


SIZES = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "fc"]), st.integers(1, 10**6), min_size=1)
SHARES = st.integers(1, 99).map(lambda percent: percent / 100)


@settings(max_examples=40)
@given(SIZES, SHARES, SHARES, SHARES, st.data())
def test_it_is_the_oracle_within_what_is_alive(
    sizes: dict[str, int], conv: float, linear: float, classifier: float, data: st.DataObject
) -> None:
    alive = {name: data.draw(st.integers(0, size)) for name, size in sizes.items()}
    keep = data.draw(st.integers(1, max(1, sum(alive.values()))))
    if sum(alive.values()) < keep:
        return
    at = view(sizes, alive, {"a": "conv", "c": "conv"})
    scope = Rates(conv, linear, classifier)
    kept, exact = scope(at, keep), by_hand(scope, at, keep)
    assert sum(kept.values()) == keep
    assert list(kept) == list(sizes)
    for name, count in kept.items():
        assert 0 <= count <= alive[name]
        # A share of a million is off by 1e-9 in double precision.
        assert abs(count - exact[name]) < 1 + Fraction(1, 10**6)


def test_everything_is_kept_where_everything_is_asked_for() -> None:
    assert FRANKLE(view(LENET), TOTAL) == LENET


def test_one_weight_is_kept_where_one_is_asked_for() -> None:
    assert sum(FRANKLE(view(LENET), 1).values()) == 1


def test_nothing_is_kept_where_nothing_is_asked_for() -> None:
    # As the other scopes do.
    assert set(Layerwise()(view(LENET), 0).values()) == {0}
    assert set(FRANKLE(view(LENET), 0).values()) == {0}


def test_more_than_lives_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="cannot keep 11 of 10 living weights"):
        FRANKLE(view({"a": 8, "fc": 8}, {"a": 4, "fc": 6}), 11)


@pytest.mark.timeout(5)  # a millisecond, where it ends
@pytest.mark.parametrize("rate", [1e-3, 1e-9])
def test_a_layer_that_loses_next_to_nothing_is_no_reason_to_search_for_ever(rate: float) -> None:
    assert Rates(classifier=rate)(view(LENET), 900) == {"fc1": 0, "fc2": 0, "fc": 900}


def test_equal_rates_are_layerwise() -> None:
    # All sizes have distinct shares of every count, so that no remainders are equal and rounding is the same.
    sizes = {"a": 235_193, "b": 30_011, "fc": 1_009}
    for rate in (0.1, 0.2, 0.5):
        for n in range(1, 32):
            keep = target(n, sum(sizes.values()))
            at = view(sizes)
            assert Rates(rate, rate, rate)(at, keep) == Layerwise()(at, keep)


def test_rounds_are_nested_and_no_layer_ever_gains() -> None:
    layers = {
        name: Layer("linear", (size,), 1, name == "fc") for name, size in {"fc1": 2352, "fc2": 300, "fc": 60}.items()
    }
    rng = torch.Generator().manual_seed(0)
    masks = [Mask.ones(layers)]
    for n in range(1, 24):
        at = View(nn.Identity(), {}, masks[-1], None, layers)
        scores = {name: torch.rand(layer.shape, generator=rng) for name, layer in layers.items()}
        keep = round(masks[0].total * 0.8**n)
        masks.append(keep_top(scores, masks[-1], FRANKLE(at, keep)))
        assert masks[-1].kept == keep
    for before, after in pairwise(masks):
        assert after.issubset(before)
        assert all(after.layer_kept[name] <= before.layer_kept[name] for name in layers)
    assert masks[-1].layer_kept["fc"] > 0
