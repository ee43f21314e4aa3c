"""Statistics over seeds: hand-computed, against the standard library, and what is refused."""

import math
import statistics as standard

import pandas as pd
import pytest

from tests.unit.rows import curve, frame, row
from ticketsearch.analysis.seeds import latest, measured, statistics
from ticketsearch.errors import UsageError

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-5e6f7a8b"


def test_three_seeds_by_hand() -> None:
    rows = frame(*(row(LTH, 1, value, seed=seed) for seed, value in enumerate([0.90, 0.92, 0.94])))
    line = statistics(rows).iloc[0]
    assert line["seeds"] == 3
    assert line["sparsity"] == pytest.approx(0.2)
    assert [line[name] for name in ("mean", "std", "low", "high")] == pytest.approx([0.92, 0.02, 0.90, 0.94])


def test_agrees_with_the_standard_library() -> None:
    values = [0.1, 0.35, 0.2, 0.9, 0.45]
    rows = frame(*(row(LTH, round, v + round / 7, seed=s) for round in (0, 3) for s, v in enumerate(values)))
    for _, line in statistics(rows).iterrows():
        own = [value + line["round"] / 7 for value in values]
        assert line["mean"] == pytest.approx(standard.mean(own), abs=1e-15)
        assert line["std"] == pytest.approx(standard.stdev(own), abs=1e-15)


def test_one_seed_has_no_spread() -> None:
    line = statistics(frame(row(LTH, 1, 0.9))).iloc[0]
    assert (line["mean"], line["seeds"]) == (0.9, 1)
    assert all(math.isnan(line[name]) for name in ("std", "low", "high"))


@pytest.mark.parametrize(("band", "low", "high"), [("range", 0.5, 0.9), ("none", math.nan, math.nan)])
def test_other_bands(band: str, low: float, high: float) -> None:
    rows = frame(*(row(LTH, 1, value, seed=seed) for seed, value in enumerate([0.5, 0.8, 0.9])))
    line = statistics(rows, band=band).iloc[0]  # type: ignore[arg-type]
    assert [line["low"], line["high"]] == pytest.approx([low, high], nan_ok=True)


def test_unknown_band_is_refused() -> None:
    with pytest.raises(UsageError, match="no band 'sem'"):
        statistics(frame(row(LTH, 1, 0.9)), band="sem")  # type: ignore[arg-type]


def test_seeds_with_fewer_rounds_and_nan_are_counted_out() -> None:
    nothing = [row(LTH, 1, math.nan, seed=2), row(LTH, 2, math.nan)]
    rows = frame(*curve(LTH, {0: 0.9, 1: 0.8}), *curve(LTH, {0: 0.7}, seed=1), *nothing)
    table = statistics(rows).set_index("round")
    assert table["seeds"].to_dict() == {0: 2, 1: 1}
    assert table["mean"].to_dict() == pytest.approx({0: 0.8, 1: 0.8})


def test_runs_are_never_averaged() -> None:
    rows = frame(row(LTH, 1, 0.9), row(OMP, 1, 0.8, seed=1))
    with pytest.raises(UsageError, match="mix the runs digits-resnet20-lth-1a2b3c4d, digits-resnet20-omp-5e6f7a8b"):
        statistics(rows, ["round"])
    assert len(statistics(rows)) == 2


@pytest.mark.parametrize("field", ["variant", "split", "settings", "metric", "sequence"])
def test_only_seeds_are_averaged(field: str) -> None:
    other = {"variant": "bins-14", "split": "val", "settings": "b" * 12, "metric": "ece", "sequence": 5}[field]
    rows = frame(row(LTH, 1, 0.9), row(LTH, 1, 0.8) | {field: other})
    with pytest.raises(UsageError) as refused:
        statistics(rows)
    assert field in refused.value.right


def test_the_last_written_wins_whatever_the_order() -> None:
    rows = frame(row(LTH, 1, 0.7, sequence=12), row(LTH, 1, 0.5, sequence=9), row(LTH, 2, 0.4, sequence=1))
    for order in (rows, rows[::-1]):
        assert sorted(latest(order)["value"]) == [0.4, 0.7]


def test_what_is_measured() -> None:
    off = [{"status": "error"}, {"status": "skipped"}, {"weights": "best"}, {"at": "start"}]
    rows = frame(row(LTH, 9, 0.9), *(row(LTH, n, 0.1) | field for n, field in enumerate(off)))
    assert measured(rows)["round"].tolist() == [9]


def test_an_error_written_last_hides_the_value_before() -> None:
    rows = frame(row(LTH, 1, 0.9), row(LTH, 1, math.nan, status="error", sequence=1))
    assert measured(rows).empty


def test_two_settings_are_refused_by_name_unless_one_is_chosen() -> None:
    rows = frame(row(LTH, 1, 0.9), row(LTH, 1, 0.8, settings="b" * 12), row(LTH, 1, 0.3, "ece", settings="c" * 12))
    with pytest.raises(UsageError, match=r"'accuracy' of digits resnet20 .* aaaaaaaaaaaa, bbbbbbbbbbbb"):
        measured(rows)
    with pytest.raises(UsageError, match="'accuracy'"):
        measured(rows, ["c" * 12])
    assert sorted(measured(rows, ["b" * 12])["value"]) == [0.3, 0.8]


def test_settings_that_every_ticket_was_measured_with_last_count() -> None:
    first = [row(run, n, 0.1 * n, "ece") for run in (LTH, OMP) for n in range(3)]
    again = [row(run, n, 0.2 * n, "ece", settings="b" * 12, sequence=7) for run in (LTH, OMP) for n in range(3)]
    assert measured(frame(*first, *again))["value"].tolist() == pytest.approx([0, 0.2, 0.4] * 2)
    assert measured(frame(*again, *first))["value"].tolist() == pytest.approx([0, 0.2, 0.4] * 2)
    with pytest.raises(UsageError, match="several settings"):  # one ticket was not measured anew
        measured(frame(*first, *again[:-1]))
    with pytest.raises(UsageError, match="several settings"):  # of one ticket the first way is the last
        measured(frame(*first[:-1], first[-1] | {"sequence": 8}, *again))


def test_settings_are_compared_across_runs_but_not_across_datasets_nor_with_failures() -> None:
    other = "cifar10-resnet20-lth-0a0a0a0a"
    fine = frame(row(LTH, 1, 0.9), row(other, 1, 0.8, settings="b"), row(LTH, 1, 0, settings="c", status="error"))
    assert len(measured(fine)) == 2
    with pytest.raises(UsageError, match="several settings"):
        measured(frame(row(LTH, 1, 0.9), row(OMP, 1, 0.8, settings="b")))


def test_nothing_measured_is_no_error() -> None:
    assert measured(frame()).empty
    assert statistics(frame()).empty
    assert isinstance(measured(frame(row(LTH, 1, 0.1, status="error"))), pd.DataFrame)
