"""Which tickets figures of one sparsity show, and numbers as they are read off."""

import math

import pytest

from tests.unit.rows import curve, frame, row
from ticketsearch.figures.tickets import at_sparsity, failures, number, where

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (97.123, "97.1"), (0.016667, "0.0167"), (104.4, "104"), (12460, "12460"), (1234567, "1.2M"), (0, "0.00"),
        (-0.998, "\N{MINUS SIGN}0.998"), (math.nan, "none"), (math.inf, "none"),
    ],
)  # fmt: skip
def test_three_digits_count(value: float, text: str) -> None:
    assert number(value) == text


def test_half_a_step_is_near_and_no_more() -> None:
    # Round 7.5 is half a step from rounds 7 and 8: the nearer one wins, of two as near the earlier.
    rows = frame(*curve(LTH, dict.fromkeys(range(9), 0.9)))
    assert at_sparsity(rows, 1 - 0.8**7.49, "bars") == {LTH: 7}
    assert at_sparsity(rows, 1 - 0.8**7.51, "bars") == {LTH: 8}
    assert at_sparsity(rows, 1 - 0.8**8.5, "bars") == {LTH: 8}


def test_a_ticket_without_weights_is_no_candidate() -> None:
    rows = frame(*curve(LTH, {0: 0.9, 3: 0.9}), row(LTH, 9, 0.1, sparsity=1.0))
    assert at_sparsity(rows, None, "bars") == {LTH: 3}
    assert where(rows, {LTH: 3}) == "48.8 % sparsity, round 3"


def test_failures_of_all_runs_name_none() -> None:
    bad = {"metric": "ece", "status": "skipped"}
    names = {LTH: "lth", OMP: "omp"}
    both = frame(*curve(LTH, {3: 0.1, 4: 0.1}, **bad), *curve(OMP, {3: 0.1, 4: 0.1}, **bad))
    assert failures(both, names) == ["ece skipped at rounds 3-4"]
    assert failures(both[both["run"] == OMP], names) == ["omp: ece skipped at rounds 3-4"]


def test_a_failure_that_was_mended_is_none() -> None:
    rows = frame(row(LTH, 3, 0.1, "ece", status="error"), row(LTH, 3, 0.1, "ece", sequence=1))
    assert failures(rows, {LTH: "lth"}) == []
