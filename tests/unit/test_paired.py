"""Paired differences and Holm's correction: by hand, and against scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_rel

from ticketsearch.analysis.paired import holm, paired

RNG = np.random.default_rng(7)


def of(value: list[float], base: list[float]) -> pd.Series:
    pairs = pd.DataFrame({"group": "a", "value": value, "base": base})
    (line,) = paired(pairs, ["group"]).to_dict("records")
    return line


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_against_scipy(seeds: int) -> None:
    base = RNG.normal(size=seeds)
    value = base + 0.1 + 0.2 * RNG.normal(size=seeds)
    found, theirs = of(list(value), list(base)), ttest_rel(value, base)
    interval = theirs.confidence_interval(0.95)
    assert found["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found["seeds"] == seeds


def test_by_hand() -> None:
    found = of([0.92, 0.95, 0.91], [0.90, 0.91, 0.90])  # differences 0.02, 0.04, 0.01
    se = math.sqrt(((0.02 - 0.07 / 3) ** 2 + (0.04 - 0.07 / 3) ** 2 + (0.01 - 0.07 / 3) ** 2) / 2 / 3)
    assert (found["difference"], found["se"]) == pytest.approx((0.07 / 3, se))
    assert found["high"] - found["difference"] == pytest.approx(t.ppf(0.975, 2) * se)
    assert (found["value"], found["base"]) == pytest.approx((2.78 / 3, 2.71 / 3))


def test_the_spread_is_of_the_differences_not_of_the_seeds() -> None:
    far_apart = of([1.01, 5.02, 9.03], [1.0, 5.0, 9.0])
    assert far_apart["se"] == pytest.approx(0.01 / math.sqrt(3))


def test_one_seed_has_no_interval() -> None:
    found = of([0.9], [0.8])
    assert found["difference"] == pytest.approx(0.1)
    assert found["seeds"] == 1
    assert all(math.isnan(found[name]) for name in ("se", "low", "high", "p"))


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_the_same_difference_in_every_seed_is_no_certainty(step: float) -> None:
    found = of([base + step for base in (0.7, 0.8, 0.9)], [0.7, 0.8, 0.9])  # 0.1 differs in its last bit
    assert found["se"] == 0
    assert all(math.isnan(found[name]) for name in ("low", "high", "p"))


def test_a_line_without_its_other_half_is_no_pair() -> None:
    found = of([0.9, 0.8, math.nan], [0.8, math.nan, 0.7])
    assert (found["seeds"], found["value"], found["base"]) == (1, 0.9, 0.8)


def test_groups_do_not_mix() -> None:
    pairs = pd.DataFrame({"group": list("abab"), "value": [1.0, 10.0, 3.0, 30.0], "base": [0.0] * 4})
    assert paired(pairs, ["group"])["difference"].tolist() == [2, 20]


def test_holm_by_hand() -> None:
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not be smaller than the 0.06 before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_at_most_one_and_leaves_out_what_was_not_tested() -> None:
    assert holm([0.6, np.nan, 0.5]) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    assert holm([0.02, np.nan]) == pytest.approx([0.02, np.nan], nan_ok=True)
    assert np.isnan(holm([np.nan, np.nan])).all()


def test_holm_of_each_family() -> None:
    assert holm([[0.01, 0.02], [0.5, 0.04]]) == pytest.approx(np.array([[0.02, 0.02], [0.5, 0.08]]))


def test_holm_by_the_definition() -> None:
    """The smallest level at which the step-down procedure rejects, tried level by level."""
    p = RNG.uniform(0, 0.2, 7)

    def rejected(level: float) -> set[int]:
        found = set[int]()
        for step, n in enumerate(np.argsort(p)):
            if p[n] * (len(p) - step) > level:
                break
            found.add(int(n))
        return found

    for n, adjusted in enumerate(holm(p)):
        if adjusted < 1:
            assert n in rejected(adjusted + 1e-9)
            assert n not in rejected(adjusted - 1e-9)
