"""LTH-PASS by hand: what wins, what breaks it, what is unknown, left out, or no better than a control."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.rows import curve, frame, row, share
from ticketsearch.analysis.criteria import JOINT, Settings
from ticketsearch.analysis.page import Table, markdown, narrow, page
from ticketsearch.analysis.passing import RunVerdict, passing, percent, sentence, span
from ticketsearch.analysis.verdict import verdict
from ticketsearch.errors import UsageError

RUN, RANDOM = "digits-resnet20-lth-1a2b3c4d", "digits-resnet20-random-5e6f7a8b"
CONTROL = "digits-resnet20-control-9c0d1e2f"
ROUNDS = range(4)
TWO = ("accuracy", "ece")


def seeds(run: str, values: dict[int, float], metric: str = "accuracy", spread: float = 0.001, **fields: Any) -> list:
    """Three seeds; tickets of seed s are s * spread * round better than given, dense models the same."""
    made = []
    for seed in range(3):
        own = {n: value + seed * spread * (n > 0) for n, value in values.items()}
        made += curve(run, own, metric=metric, seed=seed, **fields)
    return made


def judged(*rows: dict, **settings: Any) -> tuple[pd.DataFrame, RunVerdict]:
    found = verdict(frame(*rows), Settings(**{"metrics": TWO} | settings))
    return found.rounds, passing(found)[0]


def status(table: pd.DataFrame, metric: str, run: str = RUN) -> list[str]:
    return table[(table["metric"] == metric) & (table["run"] == run)].sort_values("round")["status"].tolist()


ACCURACY = {0: 0.95, 1: 0.955, 2: 0.945, 3: 0.93}
ECE = {0: 0.100, 1: 0.09, 2: 0.104, 3: 0.09}


def test_by_hand() -> None:
    table, run = judged(*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece"))
    assert status(table, "accuracy") == ["strict", "comparable", "worse"]
    assert status(table, "ece") == ["strict", "comparable", "strict"]
    assert status(table, JOINT) == ["strict", "comparable", "worse"]
    assert run.winning == {"accuracy": (1, 2), "ece": (3, 3)}
    assert (run.strict.round, run.strict.broken_at, run.strict.broken_by) == (1, 2, ("accuracy", "ece"))
    assert (run.comparable.round, run.comparable.sparsity) == (2, pytest.approx(0.36))
    assert (run.comparable.broken_at, run.comparable.broken_by) == (3, ("accuracy", "the end of Region I"))
    assert run.regions.last_round_in_I == 2


def test_the_edges_of_comparable_are_inside() -> None:
    at = {0: 0.1, 1: 0.105, 2: 0.1051, 3: 0.1}
    assert status(judged(*curve(RUN, dict.fromkeys(ROUNDS, 0.9)), *curve(RUN, at, metric="ece"))[0], "ece") == [
        "comparable", "worse", "strict",
    ]  # fmt: skip
    assert status(judged(*curve(RUN, {0: 0.95, 1: 0.94, 2: 0.9399}))[0], "accuracy") == ["comparable", "worse"]


def test_both_tolerances_are_settings() -> None:
    rows = [*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece")]
    assert status(judged(*rows, comparable=0.03)[0], "ece") == ["strict", "worse", "strict"]
    assert status(judged(*rows, accuracy=0.03)[0], "accuracy") == ["strict", "comparable", "comparable"]
    assert status(judged(*rows, accuracy=0.03)[0], JOINT)[-1] == "worse"  # Region I has its own tolerance
    assert status(judged(*rows, accuracy=0.03, tolerance=0.03)[0], JOINT)[-1] == "comparable"


def test_two_standard_errors_widen_the_tolerance_of_all_but_accuracy() -> None:
    wide = [*seeds(RUN, {0: 0.95, 1: 0.93}, spread=0.02), *seeds(RUN, {0: 0.1, 1: 0.1}, "ece", 0.02)]
    table, _ = judged(*wide)
    lines = table.set_index("metric")
    se = 0.02 / math.sqrt(3)
    assert lines.loc["ece", "difference"] == pytest.approx(0.02)
    assert (lines.loc["ece", "se"], lines.loc["ece", "tolerance"]) == pytest.approx((se, 2 * se))
    assert lines.loc["ece", "status"] == "comparable"
    assert lines.loc["accuracy", "tolerance"] == pytest.approx(0.01)


def test_differences_are_of_the_same_seed() -> None:
    rows = [*curve(RUN, {0: 0.9, 1: 0.95}, seed=0), *curve(RUN, {0: 0.5}, seed=1), *curve(RUN, {1: 0.2}, seed=2)]
    (line,) = judged(*rows, metrics=("accuracy",))[0].query("metric == 'accuracy'").to_dict("records")
    assert (line["value"], line["dense"], line["seeds"], line["status"]) == (0.95, 0.9, 1, "strict")


def test_holms_family_is_the_metrics_of_a_run_and_round() -> None:
    rows = [*seeds(RUN, {0: 0.9, 1: 0.95, 2: 0.91}), *seeds(RUN, {0: 0.1, 1: 0.11, 2: 0.101}, "ece")]
    lines = judged(*rows)[0].query("metric != 'all'").set_index(["round", "metric"])
    first = lines.loc[1, "p"]
    assert first.idxmin() == "accuracy"
    assert lines.loc[(1, "accuracy"), "p_holm"] == pytest.approx(2 * first["accuracy"])
    assert lines.loc[(1, "ece"), "p_holm"] == pytest.approx(max(first["ece"], 2 * first["accuracy"]))


def test_a_dip_is_named_and_hides_no_later_round() -> None:
    _, run = judged(*curve(RUN, {0: 0.95, 1: 0.95, 2: 0.90, 3: 0.95}), metrics=("accuracy",))
    assert (run.comparable.round, run.comparable.but_not, run.comparable.broken_at) == (3, (2,), None)
    assert "but not at round 2" in sentence(run)
    assert "nothing breaks it: that is its last round" in sentence(run)


def test_a_pass_lies_in_region_i() -> None:
    table, run = judged(*curve(RUN, {0: 0.95, 1: 0.9}), *curve(RUN, {0: 0.1, 1: 0.1}, metric="ece"), metrics=("ece",))
    assert status(table, "ece") == ["strict"]
    assert (status(table, JOINT), run.comparable.round) == (["worse"], 0)
    assert run.comparable.broken_by == ("the end of Region I",)


# What is not known.


def test_nobody_asked_for_it() -> None:
    table, run = judged(*curve(RUN, ACCURACY), metrics=(*TWO, "fidelity"))
    assert run.left_out == ("ece", "fidelity")
    assert set(table["metric"]) == {"accuracy", JOINT}
    assert "left out, nobody asked for them: ece, fidelity" in sentence(run)


def test_no_metric_that_anybody_asked_for_is_refused() -> None:
    with pytest.raises(UsageError, match="no run was asked for ece, fidelity") as told:
        judged(*curve(RUN, ACCURACY), metrics=("ece", "fidelity"))
    assert told.value.right.endswith("judge by what there is: accuracy")


def test_a_cell_without_any_of_the_metrics_is_named() -> None:
    other, control = (run.replace("digits", "mnist") for run in (RUN, CONTROL))
    rows = [*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece"), *curve(other, ACCURACY, dense="mnist-dense")]
    rows += curve(control, ACCURACY, dense="mnist-dense", pruner="control", label="lth reinit")
    found = verdict(frame(*rows), Settings(metrics=("ece",)))
    runs = passing(found)
    assert [run.run for run in runs] == [RUN]
    assert "mnist resnet20 is not judged: nobody asked there for any of the metrics." in page(found, runs, [], [])


def test_flatness_of_the_training_loss_is_judged_with_the_rest() -> None:
    trace = {0: 10.0, 1: 9.0, 2: 15.0, 3: 9.0}
    rows = curve(RUN, trace, metric="hessian_trace_weight", split="train", better=-1.0)
    table, run = judged(*curve(RUN, ACCURACY), *rows, metrics=("accuracy", "hessian_trace_weight"))
    assert run.left_out == ()
    assert status(table, "hessian_trace_weight") == ["strict", "worse", "strict"]
    table, run = judged(*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece", split="train"))
    assert run.left_out == ("ece",)  # of other metrics the test images alone count


def test_what_was_measured_before_training_is_not_judged() -> None:
    before = [row | {"family": "start", "at": "start"} for row in curve(RUN, ECE, metric="ece")]
    table, run = judged(*curve(RUN, ACCURACY), *before)
    assert run.left_out == ("ece",)
    assert set(table["metric"]) == {"accuracy", JOINT}


def test_asked_of_another_run_of_the_cell_is_asked() -> None:
    rows = [*curve(RUN, ACCURACY), *curve(RANDOM, ACCURACY), *curve(RANDOM, ECE, metric="ece")]
    table, run = judged(*rows)
    assert (run.left_out, status(table, "ece")) == ((), ["unknown"] * 3)
    assert (run.winning["ece"], run.comparable.round) == ((None, None), 0)
    assert "unknown: ece at rounds 1-2 (no row)" in sentence(run)  # Region I ends at round 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "skipped", "error": "no SVHN"}, "skipped: no SVHN"),
        ({"status": "error", "error": "ValueError: x"}, "error: ValueError: x"),
        ({}, "the value is no number"),
    ],
)
def test_failed_skipped_and_nan_are_unknown_and_win_nothing(fields: dict[str, str], why: str) -> None:
    bad = row(RUN, 2, math.nan, "ece", **fields)
    table, run = judged(
        *curve(RUN, dict.fromkeys(ROUNDS, 0.95)), *curve(RUN, {0: 0.1, 1: 0.1, 3: 0.1}, metric="ece"), bad
    )
    assert status(table, "ece") == ["strict", "unknown", "strict"]
    assert run.unknown == {"ece": f"round 2 ({why})"}
    assert (run.strict.round, run.strict.but_not) == (3, (2,))


def test_a_round_after_which_a_metric_is_unknown_is_broken_by_that() -> None:
    _, run = judged(*curve(RUN, dict.fromkeys(ROUNDS, 0.95)), *curve(RUN, {0: 0.1, 1: 0.1}, metric="ece"))
    assert (run.strict.round, run.strict.broken_at, run.strict.broken_by) == (1, 2, ("ece (unknown)",))


def test_a_family_that_failed_is_asked_for_under_its_metrics_names() -> None:
    failed = [row(RUN, n, math.nan, "calibration", family="calibration", status="error", error="E: x") for n in ROUNDS]
    table, run = judged(*curve(RUN, ACCURACY), *failed)
    assert (run.left_out, status(table, "ece")) == ((), ["unknown"] * 3)  # no row says whose metric ece is
    elsewhere = curve(RANDOM.replace("digits", "mnist"), ECE, metric="ece")
    found = verdict(frame(*curve(RUN, ACCURACY), *failed, *elsewhere), Settings(metrics=(*TWO, "fidelity")))
    assert found.left_out["digits", "resnet20"] == ("fidelity",)  # a row elsewhere says so
    assert status(found.rounds, "ece") == ["unknown"] * 3


def test_no_dense_value_is_unknown() -> None:
    rows = [*curve(RUN, ACCURACY), *curve(RUN, {1: 0.1, 2: 0.1}, metric="ece")]
    assert judged(*rows)[1].unknown == {"ece": "rounds 1-2 (no dense value of the same seed)"}


def test_a_run_without_dense_accuracy_does_not_stop_the_others() -> None:
    found = verdict(frame(*curve(RUN, ACCURACY), *curve(RANDOM, {1: 0.9, 2: 0.9})), Settings(metrics=TWO))
    own = {run.run: run for run in passing(found)}
    assert own[RUN].comparable.round == 2
    assert (own[RANDOM].regions, own[RANDOM].comparable.round) == (None, 0)
    assert "regions are unknown" in sentence(own[RANDOM])


def test_rounds_with_fewer_seeds_gaps_and_seeds_left_out_are_told() -> None:
    rows = [*seeds(RUN, {0: 0.95, 1: 0.95, 2: 0.95}), *curve(RUN, {4: 0.95, 5: 0.95}), *curve(RUN, {1: 0.9}, seed=7)]
    told = sentence(judged(*rows, metrics=("accuracy",))[1])
    assert "(3 seeds): comparable to dense in everything that was measured up to 67.2 % (round 5)" in told
    assert "fewer seeds at rounds 4-5" in told
    assert "regions decided without round 3; seed 7 left out (no dense accuracy)" in told
    assert "Region III" not in told


def test_one_seed_is_said_to_be_one() -> None:
    rows = [*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece")]
    table, run = judged(*rows)
    assert table["se"].isna().all()
    assert "(1 seed)" in sentence(run)
    assert "one seed has no interval" in sentence(run)
    assert "one seed" not in sentence(judged(*seeds(RUN, ACCURACY))[1])


def test_mce_is_made_of_the_errors_of_each_corruption() -> None:
    rows = curve(RUN, ACCURACY)
    for variant, values in {"fog-1": (0.2, 0.1, 0.3, 0.3), "clean": (0.05, 0.05, 0.05, 0.05)}.items():
        rows += curve(RUN, dict(enumerate(values)), metric="corruption_error", variant=variant, better=-1.0)
    table, run = judged(*rows, metrics=("accuracy", "mce"))
    assert table[table["metric"] == "mce"]["value"].tolist() == pytest.approx([50, 150, 150])
    assert run.winning["mce"] == (1, 1)


# Controls.


def test_a_ticket_that_does_not_beat_its_control_is_told_so() -> None:
    control = {"label": "lth reinit", "pruner": "control"}
    found = verdict(
        frame(
            *seeds(RUN, {0: 0.95, 1: 0.96, 2: 0.955, 3: 0.9}), *seeds(RANDOM, {0: 0.95, 1: 0.9, 2: 0.9}, spread=0.002),
            *seeds(CONTROL, {0: 0.95, 1: 0.95, 2: 0.955}, spread=0.002, **control),
        ),
        Settings(metrics=("accuracy",)),
    )  # fmt: skip
    run = next(one for one in passing(found) if one.run == RUN)
    assert run.lost_to == {"lth reinit": (2,)}
    assert set(run.compared) == {"lth reinit", "random"}
    assert "not shown to beat its control lth reinit at round 2" in sentence(run)


def test_beating_is_beyond_the_interval_and_with_one_seed_by_the_mean() -> None:
    noisy = [*seeds(RUN, {0: 0.95, 1: 0.95}), *seeds(RANDOM, {0: 0.95, 1: 0.945}, spread=0.02)]  # by -0.014 on average
    close = [*curve(RUN, {0: 0.95, 1: 0.95}, seed=0), *curve(RUN, {0: 0.95, 1: 0.951}, seed=1),
             *curve(RANDOM, {0: 0.95, 1: 0.949}, seed=0), *curve(RANDOM, {0: 0.95, 1: 0.940}, seed=1)]  # fmt: skip
    alone = [*curve(RUN, {0: 0.95, 1: 0.951}), *curve(RANDOM, {0: 0.95, 1: 0.95})]
    lost = [judged(*rows, metrics=("accuracy",))[1].lost_to for rows in (noisy, close, alone)]
    assert lost == [{"random": (1,)}, {"random": (1,)}, {}]


def test_a_control_is_compared_at_the_same_sparsity_not_round() -> None:
    other = [*curve(RANDOM, {0: 0.95}), row(RANDOM, 1, 0.99, sparsity=1 - 0.8**2, schedule="explicit")]
    _, run = judged(*curve(RUN, dict.fromkeys(ROUNDS, 0.95)), *other, metrics=("accuracy",))
    assert run.lost_to == {"random": (2,)}


@pytest.mark.parametrize(
    "control",
    [{"label": "lth reorder"}, {"label": "omp reinit"}, {"label": "lth reinit", "rewind": "step"},
     {"label": "lth reinit", "dense": "digits-resnet20-dense-00000000"}],
)  # fmt: skip
def test_what_is_no_control_of_it_is_not_compared(control: dict[str, str]) -> None:
    rows = [
        *curve(RUN, dict.fromkeys(ROUNDS, 0.95)),
        *curve(CONTROL, dict.fromkeys(ROUNDS, 0.99), pruner="control", **control),
    ]
    found = passing(verdict(frame(*rows), Settings(metrics=("accuracy",))))
    assert next(run for run in found if run.run == RUN).compared == ()


def test_a_control_that_fits_two_runs_is_nobodys() -> None:
    twin = "digits-resnet20-lth-ffffffff"
    rows = [row for run in (RUN, twin) for row in curve(run, dict.fromkeys(ROUNDS, 0.95))]
    rows += curve(CONTROL, dict.fromkeys(ROUNDS, 0.99), pruner="control", label="lth reinit")
    assert all(run.compared == () for run in passing(verdict(frame(*rows), Settings(metrics=("accuracy",)))))


# What is refused.


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"metrics": ("acuracy",)}, "no metric 'acuracy'"), ({"metrics": ("all",)}, "no metric 'all'"),
        ({"settings": ("deadbeef",)}, "no rows of settings 'deadbeef'"),
        ({"pruner": ("lht",)}, "no rows of pruner 'lht'"), ({"dataset": ("digit",)}, "no rows of dataset 'digit'"),
        ({"metrics": ("majority_share",)}, "neither end of 'majority_share' is better"),
    ],
)  # fmt: skip
def test_wrong_names_are_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        judged(*curve(RUN, ACCURACY), share(RUN, 0.1, 0.01), **settings)


def test_nothing_to_judge_is_refused() -> None:
    dense = curve("digits-resnet20-dense-99aabbcc", {0: 0.95})
    for rows, what in ((dense, "only dense models"), ([], "no results")):
        with pytest.raises(UsageError, match=what):
            judged(*rows)


def test_two_settings_of_a_metric_are_refused_unless_one_is_chosen() -> None:
    rows = [*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece"), *curve(RUN, ECE, metric="ece", settings="b")]
    with pytest.raises(UsageError, match="several settings"):
        judged(*rows)
    assert judged(*rows, settings=("b",))[1].winning["ece"] == (3, 3)


# Readings of pictures, and how it is told.


def test_a_reading_error_makes_equal() -> None:
    rows = frame(*curve(RUN, {0: 0.95, 1: 0.9495}), *curve(RUN, {0: 0.1, 1: 0.101}, metric="ece"))
    table = verdict(rows, Settings(metrics=TWO, comparable=0.0), {"accuracy": 0.001, "ece": 0.0005}).rounds
    assert (status(table, "accuracy"), status(table, "ece")) == (["strict"], ["worse"])
    wide = verdict(rows, Settings(metrics=TWO, comparable=0.0), {"ece": 0.002}).rounds
    assert status(wide, "ece") == ["strict"]


def test_no_sparsity_is_told_as_all() -> None:
    assert [percent(s) for s in (0.2, 0.99078, 0.9999)] == ["20.0 %", "99.08 %", "99.990 %"]


def test_where_a_pruner_passes() -> None:
    rows = frame(*curve(RUN, ACCURACY), *curve(RUN.replace("digits", "mnist"), {0: 0.95, 1: 0.9}))
    told = span(passing(verdict(rows, Settings(metrics=("accuracy",)))))
    assert "strict between 20.0 % and 20.0 %, in 1 of 2 cells" in told


def test_a_page_names_every_cell_and_metric() -> None:
    found = verdict(frame(*curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece")), Settings(metrics=TWO))
    text = markdown(page(found, passing(found), [], ["first"]))
    assert text.startswith("first\n\n## digits resnet20\n\n| run |")
    assert "| ece | 3 | 3 |" in text


@pytest.mark.parametrize("width", [20, 40, 80, 1000])
def test_narrow_tables_lose_no_cell(width: int) -> None:
    table = Table(["metric", *"abc"], [["ece", "0.123456789", "-1.5", "0.25 to 0.75"]])
    found = narrow(table, width)
    assert [cell for block in found for cell in block.lines[0][1:]] == table.lines[0][1:]
    assert all(block.lines[0][0] == "ece" and len(block.head) == len(block.lines[0]) for block in found)
    assert (len(found) == 1) == (width >= 80)


def test_tables_are_of_one_kind(tmp_path: Path) -> None:
    """What is saved can be read back: no column of mixed types."""
    table, _ = judged(*seeds(RUN, ACCURACY), *seeds(RUN, ECE, "ece"))
    table.to_parquet(tmp_path / "verdict.parquet")
    assert pd.read_parquet(tmp_path / "verdict.parquet")["status"].tolist() == table["status"].tolist()
