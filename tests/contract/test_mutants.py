"""Every row of the mutant table fits the code and names a test; whether the test notices, `make mutants` finds out."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = tomllib.loads((ROOT / "tests/mutants.toml").read_text())["mutant"]


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_a_mutant_fits_the_code(row: dict[str, str]) -> None:
    assert (ROOT / row["file"]).read_text().count(row["old"]) == 1
    path, _, name = row["test"].partition("::")
    assert re.search(rf"^def {name.partition('[')[0]}\(", (ROOT / path).read_text(), re.M)


def test_no_two_mutants_have_the_same_name() -> None:
    assert len({row["name"] for row in ROWS}) == len(ROWS)
