"""Labels: distinct, and no longer than it takes."""

import pandas as pd
import pytest

from tests.unit.rows import DENSE, frame, row
from ticketsearch.analysis.labels import labels

A, B, C, D = (f"digits-resnet20-lth-{letter * 8}" for letter in "abcd")


def test_distinct_labels_stay_as_they_are() -> None:
    rows = frame(row(A, 1, 0), row("digits-resnet20-omp-11111111", 1, 0), row(A, 2, 0, rewind="other"))
    assert labels(rows) == {A: "lth", "digits-resnet20-omp-11111111": "omp"}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("pruner", ("lth", "lth-late")),
        ("schedule", ("geometric", "one_shot")),
        ("rewind", ("init", "step")),
        ("recipe", ("digits", "paper")),
        ("prunable", ("default", "all")),
        ("dataset", ("digits", "mnist")),
        ("model", ("resnet20", "vgg16")),
    ],
)
def test_one_field_tells_two_runs_apart(field: str, values: tuple[str, str]) -> None:
    rows = frame(row(A, 1, 0) | {field: values[0]}, row(B, 1, 0) | {field: values[1]})
    assert labels(rows) == {A: f"lth ({field}={values[0]})", B: f"lth ({field}={values[1]})"}


@pytest.mark.parametrize("kind", ["Int64", "float64"])
def test_order_seed_is_shown_as_it_is_typed(kind: str) -> None:
    rows = frame(row(A, 1, 0), row(B, 1, 0, order_seed=7)).astype({"order_seed": kind})
    assert labels(rows) == {A: "lth (order_seed=null)", B: "lth (order_seed=7)"}


def test_the_fewest_fields_are_taken() -> None:
    both = frame(row(A, 1, 0), row(B, 1, 0, schedule="one_shot", rewind="step"))
    assert labels(both) == {A: "lth (schedule=geometric)", B: "lth (schedule=one_shot)"}
    three = frame(
        row(A, 1, 0, rewind="init", recipe="x"), row(B, 1, 0, rewind="keep", recipe="y"),
        row(C, 1, 0, rewind="step", recipe="x"),
    )  # fmt: skip
    assert labels(three) == {A: "lth (rewind=init)", B: "lth (rewind=keep)", C: "lth (rewind=step)"}


def test_two_fields_where_one_is_not_enough() -> None:
    grid = {A: ("x", "init"), B: ("x", "step"), C: ("y", "init"), D: ("y", "step")}
    rows = frame(*(row(run, 1, 0, schedule=schedule, rewind=rewind) for run, (schedule, rewind) in grid.items()))
    assert labels(rows) == {run: f"lth (schedule={s}, rewind={r})" for run, (s, r) in grid.items()}


def test_the_id_only_where_no_field_differs() -> None:
    assert labels(frame(row(A, 1, 0), row(B, 1, 0))) == {A: "lth (aaaaaaaa)", B: "lth (bbbbbbbb)"}
    rows = frame(row(A, 1, 0), row(B, 1, 0), row(C, 1, 0, rewind="step"))
    assert labels(rows) == {
        A: "lth (rewind=init, aaaaaaaa)", B: "lth (rewind=init, bbbbbbbb)", C: "lth (rewind=step)"
    }  # fmt: skip


def test_fields_are_read_from_a_ticket_and_not_from_the_borrowed_round_0() -> None:
    borrowed = row(A, 0, 0, label="dense", pruner="dense", rewind="")
    for order in ([borrowed, row(A, 1, 0)], [row(A, 1, 0), borrowed]):
        assert labels(frame(*order, row(DENSE, 0, 0))) == {A: "lth", DENSE: "dense"}


def test_labels_do_not_depend_on_the_order_of_rows() -> None:
    rows = frame(*(row(run, n, 0, rewind=rewind) for run, rewind in ((A, "init"), (B, "step")) for n in range(3)))
    assert labels(rows) == labels(pd.DataFrame(rows[::-1]))
