"""Reliability diagrams: how often a model is right, for how sure it is (Guo et al. 2017)."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Gt, Lt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ticketsearch.analysis.seeds import measured
from ticketsearch.figures import base, tickets
from ticketsearch.figures.sheet import GREY, WIDTH, sheet

COLUMNS = [
    "dataset", "model", "run", "label", "round", "sparsity", "bin", "low", "high", "share", "confidence", "accuracy",
    "gap", "seeds", "ece",
]  # fmt: skip
BINS = ("bin_share", "bin_confidence", "bin_accuracy")
CELL = ["run", "round", "seed", "variant"]
USUAL = (0.488, 0.79, 0.956)
"""The sparsities shown where none are asked for: rounds 3, 7 and 14 of the usual schedule."""
RIGHT, OVER, UNDER = base.COLOURS[0], base.COLOURS[1], base.COLOURS[5]
TITLE = 25
"""Letters that are as wide as a diagram."""
FLOOR = 1e-4
"""Where the histogram's axis begins at the lowest: 0.01 % of the images."""


@dataclass(frozen=True)
class Reliability(base.Figure):
    """Confidence against accuracy of the dense models and of tickets, a line of diagrams for each run.

    Bars are the accuracy of the test images whose greatest probability lies in the bin; what it falls short of their
    mean confidence, or exceeds it by, is hatched. Below is each bin's share of the images, on a logarithmic scale,
    since nearly all are in the last. Seeds are pooled: every image of every seed counts once, so a bin's means are
    weighted by its share in each. The ECE written in is the mean of the seeds' own +- 1 standard deviation (ddof=1);
    that of the pooled bins would be smaller, since gaps of different seeds cancel.

    Attributes:
        sparsities: fractions, a column each; () draws those of the runs that are nearest to 48.8, 79.0 and 95.6 %.
    """

    sparsities: tuple[Annotated[float, Gt(0), Lt(1)], ...] = ()

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `reliability-<dataset>-<model>`, with the bins as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: there are no bins, or rows of several settings cannot be compared.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        found, others = tickets.drawable(pages, lambda page: _diagrams(page, self.sparsities, self.settings))
        for page, diagrams in found:
            with base.style():
                name = f"reliability-{page.dataset}-{page.model}"
                written += self.save(_page(page, diagrams, others), diagrams.bins[COLUMNS], folder, name)
        return written


@dataclass(frozen=True)
class _Diagrams:
    """What one page shows: `columns` are the rounds of each run, the dense one first; `bins` a line for each bin."""

    columns: list[dict[str, int]]
    bins: pd.DataFrame
    notes: list[str]


def _diagrams(subject: tickets.Subject, sparsities: Sequence[float], settings: Sequence[str]) -> _Diagrams:
    rows = subject.rows[subject.rows["split"] == "test"]
    named = rows[rows["metric"].isin(BINS) | ((rows["metric"] == "ece") & (rows["variant"] == ""))]
    values = measured(named, settings)
    share = values[values["metric"] == "bin_share"]
    if share[share["round"] > 0].empty:
        raise tickets.lacking(subject.rows, "bin_share", "calibration")
    columns = _columns(share, sparsities)
    columns = [dict.fromkeys(share.loc[share["round"] == 0, "run"].unique(), 0), *columns]
    bins = pooled(values)
    errors = values[values["metric"] == "ece"].groupby(["run", "round"])["value"].agg(ece="mean", ece_std="std")
    bins = bins.merge(errors.reset_index(), on=["run", "round"], how="left")
    shown = {(run, round) for column in columns for run, round in column.items()}
    bins = bins[[cell in shown for cell in zip(bins["run"], bins["round"], strict=True)]]
    bins = bins.assign(dataset=subject.dataset, model=subject.model, label=bins["run"].map(subject.names))
    notes = []
    for column in columns:
        absent = [name for run, name in subject.names.items() if run not in column]
        what = tickets.where(share, column) if any(column.values()) else "the dense model"
        notes += [tickets.of_runs(f"nothing near {what}", absent, subject.names)] if absent and column else []
    at = pd.concat([tickets.of_rounds(named, column) for column in columns])
    notes += tickets.failures(at, subject.names)
    return _Diagrams(columns, bins.sort_values(["label", "round", "bin"], ignore_index=True), notes)


def _columns(share: pd.DataFrame, sparsities: Sequence[float]) -> list[dict[str, int]]:
    """The rounds of each run, a column each; usual ones that are not there are replaced by the nearest, once."""
    if sparsities:
        return [tickets.at_sparsity(share, sparsity, "reliability") for sparsity in sparsities]
    columns = [tickets.at_sparsity(share, None, "reliability", near) for near in USUAL]
    return [column for n, column in enumerate(columns) if column not in columns[:n]]


def pooled(values: pd.DataFrame) -> pd.DataFrame:
    """The bins of each run and round, seeds pooled.

    Args:
        values: rows of `bin_share`, `bin_confidence` and `bin_accuracy` that count.

    Returns:
        A line for each `run`, `round` and `bin` (from 1), from `low` to `high` confidence: `share` of the images;
        their mean `confidence` and `accuracy`, NaN where there are none; `gap`: confidence less accuracy, above 0 where
        the model is too sure; `sparsity`; `seeds`.
    """
    rows = values[values["metric"].isin(BINS)]
    wide = rows.pivot_table("value", CELL, "metric").reindex(columns=list(BINS)).reset_index()
    wide["right"], wide["stated"] = (wide["bin_share"] * wide[name] for name in ("bin_accuracy", "bin_confidence"))
    table = wide.groupby(["run", "round", "variant"], as_index=False).agg(
        share=("bin_share", "mean"), right=("right", "sum"), stated=("stated", "sum"), seeds=("seed", "count")
    )
    images = (table["share"] * table["seeds"]).where(table["share"] > 0)
    table["confidence"], table["accuracy"] = table["stated"] / images, table["right"] / images
    table["gap"] = table["confidence"] - table["accuracy"]
    table["bin"] = table["variant"].str.extract(r"(\d+)$", expand=False).astype(int)
    count = table.groupby(["run", "round"])["bin"].transform("max")
    table["low"], table["high"] = (table["bin"] - 1) / count, table["bin"] / count
    sparsity = rows.groupby(["run", "round"])["sparsity"].mean().rename("sparsity").reset_index()
    return table.merge(sparsity, on=["run", "round"]).drop(columns=["variant", "right", "stated"])


def _page(subject: tickets.Subject, diagrams: _Diagrams, others: Sequence[str]) -> Page:
    """A line for each run, its dense model first."""
    bins = diagrams.bins
    names = {run: name for run, name in subject.names.items() if any(run in c for c in diagrams.columns[1:])}
    seeds = sorted(set(bins["seeds"]))
    many = "-".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    title = f"{subject.dataset} · {subject.model} · {many} seed{'s' * (seeds[-1] > 1)}"
    width = min(WIDTH, 0.4 + 1.7 * len(diagrams.columns))
    page = sheet(width, 2.3 * len(names), title, _keys(), [*diagrams.notes, *others])
    grid = GridSpec(2 * len(names), len(diagrams.columns), page, height_ratios=[3, 1] * len(names))
    floor = max(FLOOR, bins.loc[bins["share"] > 0, "share"].min())
    for line, (run, name) in enumerate(names.items()):
        for place, column in enumerate(diagrams.columns):
            own = bins[(bins["run"] == run) & (bins["round"] == column.get(run, -1))]
            if own.empty:
                continue
            above = page.add_subplot(grid[2 * line, place])
            below = page.add_subplot(grid[2 * line + 1, place], sharex=above)
            said = f"{name}, {100 * own['sparsity'].iloc[0]:.1f}\N{NO-BREAK SPACE}%" if column[run] else "dense"
            above.set_title(f"{textwrap.fill(said, TITLE)}\n{_error(own)}", size=7.5, linespacing=1.3)
            _diagram(above, own, f"{run}/{column[run]}")
            _histogram(below, own, floor)
            above.set_ylabel("" if place else "Accuracy (%)")
            below.set_ylabel("" if place else "Share (%)")
            below.set_xlabel("Confidence (%)" if line == len(names) - 1 else "")
    return page


def _error(bins: pd.DataFrame) -> str:
    """The ECE in words."""
    error, spread = 100 * bins["ece"].iloc[0], 100 * bins["ece_std"].iloc[0]
    if math.isnan(error):
        return "no ECE"
    return f"ECE {error:.2f} %" if math.isnan(spread) else f"ECE {error:.2f} ± {spread:.2f} %"


def _keys() -> list[Line2D | Patch]:
    return [
        Patch(color=RIGHT, alpha=0.85, label="accuracy of the bin"),
        Patch(facecolor="none", edgecolor=OVER, hatch="/////", lw=0.6, label="too sure by"),
        Patch(facecolor="none", edgecolor=UNDER, hatch="\\\\\\\\\\", lw=0.6, label="not sure enough by"),
        Line2D([], [], color="black", ls="-.", lw=0.8, label="calibrated"),
    ]


def _diagram(axes: Axes, bins: pd.DataFrame, gid: str) -> None:
    """Accuracy of each bin, and the gap to its mean confidence."""
    own = bins.dropna(subset=["accuracy"])
    left, wide = 100 * own["low"], 100 * (own["high"] - own["low"])
    axes.bar(
        left, 100 * own["accuracy"], wide, align="edge", color=RIGHT, alpha=0.85, edgecolor="white", lw=0.3, gid=gid
    )
    for colour, hatch, which in ((OVER, "/////", own["gap"] > 0), (UNDER, "\\\\\\\\\\", own["gap"] < 0)):
        bottom, gap = 100 * own.loc[which, "accuracy"], 100 * own.loc[which, "gap"]
        axes.bar(
            left[which], gap, wide[which], bottom, align="edge", facecolor="none", edgecolor=colour, hatch=hatch, lw=0.6
        )
    axes.plot([0, 100], [0, 100], color="black", ls="-.", lw=0.8)
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    axes.tick_params(labelbottom=False)


def _histogram(axes: Axes, bins: pd.DataFrame, floor: float) -> None:
    """The share of images in each bin."""
    left, wide = 100 * bins["low"], 100 * (bins["high"] - bins["low"])
    axes.bar(left, 100 * bins["share"], wide, align="edge", color=GREY, alpha=0.7, edgecolor="white", lw=0.3)
    axes.set_yscale("log")
    axes.set_ylim(50 * floor, 150)
    ticks = [10.0**power for power in range(-2, 3, 2) if 10.0**power > 50 * floor]
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.set_xticks(np.arange(0, 101, 25))
