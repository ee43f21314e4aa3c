"""Which property a test of the pruners is about, and the table that is shown of them after a run of the tests."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from ticketsearch.conf import OWN

PRUNERS = OWN.choices("pruner")
COLUMNS = ("counts", "within", "nested", "pure", "seed", "zeros", "nan", "file", "cost", "resume", "resnet")
"""The properties, in the order in which they are shown."""


def every_pruner(column: str, names: Sequence[str] = tuple(PRUNERS)) -> Callable[[Any], Any]:
    """A test of a property that takes each pruner's `name`: of all of them, or of those that it makes sense for."""
    assert column in COLUMNS

    def mark(test: Any) -> Any:
        return pytest.mark.contract(column)(pytest.mark.parametrize("name", names)(test))

    return mark


def told(item: pytest.Item) -> list[tuple[str, object]]:
    """What the reports of a test carry, also from another process."""
    marker = item.get_closest_marker("contract")
    if marker is None or not isinstance(item, pytest.Function):
        return []
    return [("contract", marker.args[0]), ("pruner", item.callspec.params["name"])]


def table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Lines: a row for each pruner; ok, FAIL, or - where nothing was tested; the seconds of its tests."""
    cells, seconds = defaultdict[tuple[str, str], set[str]](set), defaultdict[str, float](float)
    for report in reports:
        about = dict(report.user_properties)
        if "contract" in about:
            pruner = str(about["pruner"])
            cells[pruner, str(about["contract"])].add(report.outcome)
            seconds[pruner] += report.duration
    if not cells:
        return []
    width = max(map(len, (*seconds, "in all"))) + 2
    lines = ["pruner".ljust(width) + "".join(column.rjust(8) for column in COLUMNS) + "seconds".rjust(9)]
    for pruner in sorted(seconds):
        shown = "".join(_shown(cells[pruner, column]).rjust(8) for column in COLUMNS)
        lines.append(f"{pruner:{width}}{shown}{seconds[pruner]:9.1f}")
    return [*lines, f"{'in all':{width}}{sum(seconds.values()):{8 * len(COLUMNS) + 9}.1f}"]


def _shown(outcomes: set[str]) -> str:
    if "failed" in outcomes:
        return "FAIL"
    return "-" if not outcomes or "skipped" in outcomes else "ok"
