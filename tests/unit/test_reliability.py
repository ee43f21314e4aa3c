"""Reliability diagrams: seeds pooled by their images, gaps and their signs, the ECE of the seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.drawn import collisions, notes, one
from tests.unit.rows import curve, frame, row
from ticketsearch.errors import UsageError
from ticketsearch.figures.reliability import Reliability, pooled

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"
Bins = list[tuple[float, float, float]]
BINS: Bins = [(0, 0, 0), (0.2, 0.4, 0.5), (0.3, 0.7, 0.6), (0.5, 0.9, 0.95)]


def diagram(run: str, round: int, bins: Bins = BINS, ece: float = 0.075, **fields: Any) -> list[dict[str, Any]]:
    rows = [row(run, round, ece, "ece", **fields)]
    for n, (share, confidence, accuracy) in enumerate(bins, 1):
        about = {"variant": f"bin-{n:02d}", "family": "calibration", "better": float("nan"), **fields}
        rows.append(row(run, round, share, "bin_share", **about))
        if share:
            rows += [row(run, round, confidence, "bin_confidence", **about)]
            rows += [row(run, round, accuracy, "bin_accuracy", **about)]
    return rows


def test_seeds_are_pooled_by_their_images() -> None:
    # 20 of 100 images at 0.5 and 60 of 100 at 0.9; in the other bin 80 and none in the other seed's.
    first, second = [(0.2, 0.4, 0.5), (0.8, 0.9, 1.0)], [(0.6, 0.3, 0.9), (0.4, 0.8, 0.5)]
    table = pooled(frame(*diagram(LTH, 1, first), *diagram(LTH, 1, second, seed=1)))
    low, high = table.itertuples()
    assert (low.low, low.high, high.low, high.high) == (0, 0.5, 0.5, 1)
    assert low.share == pytest.approx(0.4)
    assert low.accuracy == pytest.approx((0.2 * 0.5 + 0.6 * 0.9) / 0.8)
    assert low.confidence == pytest.approx((0.2 * 0.4 + 0.6 * 0.3) / 0.8)
    assert high.gap == pytest.approx((0.8 * -0.1 + 0.4 * 0.3) / 1.2)


def test_a_bin_without_images_in_one_seed_is_the_others() -> None:
    first, second = [(0.0, 0, 0), (1.0, 0.9, 0.8)], [(0.1, 0.3, 0.7), (0.9, 0.9, 0.6)]
    table = pooled(frame(*diagram(LTH, 1, first), *diagram(LTH, 1, second, seed=1)))
    assert table["share"].tolist() == pytest.approx([0.05, 0.95])
    assert table["accuracy"].tolist() == pytest.approx([0.7, (0.8 + 0.9 * 0.6) / 1.9])


def test_bars_gaps_and_histogram_are_drawn_in_percent() -> None:
    page, points = one(Reliability(), frame(*diagram(LTH, 0), *diagram(LTH, 7)))
    dense, _, ticket, shares = page.axes
    assert (dense.get_title(), ticket.get_title().split("\n")) == (
        "dense\nECE 7.50 %",
        ["lth, 79.0\N{NO-BREAK SPACE}%", "ECE 7.50 %"],
    )
    accuracy, over, under = ticket.containers
    assert [(bar.get_x(), bar.get_height()) for bar in accuracy] == [(25, 50), (50, 60), (75, 95)]
    assert [(bar.get_x(), bar.get_y(), bar.get_height()) for bar in over] == [(50, 60, pytest.approx(10))]
    assert [(bar.get_x(), bar.get_height()) for bar in under] == [(25, pytest.approx(-10)), (75, pytest.approx(-5))]
    assert [bar.get_height() for bar in shares.containers[0]] == pytest.approx([0, 20, 30, 50])
    assert shares.get_yscale() == "log"
    assert points.loc[points["round"] == 7, "gap"].dropna().tolist() == pytest.approx([-0.1, 0.1, -0.05])


def test_the_ece_is_the_mean_of_the_seeds_own() -> None:
    rows = [line for seed, e in enumerate((0.1, 0.2)) for n in (0, 7) for line in diagram(LTH, n, ece=e, seed=seed)]
    page, _ = one(Reliability(), frame(*rows))
    assert page.axes[2].get_title().endswith(f"ECE 15.00 ± {100 * np.std([0.1, 0.2], ddof=1):.2f} %")
    assert "2 seeds" in page.texts[0].get_text()


def test_usual_sparsities_or_those_asked_for() -> None:
    rows = frame(*(line for n in (0, 2, 3, 7, 14, 20) for line in diagram(LTH, n)))
    assert sorted(set(one(Reliability(), rows)[1]["round"])) == [0, 3, 7, 14]
    assert sorted(set(one(Reliability(sparsities=(0.36, 0.988)), rows)[1]["round"])) == [0, 2, 20]
    short = frame(*(line for n in (0, 1, 2) for line in diagram(LTH, n)))
    assert sorted(set(one(Reliability(), short)[1]["round"])) == [0, 2]
    with pytest.raises(UsageError, match=r"no ticket near sparsity=0\.9"):
        one(Reliability(sparsities=(0.9,)), rows)


def test_what_is_not_there_is_told() -> None:
    failed = [line | {"status": "error"} for line in diagram(OMP, 7)]
    page, _ = one(Reliability(), frame(*diagram(LTH, 0), *diagram(LTH, 7), *diagram(OMP, 0), *failed))
    told = notes(page)
    assert "omp: nothing near 79.0 % sparsity, round 7" in told
    assert "not drawn" not in told


def test_missing_rows_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Reliability().draw(frame(*curve(LTH, {0: 0.9, 7: 0.9})), tmp_path)
    assert refused.value.what == "no rows of bin_share to draw"
    assert refused.value.attempt == "ticketsearch evaluate 'metrics=[calibration]'"


@pytest.mark.slow
def test_many_runs_are_apart_and_files_are_the_same_again(tmp_path: Path) -> None:
    names = [f"digits-resnet20-quite_a_long_pruner_{n}-{n:08x}" for n in range(4)]
    rows = frame(*(line for name in names for n in (0, 3, 7, 14) for line in diagram(name, n)))
    assert collisions(one(Reliability(), rows)[0]) == []
    few = frame(*diagram(LTH, 0), *diagram(LTH, 7))
    again = [Reliability(formats=("png", "svg")).draw(few, tmp_path / folder) for folder in "ab"]
    assert [path.name for path in again[0]] == [f"reliability-digits-resnet20.{kind}" for kind in ("png", "svg", "csv")]
    assert [path.read_bytes() for path in again[0]] == [path.read_bytes() for path in again[1]]
