"""All methods at one sparsity, a panel for each metric (after the bar chart of Chen et al. 2022)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Gt, Lt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from ticketsearch.figures import base, tickets
from ticketsearch.figures.compared import Compared, compared
from ticketsearch.figures.sheet import GREY, WIDTH, sheet

COLUMNS = [
    "dataset", "model", "run", "label", "metric", "round", "sparsity", "mean", "dense_mean", "change", "std", "seeds",
]  # fmt: skip
BAR = 0.17
"""Inches from one bar to the next."""


@dataclass(frozen=True)
class Bars(base.Figure):
    """Every pruner at one sparsity, a panel for each metric, one file for each dataset and model.

    A bar is the change from the dense model, in percentage points where the metric is in percent: it starts at zero,
    at the dense line, so that its length is what pruning costs or gains. Bars of accuracy from zero would all look
    alike, and cut off they would lie. The number at the right is the value itself; the dense one stands in the title.
    A dot is a seed less the dense model of that seed, the bar their mean, its whisker +- 1 standard deviation (ddof=1).

    Attributes:
        metrics: the panels, in order; () draws the usual ones that have rows.
        sparsity: a fraction; null: of the sparsities that most runs have the one nearest to 79 %, the paper's.
    """

    metrics: tuple[str, ...] = ()
    sparsity: Annotated[float, Gt(0), Lt(1)] | None = None

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `bars-<dataset>-<model>`, with the changes as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: nothing is left to draw, a metric has no rows, or rows of several settings cannot be compared.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        looks = tickets.looks(pages)
        found, others = compared(pages, self.metrics, self.sparsity, self.settings, "bars")
        for page, shown in found:
            table = _table(page, shown)
            with base.style():
                drawn = _page(page, shown, table, [*shown.notes, *others], looks)
                written += self.save(drawn, table[COLUMNS], folder, f"bars-{page.dataset}-{page.model}")
        return written


def _table(subject: tickets.Subject, shown: Compared) -> pd.DataFrame:
    """Means over seeds, a line for each metric and run, in the order of the page."""
    pairs = shown.pairs.assign(change=shown.pairs["value"] - shown.pairs["dense"])
    table = pairs.groupby(["metric", "run"], as_index=False).agg(
        round=("round", "first"), sparsity=("sparsity", "mean"), mean=("value", "mean"), dense_mean=("dense", "mean"),
        change=("change", "mean"), std=("change", "std"), seeds=("seed", "count"),
    )  # fmt: skip
    table = table.assign(dataset=subject.dataset, model=subject.model, label=table["run"].map(subject.names))
    place = table["metric"].map(shown.metrics.index)
    return table.assign(place=place).sort_values(["place", "label"], ignore_index=True)


def _page(
    subject: tickets.Subject,
    shown: Compared,
    table: pd.DataFrame,
    notes: Sequence[str],
    looks: Mapping[str, tuple[str, str]],
) -> Page:
    """Panels in lines of three; the names of the runs are at the left of each line."""
    names = list(subject.names.values())
    columns = min(3, len(shown.metrics))
    lines = math.ceil(len(shown.metrics) / columns)
    tall = 0.72 + BAR * len(names)
    seeds = sorted(set(table["seeds"]))
    many = "-".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    title = f"{subject.dataset} · {subject.model} · {shown.where} · {many} seed{'s' * (seeds[-1] > 1)}"
    page = sheet({1: 3.6, 2: 5.4}.get(columns, WIDTH), lines * tall + 0.15, title, _keys(seeds[-1]), notes)
    grid = page.subplots(lines, columns, squeeze=False, sharey=True)
    for n, (axes, metric) in enumerate(zip(grid.flat, shown.metrics, strict=False)):
        axes.set_xlabel("Change from dense" if n + columns >= len(shown.metrics) else "")
        own = table[table["metric"] == metric].set_index("label")
        _panel(axes, shown, metric, own, shown.pairs[shown.pairs["metric"] == metric], names, looks)
    for axes in grid.flat[len(shown.metrics) :]:
        axes.remove()
    return page


def _keys(seeds: int) -> list[Line2D]:
    dense = Line2D([], [], color="black", ls="-.", lw=1, label="dense")
    dot = Line2D([], [], color=GREY, ls="", marker="o", ms=2.5, mfc="white", mew=0.6, label="one seed")
    whisker = Line2D([], [], color="black", lw=0.8, label="± 1 standard deviation over seeds")
    return [dense, dot, whisker] if seeds > 1 else [dense]


def _panel(
    axes: Axes,
    shown: Compared,
    metric: str,
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    names: Sequence[str],
    looks: Mapping[str, tuple[str, str]],
) -> None:
    """One metric; runs from top to bottom, also those that lack it."""
    scale = shown.shown[metric].scale
    axes.axvline(0, color="black", ls="-.", lw=1, zorder=2.5)
    axes.use_sticky_edges = False  # else bars of one sign would push the dense line to the edge
    for place, name in enumerate(names):
        if name not in table.index:
            _said(axes, place, "no rows")
            continue
        line = table.loc[name]
        axes.barh(place, scale * line["change"], 0.62, color=looks[name][0], alpha=0.75, lw=0, gid=f"{name}/{metric}")
        if line["seeds"] > 1:
            own = pairs[pairs["run"] == line["run"]]
            dots = scale * (own["value"] - own["dense"]).to_numpy()
            axes.errorbar(scale * line["change"], place, xerr=scale * line["std"], color="black", lw=0.8, capsize=1.5)
            heights = np.linspace(-0.18, 0.18, len(dots)) + place
            axes.plot(dots, heights, "o", color=GREY, mfc="white", ms=2, mew=0.5, zorder=3)
        _said(axes, place, tickets.number(scale * float(table["mean"][name])))
    dense = dict.fromkeys(tickets.number(scale * end) for end in (table["dense_mean"].min(), table["dense_mean"].max()))
    axes.set_title(f"{shown.shown[metric].title}\ndense {' to '.join(dense)}", linespacing=1.3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    if max(map(abs, axes.get_xlim())) >= 1e4:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.08)
    axes.spines["left"].set_visible(False)


def _said(axes: Axes, place: int, text: str) -> None:
    """A value in the column right of the panel."""
    axes.annotate(text, (1.04, place), xycoords=axes.get_yaxis_transform(), va="center", size=6.5, color=GREY)
