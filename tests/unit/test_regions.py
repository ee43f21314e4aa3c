"""The region rule: by hand, at its edges, and against the curves that the paper published."""

import math

import numpy as np
import pytest

from tests.unit.rows import curve, frame, row, share
from ticketsearch.analysis.regions import Regions, regions, spans
from ticketsearch.errors import UsageError

RUN = "digits-resnet20-lth-1a2b3c4d"

# Test accuracy (%), digitised from the figures of Chen et al., "Can You Win Everything with A Lottery Ticket?" (TMLR
# 2022): reading error 0.1 percentage points. Dense is read at the curve's own round 0, or on the dense line where that
# is hidden. (dense, first round read, values, last round drawn solid)
PAPER = {
    "cifar10-resnet20-lth": (91.21, 6, [91.57, 91.33, 91.45, 91.07, 90.62, 90.12, 89.52, 88.66], 10),
    "cifar10-resnet20-omp": (91.33, 0, [91.33, 91.45, 91.57, 91.45, 91.54, 91.23, 91.09, 90.79, 90.24, 89.76], 7),
    "cifar10-resnet18-lth": (94.23, 14, [94.38, 94.21, 94.02, 93.75, 93.55, 93.08, 92.66, 92.21], 18),
    "cifar10-resnet18-omp": (94.28, 13, [93.99, 93.89, 93.75, 93.22, 93.12, 92.70], 15),
}


def decide(values: dict[int, float], chance: tuple[float, float] | None = (0.1, 0.01), **kwargs: float) -> Regions:
    shares = [share(RUN, *chance)] if chance else []
    return regions(frame(*curve(RUN, values), *shares), RUN, **kwargs)


@pytest.mark.parametrize("setting", PAPER)
def test_the_papers_vertical_lines(setting: str) -> None:
    dense, first, values, last = PAPER[setting]
    run = f"{setting}-00000000"
    points = {0: dense} | {first + n: value for n, value in enumerate(values)}
    rows = frame(*curve(run, {n: value / 100 for n, value in points.items()}))
    assert regions(rows, run).last_round_in_I == last


def test_all_three_by_hand() -> None:
    # Chance: 0.1 + 2 x 0.01 = 0.12.
    found = decide({0: 0.95, 1: 0.96, 2: 0.945, 3: 0.93, 4: 0.5, 5: 0.119, 6: 0.1})
    assert (found.last_round_in_I, found.first_round_in_III) == (2, 5)
    assert found.chance == pytest.approx(0.12)
    assert [found.of(round) for round in range(8)] == ["I", "I", "I", "II", "II", "III", "III", "III"]
    assert found.sparsity == pytest.approx([1 - 0.8**n for n in range(7)])
    assert found.notes == ()


def test_chance_is_p_plus_two_standard_errors() -> None:
    p, images = 0.3, 84
    limit = p + 2 * math.sqrt(p * (1 - p) / images)  # 0.4
    stderr = math.sqrt(p * (1 - p) / images)
    assert limit == pytest.approx(0.4)
    assert decide({0: 0.9, 1: 0.399}, (p, stderr)).first_round_in_III == 1
    assert decide({0: 0.9, 1: 0.401}, (p, stderr)).first_round_in_III is None


def test_region_i_ends_at_the_last_round_above_and_a_dip_before_it_stays_inside() -> None:
    found = decide({0: 0.95, 1: 0.90, 2: 0.945, 3: 0.90})
    assert [found.of(round) for round in range(4)] == ["I", "I", "I", "II"]


def test_region_iii_begins_where_the_curve_never_recovers() -> None:
    found = decide({0: 0.95, 1: 0.1, 2: 0.5, 3: 0.1, 4: 0.12})
    assert [found.of(round) for round in range(5)] == ["I", "II", "II", "III", "III"]


def test_round_0_alone_is_in_region_i() -> None:
    found = decide({0: 0.95})
    assert (found.rounds, found.last_round_in_I, found.first_round_in_III) == ((0,), 0, None)
    assert decide({0: 0.95, 1: 0.5}).of(1) == "II"


def test_a_dense_model_that_only_guesses_has_no_region_iii_within_region_i() -> None:
    found = decide({0: 0.1, 1: 0.1, 2: 0.1})
    assert (found.last_round_in_I, found.first_round_in_III) == (2, None)


@pytest.mark.parametrize("dense", [0.07, 0.10, 0.13, 0.47, 0.95])  # of the first three, dense - 0.01 is rounded up
def test_exactly_one_point_below_is_inside_whatever_floats_say(dense: float) -> None:
    below = (round(100 * dense) - 1) / 100
    assert decide({0: dense, 1: below}).last_round_in_I == 1
    assert decide({0: dense, 1: below - 1e-5}).last_round_in_I == 0


def test_the_tolerance_is_a_fraction() -> None:
    values = {0: 0.95, 1: 0.93, 2: 0.90}
    assert decide(values, tolerance=0.02).last_round_in_I == 1
    assert decide(values, tolerance=0.0).last_round_in_I == 0
    for wrong in (1.0, -0.01, math.nan):
        with pytest.raises(UsageError, match="no fraction"):
            decide(values, tolerance=wrong)


def test_gaps_are_said_and_lie_where_the_boundaries_put_them() -> None:
    rows = frame(*curve(RUN, {0: 0.95, 2: 0.95, 6: 0.1}), share(RUN, 0.1, 0.01), row(RUN, 8, 0.3, "ece"))
    found = regions(rows, RUN)
    assert found.rounds == (0, 2, 6)
    assert [found.of(round) for round in (1, 4, 7)] == ["I", "II", "III"]
    assert found.notes == ("regions decided without rounds 1, 3-5, 7-8",)


def test_without_majority_share_region_iii_is_unknown_and_it_is_said() -> None:
    found = decide({0: 0.95, 1: 0.01}, chance=None)
    assert (found.chance, found.first_round_in_III, found.of(1)) == (None, None, "II")
    assert found.notes == ("Region III unknown (no majority_share)",)


def test_dense_is_averaged_over_the_seeds_that_are_present() -> None:
    # Seed 1 is worse throughout and stops after round 1; over all dense seeds, round 2 would seem a win.
    rows = frame(*curve(RUN, {0: 0.96, 1: 0.96, 2: 0.94}), *curve(RUN, {0: 0.90, 1: 0.90}, seed=1))
    found = regions(rows, RUN)
    assert found.seeds == (2, 2, 1)
    assert found.dense == pytest.approx([0.93, 0.93, 0.96])
    assert found.mean == pytest.approx([0.93, 0.93, 0.94])
    assert found.last_round_in_I == 1


def test_a_seed_without_dense_is_left_out_and_it_is_said() -> None:
    rows = frame(*curve(RUN, {0: 0.9, 1: 0.9}), *curve(RUN, {1: 0.2, 2: 0.2}, seed=3), share(RUN, 0.1, 0.01))
    found = regions(rows, RUN)
    assert (found.rounds, found.seeds) == ((0, 1), (1, 1))
    assert found.notes == ("regions decided without round 2", "seed 3 left out (no dense accuracy)")


def test_a_mean_decides_and_not_each_seed() -> None:
    rows = frame(*curve(RUN, {0: 0.9, 1: 0.92}), *curve(RUN, {0: 0.9, 1: 0.87}, seed=1))
    assert regions(rows, RUN).last_round_in_I == 1


@pytest.mark.parametrize(
    "other",
    [
        {"split": "val"}, {"weights": "best"}, {"at": "start"}, {"status": "error"}, {"variant": "class-3"},
        {"metric": "ece"}, {"run": "digits-resnet20-omp-00000000"},
    ],
)  # fmt: skip
def test_other_rows_do_not_count(other: dict[str, str]) -> None:
    rows = frame(*curve(RUN, {0: 0.95, 1: 0.90}), *(row(RUN, n, 0.95, sequence=-1) | other for n in (1, 2)))
    assert regions(rows, RUN).rounds == (0, 1)
    assert regions(rows, RUN).last_round_in_I == 0


def test_without_dense_there_are_no_regions() -> None:
    with pytest.raises(UsageError, match="no test accuracy at round 0"):
        regions(frame(*curve(RUN, {1: 0.9})), RUN)
    with pytest.raises(UsageError, match="no test accuracy at round 0"):
        regions(frame(), RUN)


def test_agrees_with_a_direct_reading_of_the_rule() -> None:
    generator = np.random.default_rng(0)
    for _ in range(25):
        drawn = generator.choice([0.05, 0.15, 0.5, 0.945, 0.96], size=8, p=[0.4, 0.1, 0.1, 0.2, 0.2])
        means = [0.95, *drawn.tolist()]
        found = decide(dict(enumerate(means)))
        last = max(n for n in range(9) if means[n] >= 0.94)
        third = [n for n in range(last + 1, 9) if all(mean <= 0.12 for mean in means[n:])]
        assert (found.last_round_in_I, found.first_round_in_III) == (last, min(third, default=None))


def test_spans() -> None:
    assert spans([4]) == "round 4"
    assert spans([1, 2, 3, 7, 9, 10]) == "rounds 1-3, 7, 9-10"
