"""The wheel: ratios by hand, outward always better, what is no spoke, wheels of seven."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.drawn import collisions, named, notes, one
from tests.unit.rows import curve, frame, row
from ticketsearch.errors import UsageError
from ticketsearch.figures.radar import Radar

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"


def three(run: str = LTH, **changes: dict[int, float]) -> list[dict[str, Any]]:
    metrics = {"accuracy": {0: 0.8, 7: 0.6}, "ece": {0: 0.02, 7: 0.025}, "nll": {0: 0.3, 7: 0.24}} | changes
    return [line for metric, values in metrics.items() for line in curve(run, values, metric=metric)]


def test_percent_of_dense_by_hand_outward_is_better() -> None:
    page, points = one(Radar(), frame(*three()))
    # 100 x 0.6 / 0.8; of what is better when less, dense over value: 0.3 / 0.24 and 0.02 / 0.025.
    assert points.set_index("metric")["percent"].to_dict() == pytest.approx({"accuracy": 75, "nll": 125, "ece": 80})
    (axes,) = page.axes
    wheel = named(axes, "lth")
    assert list(wheel.get_ydata()) == pytest.approx([75, 125, 80, 75])  # closed
    assert list(wheel.get_xdata()) == pytest.approx([0, 2 * np.pi / 3, 4 * np.pi / 3, 0])
    assert set(named(axes, "dense").get_ydata()) == {100}
    assert axes.get_theta_direction() == -1


def test_flatness_of_the_training_loss_is_a_spoke() -> None:
    flat = curve(LTH, {0: 4.0, 7: 5.0}, metric="hessian_trace_weight", split="train", better=-1.0)
    _, points = one(Radar(), frame(*three(), *flat))
    assert points.set_index("metric")["percent"]["hessian_trace_weight"] == pytest.approx(80)


def test_seeds_are_averaged_before_they_are_divided() -> None:
    rows = [row(LTH, n, v, "ece", seed) for seed, pair in enumerate([(0.01, 0.02), (0.03, 0.02)]) for n, v in
            zip((0, 7), pair, strict=True)]  # fmt: skip
    more = [line | {"seed": seed} for seed in (0, 1) for line in three() if line["metric"] != "ece"]
    _, points = one(Radar(), frame(*rows, *more))
    (line,) = points[points["metric"] == "ece"].itertuples()
    assert (line.percent, line.seeds) == (pytest.approx(100), 2)


def test_what_lies_beyond_is_marked_and_kept_in_the_table() -> None:
    page, points = one(Radar(), frame(*three(ece={0: 0.02, 7: 0.005}, nll={0: 0.3, 7: 1.2})))
    assert points.set_index("metric")["percent"].to_dict() == pytest.approx({"accuracy": 75, "nll": 25, "ece": 400})
    assert points.set_index("metric")["clipped"].to_dict() == {"accuracy": False, "nll": True, "ece": True}
    assert list(named(page.axes[0], "lth").get_ydata()) == pytest.approx([75, 50, 150, 75])
    hollow = [line for line in page.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [sorted(np.asarray(line.get_ydata())) for line in hollow] == [[50, 150]]


def test_zeros() -> None:
    _, points = one(Radar(), frame(*three(ece={0: 0.0, 7: 0.0}, nll={0: 0.3, 7: 0.0}, accuracy={0: 0.8, 7: 0.0})))
    found = points.set_index("metric")["percent"].to_dict()
    assert found == {"accuracy": 0, "nll": np.inf, "ece": 100}


def test_what_is_no_spoke_is_said() -> None:
    extra = [
        *curve(LTH, {0: 0.1, 7: 0.1}, metric="brier"),
        *curve(LTH, {0: -0.1, 7: 0.1}, metric="sharpness", better=-1.0),
        *curve(OMP, {0: -0.1, 7: 0.1}, metric="sharpness", better=-1.0),
    ]
    page, points = one(Radar(), frame(*three(), *three(OMP), *extra))
    assert set(points["metric"]) == {"accuracy", "nll", "ece"}
    told = "brier is not measured for omp; sharpness is negative, so that ratios mean nothing"
    assert notes(page) == told


def test_fewer_than_three_make_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 metrics make no wheel") as refused:
        Radar().draw(frame(*curve(LTH, {0: 0.9, 7: 0.9})), tmp_path)
    assert refused.value.attempt == "ticketsearch plot figure=bars"


def test_a_wheel_has_seven_runs_and_labels_are_apart() -> None:
    names = [f"digits-resnet20-quite_a_long_pruner_{n:02d}-{n:08x}" for n in range(9)]
    more = ("sce", "brier", "ood_auroc", "fgsm_accuracy", "hessian_trace_weight", "hessian_trace_input", "stability")
    rows = [line for name in names for line in three(name)]
    rows += [line for name in names for metric in more for line in curve(name, {0: 0.1, 7: 0.11}, metric=metric)]
    page, _ = one(Radar(), frame(*rows))
    assert [len(axes.get_legend().get_texts()) for axes in page.axes] == [7, 2]
    assert collisions(page) == []


def test_files(tmp_path: Path) -> None:
    again = [Radar(formats=("png", "svg")).draw(frame(*three()), tmp_path / folder) for folder in "ab"]
    assert [path.name for path in again[0]] == [f"radar-digits-resnet20.{kind}" for kind in ("png", "svg", "csv")]
    assert [path.read_bytes() for path in again[0]] == [path.read_bytes() for path in again[1]]
