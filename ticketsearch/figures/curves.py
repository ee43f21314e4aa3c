"""The paper's figure: every metric against sparsity, styled by region.

After Chen et al., "Can You Win Everything with A Lottery Ticket?" (TMLR 2022): solid in Region I, dashed in Region II,
the dense model dash-dotted, a vertical line where each pruner's Region I ends. Dotted in Region III is ours.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from annotated_types import Ge, Le
from matplotlib.figure import Figure as Page
from matplotlib.figure import SubFigure

from ticketsearch.analysis.mce import DENSE, INDICES, corruption_indices
from ticketsearch.analysis.published import Published, published
from ticketsearch.analysis.seeds import At, Band, measured
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.figures import base
from ticketsearch.figures.chart import Chart, Choice, chart_of
from ticketsearch.figures.pages import side_by_side
from ticketsearch.figures.panel import Looks, curve_keys, panel, style_keys
from ticketsearch.figures.sheet import WIDTH, sheet
from ticketsearch.results import of_split

COLUMNS = [
    "dataset", "model", "run", "label", "metric", "variant", "split", "round", "sparsity", "region", "mean", "std",
    "seeds", "dense_mean",
]  # fmt: skip


@dataclass(frozen=True)
class Curves(base.Figure):
    """Metrics against sparsity.

    Attributes:
        metrics: the panels, in order; () draws the usual ones that have rows.
        panels: `metrics`: one file for each dataset and model, a panel a metric; `paper`: one file for each metric, as
            in the paper: datasets from top to bottom, models from left to right, each with two panels.
        right: pruners of the right one of those two panels: pruning at initialisation; the paper has random pruning,
            too, on the left.
        published: the publication whose points are drawn beside the curves: `chen2022`; null for none.
        tolerance: how far below dense Region I reaches, a fraction: 0.01 is one percentage point.
        floor: tickets with less than this share of the dense accuracy do not widen the axes of any metric, so that one
            that has collapsed does not hide what the others differ in; arrows at the edge stand for them. 0: all do.
        band: spread over seeds: `std`, `range` or `none`.
        split: where the metrics were measured; regions are always decided on test.
        at: `end`: of trained tickets; `start`: what was known of them before (family `start`); regions are decided by
            the trained ones.
        baseline: what `mce` and `relative_mce` are divided by: `dense`, or the folder of a run (`analysis.mce`).
    """

    metrics: tuple[str, ...] = ()
    panels: Literal["metrics", "paper"] = "metrics"
    right: tuple[str, ...] = ("snip", "grasp", "grasp_abs", "synflow", "iter_snip", "force")
    published: str | None = None
    tolerance: float = 0.01
    floor: Annotated[float, Ge(0), Le(1)] = 0.0
    band: Band = "std"
    split: Literal["test", "val", "train"] = "test"
    at: At = "end"
    baseline: str = "dense"

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `curves-<dataset>-<model>`, or `curves-<metric>` in the paper's layout, with the points as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: nothing is left to draw, a metric has no rows, or rows of several settings cannot be compared;
                or nothing was published of what is drawn.
        """
        self._require(rows)
        beside = published(self.published) if self.published else None
        indices = self._indices(rows)
        rows = self.select(rows, ("end", self.at))
        rows = rows[rows["run"] != rows["dense"]]
        if rows.empty:
            raise UsageError("only dense models to draw", "curves need tickets", "ticketsearch run pruner=lth")
        usable = (rows["variant"] == "") & of_split(rows, self.split) & (rows["at"] == self.at)
        base.require_metrics(self.metrics, rows[usable], set(indices["metric"]))
        choice = Choice(self.metrics, self.settings, self.tolerance, self.floor, self.band, self.split, self.at)
        charts = [chart_of(choice, group, indices, beside) for _, group in rows.groupby(["dataset", "model"])]
        if beside:
            _require_points(beside, charts)
        looks = base.looks(label for chart in charts for label in chart.labels.values())
        source = beside.name if beside else ""
        return (
            self._by_metric(charts, looks, source, folder)
            if self.panels == "paper"
            else side_by_side(lambda page: self._whole(charts[page], looks, source, folder), len(charts))
        )

    def _require(self, rows: pd.DataFrame) -> None:
        """Refuse a pruner of the right panel that does not exist, and a baseline without rows."""
        base.require("right", self.right, {*OWN.choices("pruner"), *rows["pruner"]})
        if self.baseline != DENSE:
            base.require("baseline", [self.baseline], rows["run"])

    def _indices(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of mCE of what is drawn; the baseline need not be selected. None where mCE is not asked for."""
        if self.at == "start" or (self.metrics and not set(INDICES) & set(self.metrics)):
            return rows[:0]
        baseline = rows["run"] == self.baseline
        corrupted = rows[
            (rows["metric"] == "corruption_error") & (baseline | rows["run"].isin(self.select(rows)["run"]))
        ]
        return corruption_indices(measured(corrupted, self.settings), self.baseline)

    def _whole(self, chart: Chart, looks: Looks, source: str, folder: Path) -> list[Path]:
        with base.style():
            name = "curves-{dataset}-{model}".format(**chart.points.iloc[0])
            return self.save(_page(chart, looks, source), _table([chart], source), folder, name)

    def _by_metric(self, charts: Sequence[Chart], looks: Looks, source: str, folder: Path) -> list[Path]:
        metrics = list(dict.fromkeys(metric for chart in charts for metric in chart.shown))

        def draw(number: int) -> list[Path]:
            metric = metrics[number]
            own = [chart for chart in charts if metric in chart.shown]
            table = _table(own, source)
            with base.style():
                page = _paper(own, metric, self.right, looks, source)
                return self.save(page, table[table["metric"] == metric], folder, f"curves-{metric}")

        return side_by_side(draw, len(metrics))


def _require_points(beside: Published, charts: Iterable[Chart]) -> None:
    if all(chart.published.empty for chart in charts):
        there = beside.points[["dataset", "model"]].drop_duplicates().sort_values(["dataset", "model"])
        cells = ", ".join(f"{line.dataset} {line.model}" for line in there.itertuples())
        raise UsageError(
            f"{beside.name} has no points of what is drawn", f"it has: {cells}", "ticketsearch plot published=null"
        )


def _table(charts: Iterable[Chart], source: str) -> pd.DataFrame:
    """What is drawn, a point a line: curves first, then published points, whose run is the source."""
    tables = []
    for each in charts:
        first = each.points.iloc[0]
        read = each.published.assign(
            dataset=first["dataset"], model=first["model"], run=source, variant="", split="test",
            mean=each.published["value"], sparsity=1 - 0.8 ** each.published["round"].astype(float),
        )  # fmt: skip
        tables += [each.points[COLUMNS], *([read.reindex(columns=COLUMNS)] if len(read) else [])]
    return pd.concat(tables, ignore_index=True)


def _page(chart: Chart, looks: Looks, source: str) -> Page:
    """A grid of panels over the legend and the notes; lengths in inches."""
    columns = min(len(chart.shown), 3)
    lines = math.ceil(len(chart.shown) / columns)
    width, tall = {1: (3.5, 2.5), 2: (5.4, 2.2)}.get(columns, (WIDTH, 1.95))
    keys = curve_keys([chart], looks), style_keys([chart], source)
    page = sheet(width, lines * tall, _title(chart), keys[0], list(chart.notes(chart.shown)), keys[1])
    grid = list(page.subplots(lines, columns, squeeze=False).flat)
    for index, (axes, metric) in enumerate(zip(grid, chart.shown, strict=False)):
        stacked = panel(axes, chart, metric, looks)
        axes.set_title(chart.shown[metric].title, pad=3 + 5 * stacked)
        base.sparsity_axis(axes, chart.end)
        axes.set_xlabel("Sparsity (%)" if index + columns >= len(chart.shown) else "")
    for axes in grid[len(chart.shown) :]:
        axes.remove()
    return page


def _paper(charts: Sequence[Chart], metric: str, right: Sequence[str], looks: Looks, source: str) -> Page:
    """Datasets from top to bottom, models from left to right, two panels each; lengths in inches."""
    cells = {(chart.points["dataset"].iloc[0], chart.points["model"].iloc[0]): chart for chart in charts}
    datasets, models = (sorted({cell[place] for cell in cells}) for place in (0, 1))
    sides = {cell: _sides(chart, metric, right) for cell, chart in cells.items()}
    both = any(side for _, side in sides.values())
    width = max(3.5, (3.4 if both else 2.4) * len(models))
    notes = [f"{_cell_name(chart)}: {'; '.join(said)}" for chart in charts if (said := [*chart.notes([metric])])]
    keys = curve_keys(charts, looks), style_keys(charts, source)
    page = sheet(width, 1.9 * len(datasets), charts[0].shown[metric].title, keys[0], notes, keys[1])
    for cell, place in zip(
        [(dataset, model) for dataset in datasets for model in models],
        page.subfigures(len(datasets), len(models), squeeze=False).flat,
        strict=True,
    ):
        if cell in cells:
            _cell(place, cells[cell], metric, sides[cell] if both else sides[cell][:1], looks)
    return page


def _sides(chart: Chart, metric: str, right: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs of the left panel and those of the right one, as far as they have the metric."""
    there = set(chart.points.loc[chart.points["metric"] == metric, "run"])
    at_start = [run for run in chart.labels if run in there and chart.pruners[run] in right]
    return [run for run in chart.labels if run in there and run not in at_start], at_start


def _cell(place: SubFigure, chart: Chart, metric: str, sides: Sequence[Sequence[str]], looks: Looks) -> None:
    """The panels of one dataset and model, side by side on one scale."""
    place.suptitle(_title(chart), size=8)
    for axes, runs in zip(place.subplots(1, len(sides), sharey=True, squeeze=False)[0], sides, strict=True):
        panel(axes, chart, metric, looks, runs)
        base.sparsity_axis(axes, chart.end, 6 if len(sides) == 1 else 4)
        axes.set_xlabel("Sparsity (%)")


def _title(chart: Chart) -> str:
    said = []
    for counts, what in ((set(chart.points["seeds"]), "seed"), (chart.epochs, "epoch")):
        if counts:
            low, high = min(counts), max(counts)
            said.append(f"{low}" + f"-{high}" * (high > low) + f" {what}" + "s" * (high > 1))
    return " · ".join([_cell_name(chart), *said])


def _cell_name(chart: Chart) -> str:
    return "{dataset} · {model}".format(**chart.points.iloc[0])
