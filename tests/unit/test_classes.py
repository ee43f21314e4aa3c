"""Changes of classes: by hand, the test over seeds, and the map of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from tests.unit.rows import DENSE, frame, row
from ticketsearch.analysis.classes import class_changes
from ticketsearch.errors import UsageError
from ticketsearch.figures.classes import Classes

LTH = "digits-resnet20-lth-11aabbcc"


def model(round: int, seed: int, whole: float, *classes: float, run: str = LTH) -> list[dict[str, object]]:
    each = [row(run, round, v, "class_accuracy", seed, variant=f"class-{c}") for c, v in enumerate(classes)]
    return [row(run, round, whole, seed=seed), *each]


def test_by_hand() -> None:
    # Class 0 loses 0.3 where all lose 0.1; class 1 gains 0.1, which is 0.2 beyond all.
    table = class_changes(frame(*model(0, 0, 0.8, 0.9, 0.7), *model(2, 0, 0.7, 0.6, 0.8)))
    assert table["class"].tolist() == [0, 1]
    assert table["change"].tolist() == pytest.approx([-0.2, 0.2])
    assert table["sparsity"].tolist() == pytest.approx([0.36, 0.36])
    assert table["p"].isna().all()  # one seed tells nothing
    assert not table["significant"].any()


def test_what_all_classes_lose_alike_is_no_change() -> None:
    table = class_changes(frame(*model(0, 0, 0.8, 0.9, 0.7), *model(1, 0, 0.5, 0.6, 0.4)))
    assert table["change"].tolist() == pytest.approx([0, 0])


def test_seeds_are_two_samples_for_welchs_test() -> None:
    rng = np.random.default_rng(0)
    dense, tickets = rng.normal(0.9, 0.01, 5), rng.normal(0.85, 0.03, 5)
    rows = [row for seed in range(5) for row in model(0, seed, 0.5, dense[seed]) + model(3, seed, 0.5, tickets[seed])]
    [line] = class_changes(frame(*rows)).itertuples()
    theirs = ttest_ind(tickets, dense, equal_var=False)
    assert line.change == pytest.approx(tickets.mean() - dense.mean())
    assert line.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert line.significant == (theirs.pvalue <= 0.05)
    assert line.seeds == 5


def test_dense_models_of_other_seeds_do_not_count() -> None:
    rows = [*model(0, 0, 0.8, 0.9), *model(0, 1, 0.8, 0.1), *model(1, 0, 0.8, 0.8)]
    assert class_changes(frame(*rows))["change"].tolist() == pytest.approx([-0.1])


def test_classes_are_in_the_order_of_their_numbers() -> None:
    rows = frame(*model(0, 0, 0.5, *([0.5] * 12)), *model(1, 0, 0.5, *([0.5] * 12)))
    assert class_changes(rows)["class"].tolist() == list(range(12))


def test_the_map_is_drawn_for_each_run(tmp_path: Path) -> None:
    other = "digits-resnet20-random-22aabbcc"
    rows = [
        row
        for seed in (0, 1)
        for run in (LTH, other)
        for row in model(0, seed, 0.8, 0.9, 0.7 + 0.01 * seed, run=run) + model(1, seed, 0.7, 0.6, 0.8, run=run)
    ]
    files = Classes(formats=("png",)).draw(frame(*rows), tmp_path)
    assert [path.name for path in files] == [
        f"classes-{run}.{kind}" for run in sorted((LTH, other)) for kind in ("png", "csv")
    ]
    assert pd.read_csv(files[1])["change"].tolist() == pytest.approx([-0.2, 0.195])


def test_without_classes_there_is_nothing_to_draw(tmp_path: Path) -> None:
    rows = frame(row(LTH, 0, 0.9), row(LTH, 1, 0.9), row(DENSE, 0, 0.9))
    with pytest.raises(UsageError, match="no accuracies of classes"):
        Classes().draw(rows, tmp_path)
    assert not list(tmp_path.iterdir())


def test_of_two_settings_one_is_chosen(tmp_path: Path) -> None:
    rows = [*model(0, 0, 0.8, 0.9), *model(1, 0, 0.8, 0.7)]
    other = [line | {"settings": "b" * 12, "value": 0.8} for line in rows if line["metric"] == "class_accuracy"]
    with pytest.raises(UsageError, match="several settings"):
        Classes().draw(frame(*rows, *other), tmp_path)
    (table,) = (
        f
        for f in Classes(settings=("b" * 12,), formats=("png",)).draw(frame(*rows, *other), tmp_path)
        if f.suffix == ".csv"
    )
    assert pd.read_csv(table)["change"].tolist() == [0.0]
