"""Curves in the paper's layout, and beside points that were read off its figures."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page

from tests.unit.rows import curve, frame
from ticketsearch.analysis.published import published
from ticketsearch.errors import UsageError
from ticketsearch.figures.base import Figure, style
from ticketsearch.figures.curves import Curves
from ticketsearch.figures.sheet import Sheet

ACCURACY = {0: 0.91, 1: 0.92, 2: 0.88, 3: 0.8}
LTH, SNIP, RANDOM = (f"cifar10-resnet20-{pruner}-1a2b3c4d" for pruner in ("lth", "snip", "random"))
SOURCE = "Chen et al. 2022, read off its figures"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Page, pd.DataFrame]]:
    """File name -> the page and the points, in place of the files."""
    pages: dict[str, tuple[Page, pd.DataFrame]] = {}

    def save(self: Figure, page: Page, points: pd.DataFrame, folder: Path, name: str) -> list[Path]:
        pages[name] = page, points
        return []

    monkeypatch.setattr(Curves, "save", save)
    return pages


def lines(axes: Axes) -> dict[str, Any]:
    return {str(line.get_gid()): line for line in axes.lines}


def curves(axes: Axes) -> set[str]:
    return {gid.split("/")[0] for gid in lines(axes) if gid.endswith(("/I", "/II"))}


def legend(page: Page) -> list[str]:
    return [text.get_text() for legend in page.legends for text in legend.get_texts()]


def test_pruning_at_initialisation_has_a_panel_of_its_own(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    other = "cifar100-resnet18-lth-1a2b3c4d"
    rows = frame(
        *itertools.chain(*(curve(run, ACCURACY) for run in (LTH, SNIP, RANDOM, other))),
        *curve(LTH, ACCURACY, metric="ece"),
    )
    Curves(panels="paper").draw(rows, Path("unused"))
    assert list(drawn) == ["curves-accuracy", "curves-ece"]
    page, _ = drawn["curves-accuracy"]
    titles = [cell.get_suptitle() for cell in page.subfigs]
    assert titles == ["", "cifar10 · resnet20 · 1 seed", "cifar100 · resnet18 · 1 seed", ""]
    left, right = page.subfigs[1].axes
    assert (curves(left), curves(right)) == ({LTH, RANDOM}, {SNIP})
    assert left.get_ylim() == right.get_ylim()
    assert all("digits-resnet20-dense-99aabbcc" in lines(axes) for axes in (left, right))
    (ece,) = drawn["curves-ece"][0].subfigs[0].axes
    assert curves(ece) == {LTH}, "nothing of this metric goes to the right"


def test_which_pruners_stand_on_the_right_can_be_said(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    rows = frame(*itertools.chain(*(curve(run, ACCURACY) for run in (LTH, SNIP, RANDOM))))
    Curves(panels="paper", right=("random",)).draw(rows, Path("unused"))
    left, right = drawn["curves-accuracy"][0].subfigs[0].axes
    assert (curves(left), curves(right)) == ({LTH, SNIP}, {RANDOM})


def test_a_page_of_one_metric_tells_of_this_metric_alone(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    Curves(panels="paper").draw(
        frame(*curve(LTH, ACCURACY), *curve(LTH, {0: 0.1, 1: 0.1}, metric="ece")), Path("unused")
    )
    last = {name: " ".join(page.texts[-1].get_text().split()) for name, (page, _) in drawn.items()}
    assert "missing" not in last["curves-accuracy"]
    assert last["curves-ece"].startswith("cifar10 · resnet20: ece missing at rounds 2-3; ")


def test_published_points_stand_beside_the_curves_of_their_pruner(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    own, unknown = "cifar10-resnet20-lth-1a2b3c4d", "cifar10-resnet20-rigl-1a2b3c4d"
    rows = frame(*curve(own, ACCURACY), *curve(unknown, ACCURACY), *curve(own, ACCURACY, metric="brier"))
    Curves(published="chen2022").draw(rows, Path("unused"))
    page, table = drawn["curves-cifar10-resnet20"]
    accuracy, brier = page.axes
    points = published().points
    theirs = points[(points[["dataset", "model", "metric"]] == ["cifar10", "resnet20", "accuracy"]).all(axis=1)]
    lth = theirs[theirs["pruner"] == "lth"]
    read = {gid: line for gid, line in lines(accuracy).items() if gid.startswith("published/")}
    assert set(read) == {"published/lth", "published/dense"}
    assert read["published/lth"].get_xdata() == pytest.approx(lth["round"].to_numpy())
    assert read["published/lth"].get_ydata() == pytest.approx(100 * lth["value"].to_numpy())
    assert read["published/lth"].get_color() == lines(accuracy)[f"{own}/I"].get_color()
    assert accuracy.get_xlim()[1] > lth["round"].max(), "the paper's rounds are in sight"
    assert not any(gid.startswith("published/") for gid in lines(brier)), "the paper has none of this metric"
    assert SOURCE in legend(page)
    beside = table[table["run"] == "Chen et al. 2022"]
    assert sorted(beside["mean"]) == pytest.approx(sorted(theirs[theirs["pruner"].isin(["lth", "dense"])]["value"]))
    assert beside["sparsity"].tolist() == pytest.approx((1 - 0.8 ** beside["round"]).tolist())


def test_two_curves_of_a_pruner_have_the_points_once(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    rows = frame(*curve(LTH, ACCURACY), *curve("cifar10-resnet20-lth-9a9a9a9a", ACCURACY, rewind="step"))
    Curves(published="chen2022").draw(rows, Path("unused"))
    (axes,) = drawn["curves-cifar10-resnet20"][0].axes
    assert len([gid for gid in lines(axes) if gid.startswith("published/lth")]) == 1


@pytest.mark.parametrize(
    ("rows", "name", "what", "right"),
    [
        (curve("digits-resnet20-lth-1a2b3c4d", ACCURACY), "chen2022", "2022 has no points", "cifar10 resnet18"),
        (curve(LTH, ACCURACY), "chen2023", "no published readings named 'chen2023'", "did you mean 'chen2022'?"),
    ],
)  # fmt: skip
def test_nothing_published_is_refused(
    rows: list[dict[str, Any]], name: str, what: str, right: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        Curves(published=name).draw(frame(*rows), tmp_path)
    assert what in refused.value.what
    assert right in refused.value.right
    assert not list(tmp_path.iterdir())


def boxes(page: Page) -> Iterator[Any]:
    canvas = FigureCanvasAgg(page)
    if isinstance(page, Sheet):
        page.lay_out()
    canvas.draw()  # type: ignore[no-untyped-call]
    yield from (legend.get_window_extent() for legend in page.legends)
    yield from (text.get_window_extent() for text in page.texts if text.get_text())
    for cell in page.subfigs:
        yield from (axes.get_tightbbox() for axes in cell.axes)
        yield from (text.get_window_extent() for text in cell.texts if text.get_text())


@pytest.mark.slow
def test_nothing_of_the_papers_own_curves_overlaps(drawn: dict[str, tuple[Page, pd.DataFrame]]) -> None:
    figure = Curves(panels="paper", dataset=("cifar10", "cifar100"), metrics=("accuracy", "hessian_trace_weight"))
    figure.draw(published().rows(), Path("unused"))
    for page, _ in drawn.values():
        assert len(page.subfigs) == 6
        with style():
            for one, other in itertools.combinations(boxes(page), 2):
                assert not one.overlaps(other)
            for axes in (axes for cell in page.subfigs for axes in cell.axes):
                labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
                assert all(left.x1 + 2 < right.x0 for left, right in itertools.pairwise(labels))
