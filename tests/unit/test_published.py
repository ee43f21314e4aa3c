"""Points read off published figures, as tidy rows."""

import pytest

from ticketsearch.analysis.published import published
from ticketsearch.analysis.seeds import measured, statistics
from ticketsearch.errors import UsageError
from ticketsearch.results import SCHEMA

ROWS = published().rows()
CELL = ["run", "metric", "round"]


def test_there_is_one_row_for_each_point_of_a_run() -> None:
    assert len(published().points) == 6562
    assert not ROWS.duplicated(CELL).any()
    assert list(ROWS) == SCHEMA.names
    assert set(ROWS["metric"]) == set(published().metrics)


def test_round_0_of_every_run_is_the_dense_line() -> None:
    start = ROWS[(ROWS["round"] == 0) & (ROWS["dataset"] == "cifar10") & (ROWS["model"] == "resnet18")]
    accuracy = start[start["metric"] == "accuracy"].set_index("pruner")["value"]
    assert set(accuracy.index) == {"dense", "lth", "omp", "random", "snip", "grasp", "synflow"}
    assert set(accuracy) == {0.942311}, "grasp's own first point is read 0.2 points lower"
    assert set(ROWS.loc[ROWS["model"] == "resnet18", "dense"]) == {"cifar10-resnet18-dense", "cifar100-resnet18-dense"}


def test_values_have_the_units_of_our_rows() -> None:
    means = ROWS.groupby("metric")["value"].agg(["min", "max"])
    for fraction in ("accuracy", "fgsm_accuracy", "ood_auroc", "ood_aupr", "ece", "sce"):
        assert 0 < means.loc[fraction, "min"] < means.loc[fraction, "max"] < 1
    dense = ROWS[(ROWS["metric"] == "mce") & (ROWS["round"] == 0)]["value"]
    assert dense.between(99.5, 100.5).all(), "dense is 100 to the reading error"
    # Table in Chen et al.'s figure of ImageNet: accuracy 75.9 %, NLL 0.96 of the dense ResNet-50.
    own = ROWS[(ROWS["run"] == "imagenet-resnet50-dense")].set_index("metric")["value"]
    assert (own["accuracy"], own["nll"]) == (pytest.approx(0.759, abs=1e-3), pytest.approx(0.96, abs=4e-3))


def test_rows_are_read_like_ones_own() -> None:
    table = statistics(measured(ROWS[ROWS["metric"] == "accuracy"]))
    line = table[(table["run"] == "cifar10-wrn28_10-lth") & (table["round"] == 24)].iloc[0]
    assert (line["seeds"], line["sparsity"]) == (1, pytest.approx(1 - 0.8**24))
    assert line["mean"] == pytest.approx(0.943, abs=1e-3)


def test_an_unknown_publication_is_refused() -> None:
    with pytest.raises(UsageError, match="no published readings named 'chen2023'"):
        published("chen2023")
