"""mCE and relative mCE: by hand, with other baselines, and what is left out."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.rows import curve, frame, row
from ticketsearch.analysis.mce import corruption_indices
from ticketsearch.errors import UsageError
from ticketsearch.figures.curves import Curves

LTH, OTHER = "digits-resnet20-lth-11aabbcc", "digits-vgg11-dense-22aabbcc"


def cell(run: str, round: int, clean: float, errors: Mapping[str, float], seed: int = 0) -> list[dict[str, object]]:
    fields = {"family": "corruption", "better": -1.0, "seed": seed}
    return [
        row(run, round, clean, "corruption_error", variant="clean", **fields),
        *(row(run, round, value, "corruption_error", variant=variant, **fields) for variant, value in errors.items()),
        row(run, round, sum(errors.values()) / len(errors), "corruption_error", **fields),
    ]


DENSE = {"fog-1": 0.1, "fog-2": 0.3, "snow-1": 0.1, "snow-2": 0.2}
TICKET = {"fog-1": 0.2, "fog-2": 0.4, "snow-1": 0.1, "snow-2": 0.2}


def told(rows: pd.DataFrame, baseline: str = "dense") -> dict[tuple[str, int, int, str], float]:
    found = corruption_indices(rows, baseline)
    return {(r.run, r.seed, r.round, r.metric): r.value for r in found.itertuples()}


def test_by_hand() -> None:
    found = told(frame(*cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, TICKET)))
    # fog 0.6 / 0.4, snow 0.3 / 0.3; relative: (0.6 - 0.16) / (0.4 - 0.1) and (0.3 - 0.16) / (0.3 - 0.1).
    assert found == {
        (LTH, 0, 0, "mce"): pytest.approx(100),
        (LTH, 0, 3, "mce"): pytest.approx(100 * (1.5 + 1) / 2),
        (LTH, 0, 0, "relative_mce"): pytest.approx(100),
        (LTH, 0, 3, "relative_mce"): pytest.approx(100 * (0.44 / 0.3 + 0.14 / 0.2) / 2),
    }


def test_each_seed_has_its_own_dense_model() -> None:
    twice = {kind: 2 * error for kind, error in DENSE.items()}
    found = told(
        frame(
            *cell(LTH, 0, 0.05, DENSE),
            *cell(LTH, 0, 0.05, twice, seed=1),
            *cell(LTH, 1, 0.05, twice),
            *cell(LTH, 1, 0.05, twice, seed=1),
        )
    )
    assert found[LTH, 0, 1, "mce"] == pytest.approx(200)
    assert found[LTH, 1, 1, "mce"] == pytest.approx(100)


def test_a_run_can_be_the_baseline_of_all() -> None:
    half = {kind: error / 2 for kind, error in DENSE.items()}
    rows = frame(
        *cell(LTH, 0, 0.05, DENSE),
        *cell(LTH, 3, 0.08, TICKET),
        *cell(OTHER, 0, 0.0, half),
        *cell(OTHER, 0, 0.0, DENSE, seed=1),
    )
    found = told(rows, OTHER)  # its mean is 3/4 of DENSE
    assert found[LTH, 0, 0, "mce"] == pytest.approx(100 / 0.75)
    assert found[LTH, 0, 3, "mce"] == pytest.approx(125 / 0.75)
    assert found[LTH, 0, 3, "relative_mce"] == pytest.approx(100 * (0.44 / 0.3 + 0.14 / 0.225) / 2)
    with pytest.raises(UsageError, match="baseline=nothing has no corruption errors"):
        corruption_indices(rows, "nothing")


def test_what_cannot_be_compared_is_left_out() -> None:
    fewer = {kind: error for kind, error in TICKET.items() if kind != "snow-2"}
    found = told(frame(*cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, fewer), *cell(LTH, 4, 0.08, TICKET, seed=1)))
    assert set(found) == {(LTH, 0, 0, "mce"), (LTH, 0, 0, "relative_mce")}


def test_the_extra_corruptions_are_not_among_the_fifteen() -> None:
    more = {"spatter-1": 0.9, "speckle_noise-1": 0.9, "gaussian_blur-1": 0.9, "saturate-1": 0.9}
    found = told(frame(*cell(LTH, 0, 0.05, DENSE | more), *cell(LTH, 3, 0.08, TICKET | dict.fromkeys(more, 0.1))))
    assert found[LTH, 0, 3, "mce"] == pytest.approx(125)


def test_a_corruption_that_costs_the_baseline_nothing_has_no_relative_error() -> None:
    none = {"fog-1": 0.05, "fog-2": 0.05}
    found = told(frame(*cell(LTH, 0, 0.05, none), *cell(LTH, 3, 0.05, {"fog-1": 0.1, "fog-2": 0.1})))
    assert found == {(LTH, 0, 0, "mce"): pytest.approx(100), (LTH, 0, 3, "mce"): pytest.approx(200)}


def test_other_runs_do_not_stand_in_the_way_of_a_selection(tmp_path: Path) -> None:
    other = [dict(line, settings=name) for name in ("one", "two") for line in cell(OTHER, 0, 0.0, DENSE)]
    rows = frame(*cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, TICKET), *curve(LTH, {0: 0.9, 3: 0.9}), *other)
    assert Curves(formats=("svg",), model=("resnet20",)).draw(rows, tmp_path)


def test_a_baseline_without_errors_is_none() -> None:
    none = dict.fromkeys(DENSE, 0.0)
    assert told(frame(*cell(LTH, 0, 0.0, none), *cell(LTH, 3, 0.08, TICKET))) == {}


def test_without_corruptions_there_is_nothing() -> None:
    assert corruption_indices(frame(row(LTH, 0, 0.9))).empty


def test_a_row_is_of_the_ticket() -> None:
    rows = frame(*cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, TICKET))
    made = corruption_indices(rows)
    assert list(made.columns) == list(rows.columns)
    assert set(made["better"]) == {-1}
    assert set(made["variant"]) == {""}
    assert set(made.loc[made["round"] == 3, "sparsity"]) == {1 - 0.8**3}


def test_the_figure_draws_mce_in_place_of_the_raw_error(tmp_path: Path) -> None:
    accuracy = [line for run in (LTH, OTHER) for line in curve(run, {0: 0.9, 3: 0.9})]
    rows = frame(*accuracy, *cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, TICKET), *cell(OTHER, 0, 0.0, DENSE))
    Curves(formats=("svg",)).draw(rows, tmp_path)
    points = pd.read_csv(tmp_path / "curves-digits-resnet20.csv").set_index(["metric", "round"])
    assert points.loc[("mce", 3), ["mean", "dense_mean"]].tolist() == pytest.approx([125, 100])
    assert "corruption_error" not in points.index.get_level_values("metric")
    half = {kind: error / 2 for kind, error in DENSE.items()}
    rows = frame(*accuracy, *cell(LTH, 0, 0.05, DENSE), *cell(LTH, 3, 0.08, TICKET), *cell(OTHER, 0, 0.0, half))
    Curves(formats=("svg",), metrics=("mce", "relative_mce"), pruner=("lth",), baseline=OTHER).draw(rows, tmp_path)
    points = pd.read_csv(tmp_path / "curves-digits-resnet20.csv").set_index(["metric", "round"])
    assert points.loc[("mce", 3), ["mean", "dense_mean"]].tolist() == pytest.approx([250, 200])
