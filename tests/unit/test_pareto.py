"""Accuracy against cost: the front by hand, units, what is hidden, what is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.drawn import collisions, named, notes, one
from tests.unit.rows import curve, frame, row
from ticketsearch.errors import UsageError
from ticketsearch.figures.pareto import Pareto, binary, front

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"
SIZE = {"better": -1.0, "unit": "bytes", "metric": "ticket_bytes"}
MACS = {"better": -1.0, "unit": "multiply-adds", "metric": "macs"}


def run(name: str, accuracy: dict[int, float], size: float = 2**20, **fields: Any) -> list[dict[str, Any]]:
    costs = {n: size * 0.5**n for n in accuracy}
    halves = {n: 3e6 * 0.5**n for n in accuracy}
    return [
        *curve(name, accuracy, **fields),
        *curve(name, costs, **fields | SIZE),
        *curve(name, halves, **fields | MACS),
    ]


def test_no_point_of_the_front_is_dominated() -> None:
    cost, accuracy = pd.Series([1.0, 2, 3, 3, 4, 1]), pd.Series([0.5, 0.9, 0.9, 0.95, 0.94, 0.5])
    # 0.9 at 3 costs more than at 2; 0.94 at 4 is dearer and worse than 0.95 at 3; equals do not dominate each other.
    assert front(cost, accuracy).tolist() == [True, True, False, True, False, True]


def test_the_front_is_over_all_runs_and_dense() -> None:
    rows = frame(*run(LTH, {0: 0.9, 1: 0.91, 2: 0.88}), *run(OMP, {0: 0.9, 1: 0.89, 2: 0.89}))
    page, points = one(Pareto(), rows)
    best = points[points["front"] & (points["cost"] == "macs")]
    assert [*zip(best["label"], best["round"], strict=True)] == [("lth", 1), ("omp", 2)]
    size, macs = page.axes
    line = named(size, "front")
    assert line.get_drawstyle() == "steps-post"
    assert [*line.get_xdata()] == [2**18, 2**19]
    assert [*line.get_ydata()] == pytest.approx([89, 91])
    assert [*named(macs, "dense").get_xdata()] == [3e6]
    assert [*named(macs, "lth").get_ydata()] == pytest.approx([90, 91, 88])


def test_axes_are_logarithmic_with_units() -> None:
    page, _ = one(Pareto(), frame(*run(LTH, dict.fromkeys(range(8), 0.9))))
    size, macs = page.axes
    assert (size.get_xscale(), macs.get_xscale()) == ("log", "log")
    shown = [label.get_text() for label in size.get_xticklabels()]
    assert "64 KiB" in shown
    assert "1 MiB" in shown
    assert {"1 M", "100 k"} <= {label.get_text() for label in macs.get_xticklabels()}
    assert [binary(2**n) for n in (9, 10, 20, 31)] == ["512 B", "1 KiB", "1 MiB", "2 GiB"]


def test_seeds_are_averaged_with_their_spread() -> None:
    rows = frame(*run(LTH, {0: 0.9, 1: 0.8}, seed=0), *run(LTH, {0: 0.9, 1: 0.9}, 2**19, seed=1))
    _, points = one(Pareto(), rows)
    (line,) = points[(points["cost"] == "ticket_bytes") & (points["round"] == 1)].itertuples()
    assert (line.accuracy, line.std) == (pytest.approx(0.85), pytest.approx(np.std([0.8, 0.9], ddof=1)))
    assert (line.cost_mean, line.seeds) == (3 * 2**17, 2)


def test_what_collapsed_is_below_the_axis_and_counted() -> None:
    page, points = one(Pareto(), frame(*run(LTH, {0: 0.95, 1: 0.94, 2: 0.3, 3: 0.1})))
    assert page.axes[0].get_ylim()[0] == pytest.approx(85)
    assert notes(page) == "2 tickets below 85 % not shown"
    assert len(points) == 8
    page, _ = one(Pareto(lowest=0.2), frame(*run(LTH, {0: 0.95, 1: 0.94, 2: 0.3, 3: 0.1})))
    assert page.axes[0].get_ylim()[0] == pytest.approx(20)
    assert notes(page) == "1 ticket below 20 % not shown"


def test_an_error_is_told() -> None:
    rows = [line | {"status": "error"} if line["metric"] == "macs" and line["round"] == 1 else line
            for line in run(LTH, {0: 0.95, 1: 0.94, 2: 0.93})]  # fmt: skip
    page, points = one(Pareto(), frame(*rows))
    assert set(points.loc[points["cost"] == "macs", "round"]) == {0, 2}
    assert notes(page) == "lth: macs error at round 1"


def test_missing_costs_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Pareto().draw(frame(*curve(LTH, {0: 0.9, 1: 0.9})), tmp_path)
    assert refused.value.what == "no rows of ticket_bytes to draw"
    assert refused.value.attempt == "ticketsearch evaluate 'metrics=[ticket]'"


def test_many_runs_are_apart_and_files_are_the_same_again(tmp_path: Path) -> None:
    names = [f"digits-resnet20-quite_a_long_pruner_{n:02d}-{n:08x}" for n in range(12)]
    rows = frame(*(line for n, name in enumerate(names) for line in run(name, {0: 0.9, 1: 0.9 - 0.001 * n, 5: 0.89})))
    assert collisions(one(Pareto(), rows)[0]) == []
    again = [Pareto(formats=("png", "svg")).draw(rows, tmp_path / folder) for folder in "ab"]
    assert [path.name for path in again[0]] == [f"pareto-digits-resnet20.{kind}" for kind in ("png", "svg", "csv")]
    assert [path.read_bytes() for path in again[0]] == [path.read_bytes() for path in again[1]]


def test_one_dense_accuracy_of_a_run_without_tickets_is_no_line() -> None:
    page, points = one(Pareto(), frame(*run(LTH, {0: 0.9, 1: 0.8}), row(OMP, 0, 0.9)))
    assert set(points["label"]) == {"lth"}
    assert notes(page) == "omp: no dense point"
