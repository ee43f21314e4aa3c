"""The maps of corruptions: changes in points, the paper's order, groups, mCE, what was skipped."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.drawn import collisions, named, notes, one
from tests.unit.rows import curve, frame, row
from ticketsearch.analysis import mce
from ticketsearch.data.corruptions import EXTRA, KINDS
from ticketsearch.errors import UsageError
from ticketsearch.figures.corruptions import GROUPS, Corruptions

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"


def errors(run: str, round: int, values: dict[str, float], **fields: Any) -> list[dict[str, Any]]:
    fields = {"better": -1.0} | fields
    return [row(run, round, value, "corruption_error", variant=name, **fields) for name, value in values.items()]


DENSE = {"snow-1": 0.2, "snow-2": 0.4, "gaussian_noise-1": 0.1, "gaussian_noise-2": 0.3, "clean": 0.05}
TICKET = {"snow-1": 0.25, "snow-2": 0.4, "gaussian_noise-1": 0.08, "gaussian_noise-2": 0.3, "clean": 0.05}


def test_the_groups_are_those_of_the_corruptions() -> None:
    published = [kind for group in GROUPS.values() for kind in group if kind != "procedural_frost"]
    assert published == [*KINDS, *EXTRA]
    assert set(GROUPS["extra"]) == set(mce.EXTRA)


def test_changes_are_percentage_points_of_the_same_seeds() -> None:
    rows = [*errors(LTH, 0, DENSE), *errors(LTH, 7, TICKET), *errors(LTH, 0, dict.fromkeys(DENSE, 0.9), seed=1)]
    page, points = one(Corruptions(), frame(*rows))
    dense, lth = page.axes
    assert [axes.get_title() for axes in page.axes] == ["dense\nmCE 100.0", "lth\nmCE 101.7"]
    assert sorted(text.get_text() for text in dense.texts) == ["10.0", "20.0", "30.0", "40.0"]
    shown = {text.get_text() for text in lth.texts} - {"noise", "weather"}
    assert shown == {"+5.0", "0.0", "\N{MINUS SIGN}2.0"}
    found = points.set_index(["kind", "severity"])["change"].to_dict()
    assert found == pytest.approx(
        {("gaussian_noise", 1): -0.02, ("gaussian_noise", 2): 0, ("snow", 1): 0.05, ("snow", 2): 0}
    )
    red, blue = (named(lth, name).get_facecolor() for name in ("snow-1", "gaussian_noise-1"))
    assert red[0] > red[2], "more errors are red"
    assert blue[2] > blue[0]


def test_a_seed_without_a_dense_model_changes_no_mean() -> None:
    rows = [*errors(LTH, 0, DENSE), *errors(LTH, 7, TICKET), *errors(LTH, 7, dict.fromkeys(TICKET, 0.9), seed=1)]
    _, points = one(Corruptions(), frame(*rows))
    snow = points.set_index(["kind", "severity"]).loc[("snow", 1)]
    assert (snow["error"], snow["change"], snow["seeds"]) == (pytest.approx(0.25), pytest.approx(0.05), 1)


def test_kinds_are_in_the_papers_order_and_extra_ones_apart() -> None:
    kinds = ["saturate", "mine", "contrast", "procedural_frost", "shot_noise", "gaussian_noise"]
    values = {f"{kind}-{severity}": 0.1 for kind in kinds for severity in (1, 5)}
    page, points = one(Corruptions(), frame(*errors(LTH, 0, values), *errors(LTH, 7, values)))
    axes = page.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["gaussian noise", "shot noise", "procedural frost", "contrast", "saturate", "mine"]
    assert list(axes.get_yticks()) == pytest.approx([0, 1, 2.4, 3.8, 5.7, 7.1])
    groups = [text.get_text() for text in page.axes[-1].texts if not text.get_text()[0].isdigit()]
    assert set(groups) == {"noise", "weather", "digital", "extra", "other"}
    assert points["severity"].tolist() == [1, 5] * 6


def test_what_was_skipped_is_told() -> None:
    skipped = errors(LTH, 7, {"snow-1": 0.2, "snow-2": 0.2}, status="skipped", error="no frost")
    rest = {name: value for name, value in TICKET.items() if not name.startswith("snow")}
    page, points = one(Corruptions(), frame(*errors(LTH, 0, DENSE), *errors(LTH, 7, rest), *skipped))
    assert set(points["kind"]) == {"gaussian_noise"}
    assert notes(page) == "lth: corruption_error skipped at round 7; (of snow)"
    assert page.axes[1].get_title() == "lth\nno mCE"


def test_a_run_of_another_sparsity_is_told() -> None:
    rows = [*errors(LTH, 0, DENSE), *errors(LTH, 7, TICKET), *errors(OMP, 0, DENSE), *errors(OMP, 3, TICKET)]
    page, _ = one(Corruptions(sparsity=0.79), frame(*rows))
    assert notes(page) == "omp: no ticket of this sparsity"


def test_missing_rows_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Corruptions().draw(frame(*curve(LTH, {0: 0.9, 7: 0.9})), tmp_path)
    assert str(refused.value).splitlines() == [
        "error: no rows of corruption_error to draw",
        "  the family corruption measures them",
        "  try: ticketsearch evaluate 'metrics=[corruption]'",
    ]


@pytest.mark.slow
def test_many_runs_are_apart_and_files_are_the_same_again(tmp_path: Path) -> None:
    kinds = [kind for group in GROUPS.values() for kind in group]
    values = {f"{kind}-{severity}": 0.1 for kind in kinds for severity in (1, 2, 3, 4, 5)}
    names = [f"digits-resnet20-quite_a_long_pruner_{n}-{n:08x}" for n in range(5)]
    rows = frame(
        *(line for name in names for n in (0, 7) for line in errors(name, n, values, label=f"{name[16:-9]} reshuffle"))
    )
    assert collisions(one(Corruptions(), rows)[0]) == []
    few = frame(*errors(LTH, 0, DENSE), *errors(LTH, 7, TICKET))
    again = [Corruptions(formats=("png", "svg")).draw(few, tmp_path / folder) for folder in "ab"]
    assert [path.name for path in again[0]] == [f"corruptions-digits-resnet20.{kind}" for kind in ("png", "svg", "csv")]
    assert [path.read_bytes() for path in again[0]] == [path.read_bytes() for path in again[1]]
