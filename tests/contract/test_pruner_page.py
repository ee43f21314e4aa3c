"""docs/pruners.md is what its script makes of the yamls, and says something of every pruner that there is."""

import re
import tomllib
from pathlib import Path

import pytest

from scripts.pruner_page import FACTS, PAGE, page
from ticketsearch.conf import OWN

ROOT = Path(__file__).resolve().parents[2]
KNOWN = tomllib.loads(FACTS.read_text())
NAMES = OWN.choices("pruner")


def test_the_page_is_what_the_script_makes() -> None:
    assert PAGE.read_text() == page(), "run `python scripts/pruner_page.py`"


def test_every_pruner_has_a_section_and_tests_that_exist() -> None:
    assert re.findall(r"^## (.+)$", PAGE.read_text(), re.M) == NAMES
    assert sorted(KNOWN["tests"]) == NAMES
    assert [path for paths in KNOWN["tests"].values() for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("row", KNOWN["compared"], ids=lambda row: f"{row['pruners'][0]}-{row['code']}")
def test_a_comparison_names_pruners_a_commit_and_the_reason_of_what_differs(row: dict) -> None:
    assert set(row["pruners"]) <= set(NAMES)
    assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{7}", row["code"])
    assert all(len(counts) == 3 for counts in row["entries"].values())
    differs = any(any(counts) for counts in row["entries"].values())
    assert bool(row["why"]) or not differs


def test_what_was_not_compared_is_said() -> None:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    compared = {name for row in KNOWN["compared"] for name in row["pruners"]}
    silent = {
        text.split("\n")[0] for text in sections if "not compared" in text.rsplit("* beside", 1)[1].split("\n")[0]
    }
    assert silent == set(NAMES) - compared
