"""The bar chart: changes from dense by hand, seeds paired, what is missing said, labels apart."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from tests.unit.drawn import collisions, drawn, named, notes, one
from tests.unit.rows import DENSE, curve, frame, row
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.figures.bars import Bars
from ticketsearch.figures.base import COLOURS
from ticketsearch.figures.pareto import Pareto

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"
FULL = {0: 0.95, 3: 0.96, 7: 0.9, 14: 0.5}


def test_a_bar_is_the_change_from_the_dense_model_of_the_same_seed() -> None:
    rows = frame(
        *curve(LTH, {0: 0.90, 7: 0.88}, seed=0), *curve(LTH, {0: 0.94, 7: 0.95}, seed=1), *curve(LTH, {0: 0.1}, seed=2)
    )
    page, points = one(Bars(), rows)
    (axes,) = page.axes
    bar = named(axes, "lth/accuracy")
    assert (bar.get_x(), bar.get_width()) == (0, pytest.approx(-0.5))  # (-2 + 1) / 2 points, from zero
    assert axes.get_title() == "Accuracy (%) ↑\ndense 92.0"
    assert "91.5" in [text.get_text() for text in axes.texts]
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert sorted(np.asarray(dots.get_xdata())) == pytest.approx([-2, 1])
    (line,) = points.itertuples()
    assert line.change == pytest.approx(-0.005)
    assert line.std == pytest.approx(np.std([-0.02, 0.01], ddof=1))
    assert (line.seeds, line.round, line.dense_mean) == (2, 7, pytest.approx(0.92))


def test_the_round_nearest_to_79_percent_is_shown_or_the_one_asked_for() -> None:
    rows = frame(*curve(LTH, FULL), *curve(OMP, FULL))
    assert set(one(Bars(), rows)[1]["round"]) == {7}
    assert set(one(Bars(sparsity=0.955), rows)[1]["round"]) == {14}


def test_a_sparsity_that_most_runs_have_comes_before_a_nearer_one() -> None:
    page, points = one(Bars(), frame(*curve(LTH, FULL), *curve(OMP, {0: 0.9, 3: 0.8})))
    assert points.set_index("label")["round"].to_dict() == {"lth": 3, "omp": 3}
    assert "48.8 % sparsity, round 3" in page.texts[0].get_text()


def test_a_run_without_the_sparsity_keeps_its_line_and_is_named() -> None:
    page, points = one(Bars(sparsity=0.79), frame(*curve(LTH, FULL), *curve(OMP, {0: 0.9, 3: 0.8})))
    assert set(points["label"]) == {"lth"}
    (axes,) = page.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lth", "omp"]
    assert "no rows" in [text.get_text() for text in axes.texts]
    assert notes(page) == "omp: no ticket of this sparsity"


def test_other_schedules_are_compared_at_the_same_sparsity() -> None:
    one_shot = [row(OMP, 0, 0.9), row(OMP, 1, 0.8, sparsity=0.78)]
    page, points = one(Bars(), frame(*curve(LTH, FULL), *one_shot))
    assert points.set_index("label")["round"].to_dict() == {"lth": 7, "omp": 1}
    assert "78.0 to 79.0 % sparsity, rounds 1, 7" in page.texts[0].get_text()


def test_an_error_is_told() -> None:
    failed = [row(OMP, n, 0.1, "ece", status="ok" if n == 0 else "error") for n in FULL]
    page, _ = one(Bars(), frame(*curve(LTH, FULL), *curve(LTH, FULL, metric="ece"), *curve(OMP, FULL), *failed))
    assert notes(page) == "omp: ece error at round 7"


def test_mce_is_made_of_the_errors() -> None:
    rows = [
        row(LTH, n, value, "corruption_error", variant=f"fog-{s}", better=-1.0)
        for n, value in ((0, 0.2), (7, 0.3))
        for s in (1, 2)
    ]
    _, points = one(Bars(), frame(*curve(LTH, FULL), *rows))
    (line,) = points[points["metric"] == "mce"].itertuples()
    assert (line.mean, line.dense_mean) == (pytest.approx(150), 100)


@pytest.mark.parametrize(
    ("fields", "what", "right"),
    [
        ({"sparsity": 0.99}, "no ticket near sparsity=0.99", "there are: 0.488 0.79 0.956"),
        ({"metrics": ("acuracy",)}, "no rows of metric 'acuracy'", "did you mean 'accuracy'?"),
        ({"pruner": ("snip",)}, "no rows of pruner 'snip'", "(choices: lth)"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], what: str, right: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Bars(**fields).draw(frame(*curve(LTH, FULL)), tmp_path)
    assert what in refused.value.what
    assert right in refused.value.right
    assert refused.value.attempt.startswith("ticketsearch plot ")
    assert not list(tmp_path.iterdir())


def test_only_dense_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only dense models"):
        Bars().draw(frame(row(DENSE, 0, 0.9)), tmp_path)


def test_a_dataset_without_the_metric_is_said_on_the_page_of_the_others() -> None:
    other = "mnist-lenet300-lth-55555555"
    rows = frame(*curve(LTH, FULL), *curve(LTH, FULL, metric="ece"), *curve(other, FULL))
    ((page, _, name),) = drawn(Bars(metrics=("ece",)), rows)
    assert name == "bars-digits-resnet20"
    assert notes(page) == "not drawn: mnist lenet300 (there is no metric to draw)"


@pytest.mark.slow
def test_many_runs_and_metrics_are_apart() -> None:
    names = [f"digits-resnet20-quite_a_long_pruner_{n:03d}-{n:08x}" for n in range(30)]
    metrics = ("accuracy", "nll", "ece", "sce")
    rows = [
        line
        for name in names
        for seed in (0, 1)
        for metric in metrics
        for line in curve(name, {0: 0.001, 7: 0.0012 + 1e-5 * seed}, metric=metric, seed=seed)
    ]
    page, _ = one(Bars(), frame(*rows))
    assert collisions(page) == []


def test_all_formats_are_written_and_are_the_same_again(tmp_path: Path) -> None:
    rows = frame(*curve(LTH, FULL), *curve(OMP, FULL))
    contents = []
    for order, folder in ((rows, "a"), (rows.sample(frac=1, random_state=0), "b")):
        files = Bars(formats=("png", "pdf", "svg")).draw(order, tmp_path / folder)
        assert [path.name for path in files] == [
            f"bars-digits-resnet20.{kind}" for kind in ("png", "pdf", "svg", "csv")
        ]
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]
    assert pd.read_csv(tmp_path / "a/bars-digits-resnet20.csv")["change"].tolist() == pytest.approx([-0.05, -0.05])


@pytest.mark.parametrize("name", OWN.choices("figure"))
def test_no_figure_imports_torch_or_pyplot(name: str) -> None:
    module = OWN.load("figure", name)["_target_"].rpartition(".")[0]
    code = f"import sys, {module}; print(sorted({{'torch', 'matplotlib.pyplot', '{module}'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"['{module}']"


def test_a_label_looks_the_same_in_every_figure_of_the_same_rows() -> None:
    costs = [
        line for name in (LTH, OMP) for cost in ("macs", "ticket_bytes") for line in curve(name, FULL, metric=cost)
    ]
    alone = curve(LTH, FULL, metric="accuracy")[:1]  # lth has no accuracy but the dense one
    rows = frame(*alone, *curve(OMP, FULL), *costs)
    bar = named(one(Bars(), rows)[0].axes[0], "omp/accuracy")
    line = named(one(Pareto(), rows)[0].axes[0], "omp")
    assert to_hex(bar.get_facecolor()) == to_hex(line.get_color()) == COLOURS[1].lower()
