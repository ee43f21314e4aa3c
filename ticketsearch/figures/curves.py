"""The paper's figure: every metric against sparsity, one panel each, styled by region.

After Chen et al., "Can You Win Everything with A Lottery Ticket?" (TMLR 2022): solid in Region I, dashed in Region II,
the dense model dash-dotted, a vertical line where each pruner's Region I ends. Dotted in Region III is ours.
"""

import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from ticketsearch.analysis.epochs import trained_epochs
from ticketsearch.analysis.labels import labels
from ticketsearch.analysis.mce import INDICES, corruption_indices
from ticketsearch.analysis.regions import Region, Regions, regions, spans
from ticketsearch.analysis.seeds import Band, latest, measured, statistics
from ticketsearch.errors import UsageError
from ticketsearch.figures import base

DEFAULT = [
    "accuracy", "worst_class_accuracy", "nll", "loss", "ece", "sce", "brier", "disagreement", "mce", "corruption_error",
    "ood_auroc", "ood_aupr", "ood_fpr95", "fgsm_accuracy", "pgd_accuracy", "fidelity", "stability", "detectors",
    "hessian_trace_weight", "hessian_trace_input", "hessian_eigen_weight", "hessian_eigen_input", "sharpness",
    "magnitude_flatness", "barrier", "trajectory_length", "macs", "ticket_bytes",
]  # fmt: skip
COLUMNS = [
    "dataset", "model", "run", "label", "metric", "variant", "split", "round", "sparsity", "region", "mean", "std",
    "seeds", "dense_mean",
]  # fmt: skip
IDENTITY = ["dataset", "model", "dense", "run", "metric", "variant", "split", "round"]
# Dashes short enough to show between the markers of 30 rounds.
STYLES: dict[Region, Any] = {"I": "-", "II": (0, (2.2, 1.1)), "III": (0, (0.9, 0.9))}
GREYS = ("0.25", "0.5", "0.7")

Looks = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Curves(base.Figure):
    """Metrics against sparsity, one file for each dataset and model.

    Attributes:
        metrics: the panels, in order; () draws the usual ones that have rows.
        tolerance: how far below dense Region I reaches, a fraction: 0.01 is one percentage point.
        band: spread over seeds: `std`, `range` or `none`.
        split: where the metrics were measured; regions are always decided on test.
        baseline: what `mce` and `relative_mce` are divided by: `dense`, or the folder of a run (`analysis.mce`).
    """

    metrics: tuple[str, ...] = ()
    tolerance: float = 0.01
    band: Band = "std"
    split: Literal["test", "val", "train"] = "test"
    baseline: str = "dense"

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `curves-<dataset>-<model>`, with the plotted points as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: nothing is left to draw, a metric has no rows, or rows of several settings cannot be compared.
        """
        baseline = rows[rows["run"] == self.baseline]  # it need not be selected
        rows = self.select(rows)
        corrupted = pd.concat([rows, baseline]).drop_duplicates()
        corrupted = measured(corrupted[corrupted["metric"] == "corruption_error"], self.settings)
        indices = corruption_indices(corrupted, self.baseline)
        rows = rows[rows["run"] != rows["dense"]]
        if rows.empty:
            raise UsageError("only dense models to draw", "curves need tickets", "ticketsearch run pruner=lth")
        usable = (rows["variant"] == "") & (rows["split"] == self.split) & (rows["status"] == "ok")
        there = set(rows.loc[usable, "metric"])
        base.require("metrics", self.metrics, there | (set(INDICES) if "corruption_error" in there else set()))
        charts = [_chart(self, group, indices) for _, group in rows.groupby(["dataset", "model"])]
        looks = base.looks(label for chart in charts for label in chart.labels.values())
        written = []
        for chart in charts:
            with base.style():
                name = "curves-{dataset}-{model}".format(**chart.points.iloc[0])
                written += self.save(_page(chart, looks), chart.points[COLUMNS], folder, name)
        return written


@dataclass(frozen=True)
class _Chart:
    """What one page shows; `points` and `dense` are statistics over seeds, a point a line; `epochs` as far as known."""

    shown: dict[str, base.Presentation]
    points: pd.DataFrame
    dense: pd.DataFrame
    labels: dict[str, str]
    regions: dict[str, Regions]
    notes: list[str]
    epochs: set[int]


def _chart(figure: Curves, rows: pd.DataFrame, indices: pd.DataFrame) -> _Chart:
    """Everything that the page of one dataset and model needs; `indices` are rows of all of them."""
    names = dict(sorted(labels(rows).items(), key=lambda item: item[1]))
    values = measured(rows, figure.settings)
    values = pd.concat([values, indices[indices["run"].isin(names)]], ignore_index=True)
    decided = {run: regions(values, run, figure.tolerance) for run in names}
    epochs = set(trained_epochs(rows))
    rows, values = (part[(part["variant"] == "") & (part["split"] == figure.split)] for part in (rows, values))
    metrics = _panels(figure.metrics, values)
    values = values[values["metric"].isin(metrics)]
    dense = _dense(values, figure.band)
    points = statistics(values, IDENTITY, figure.band)
    points = points.merge(dense[["dense", "metric", "mean"]].rename(columns={"mean": "dense_mean"}), how="left")
    points["label"] = points["run"].map(names)
    points["region"] = [decided[run].of(round) for run, round in zip(points["run"], points["round"], strict=True)]
    points["x"] = points["sparsity"].map(base.position)
    shown = {metric: base.presentation(metric, values) for metric in metrics}
    notes = list(_notes(latest(rows), points, names, decided, metrics))
    return _Chart(shown, points, dense, names, decided, notes, epochs)


def _panels(wanted: tuple[str, ...], values: pd.DataFrame) -> list[str]:
    """The metrics to draw, in order; by default only one of two that say the same: `nll` and `loss`, and `mce` and
    `corruption_error` where every ticket has both.
    """
    points = values.groupby("metric").size()
    present, better = set(points.index), (("nll", "loss"), ("mce", "corruption_error"))
    hidden = {than for one, than in better if not wanted and points.get(one, 0) >= points.get(than, 0)}
    panels = [metric for metric in wanted or DEFAULT if metric in present - hidden]
    if not panels:
        there = ", ".join(sorted(present)) or "none"
        raise UsageError("there is no metric to draw", f"name some of those measured: {there}")
    return panels


def _dense(values: pd.DataFrame, band: Band) -> pd.DataFrame:
    """The dense models, each once: their rows are round 0 of every run that uses them."""
    rows = values[values["round"] == 0]
    rows = rows.assign(run=rows["dense"], label="dense", pruner="dense", schedule="", rewind="", prunable="")
    table = statistics(rows.drop_duplicates(["run", "metric", "seed"]), ["run", "metric"], band)
    table["label"] = table["run"].map(labels(rows))
    return table.rename(columns={"run": "dense"})


def _notes(
    rows: pd.DataFrame, points: pd.DataFrame, names: dict[str, str], decided: dict[str, Regions], metrics: list[str]
) -> Iterator[str]:
    """What is not drawn and what is not known; curves and metrics with the same gap share a note."""
    drawn = points.groupby(["run", "metric"])["round"].agg(set).to_dict()
    told: dict[str, list[str]] = {}
    for run, name in names.items():
        own = rows[rows["run"] == run]
        gaps: dict[str, list[str]] = {}
        for metric in metrics:
            for gap in _gaps(own["round"].max(), own[own["metric"] == metric], drawn.get((run, metric), set())):
                gaps.setdefault(gap, []).append(metric)
        notes = [f"{'all metrics' if which == metrics else ', '.join(which)} {gap}" for gap, which in gaps.items()]
        for note in (*notes, *decided[run].notes):
            told.setdefault(note, []).append(name)
    for note, who in told.items():
        yield note if len(who) == len(names) else f"{', '.join(who)}: {note}"


def _gaps(last: int, rows: pd.DataFrame, drawn: set[int]) -> Iterator[str]:
    """Where a metric of a run has no point up to the run's last round, and why: error, skipped or missing."""
    reasons: dict[str, list[int]] = {}
    for round in sorted({*range(1, last + 1), *rows["round"]} - drawn):
        failed = set(rows.loc[rows["round"] == round, "status"]) - {"ok"}
        reasons.setdefault(min(failed, default="missing"), []).append(round)
    for reason, rounds in reasons.items():
        yield f"{reason} at {spans(rounds)}"


def _page(chart: _Chart, looks: Looks) -> Page:
    """A grid of panels over the legend and the notes; lengths in inches."""
    columns = min(len(chart.shown), 3)
    lines = math.ceil(len(chart.shown) / columns)
    width, tall = {1: (3.5, 2.5), 2: (5.4, 2.2)}.get(columns, (7.2, 1.95))
    notes = textwrap.wrap("; ".join(chart.notes), int(17 * width), max_lines=5)
    keys = [*_packed(_curve_keys(chart, looks), width), *_packed(_style_keys(chart), width)]
    head, foot = 0.3, 0.17 * len(keys) + 0.11 * len(notes) + 0.15
    height = head + lines * tall + foot
    page = Page(figsize=(width, height))
    inside = (0, foot / height, 1, 1 - (head + foot) / height)
    page.set_layout_engine("constrained", rect=inside, h_pad=0.05, w_pad=0.06)
    page.text(0.5, 1 - 0.15 / height, _title(chart), ha="center", va="center", size=9, weight="bold")
    for line, handles in enumerate(keys):
        at = (0.5, (foot - 0.05 - 0.17 * line) / height)
        page.legend(
            handles=handles, loc="upper center", bbox_to_anchor=at, ncols=len(handles), borderpad=0, borderaxespad=0
        )
    page.text(0.5, 0.05 / height, "\n".join(notes), ha="center", va="bottom", size=6, color=GREYS[0])
    grid = list(page.subplots(lines, columns, squeeze=False).flat)
    for index, (axes, metric) in enumerate(zip(grid, chart.shown, strict=False)):
        _panel(axes, chart, metric, looks)
        axes.set_xlabel("Sparsity (%)" if index + columns >= len(chart.shown) else "")
    for axes in grid[len(chart.shown) :]:
        axes.remove()
    return page


def _title(chart: _Chart) -> str:
    first, said = chart.points.iloc[0], []
    for counts, what in ((set(chart.points["seeds"]), "seed"), (chart.epochs, "epoch")):
        if counts:
            low, high = min(counts), max(counts)
            said.append(f"{low}" + f"-{high}" * (high > low) + f" {what}" + "s" * (high > 1))
    return " · ".join([first["dataset"], first["model"], *said])


def _panel(axes: Axes, chart: _Chart, metric: str, looks: Looks) -> None:
    """One metric: the dense models, the ends of Region I, the curves."""
    shown = chart.shown[metric]
    for name, colour in _greys(chart).items():
        for _, line in chart.dense[(chart.dense["label"] == name) & (chart.dense["metric"] == metric)].iterrows():
            axes.axhline(shown.scale * line["mean"], color=colour, ls="-.", lw=1, zorder=2, gid=f"{line['dense']}")
            axes.axhspan(shown.scale * line["low"], shown.scale * line["high"], color=colour, alpha=0.12, lw=0)
    stacked = _boundaries(axes, chart, looks)
    for run, label in chart.labels.items():
        own = chart.points[(chart.points["run"] == run) & (chart.points["metric"] == metric)]
        if not own.empty:
            _curve(axes, own, chart.regions[run], shown.scale, looks[label])
    axes.set_title(shown.title, pad=3 + 5 * stacked)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if max(map(abs, axes.get_ylim())) >= 1e4:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    base.sparsity_axis(axes, chart.points["x"].replace(np.inf, np.nan).max())


def _curve(axes: Axes, points: pd.DataFrame, where: Regions, scale: float, look: tuple[str, str]) -> None:
    """A line for each region, from the last point of the region before; gaps are NaN, where lines and bands break."""
    colour, marker = look
    grid = points.set_index("round").reindex(range(points["round"].max() + 1))[["x", "mean", "low", "high"]]
    grid = grid.replace([np.inf, -np.inf], np.nan) * [1, scale, scale, scale]
    axes.fill_between(grid["x"], grid["low"], grid["high"], color=colour, alpha=0.15, lw=0)
    for region, members in groupby(grid.index, where.of):
        first, *_, last = [*members] * 2
        piece = grid.loc[max(first - 1, 0) : last]
        axes.plot(
            piece["x"], piece["mean"], ls=STYLES[region], color=colour, gid=f"{where.run}/{region}", zorder=3,
            marker=marker, ms=2.5, mew=0.6, mfc=colour if region == "I" else "white", markevery=slice(first > 0, None),
        )  # fmt: skip


def _boundaries(axes: Axes, chart: _Chart, looks: Looks) -> int:
    """A line at each run's last round in Region I, where a later one is not; returns how many coincide at most.

    Lines that coincide share the dashes between them, and their markers are stacked on top of the panel.
    """
    ends: dict[float, list[str]] = {}
    for run, region in chart.regions.items():
        if region.last_round_in_I < region.rounds[-1]:
            sparsity = region.sparsity[region.rounds.index(region.last_round_in_I)]
            ends.setdefault(round(base.position(sparsity), 6), []).append(run)
    for x, runs in ends.items():
        for place, run in enumerate(runs):
            colour, marker = looks[chart.labels[run]]
            dashes = (3.0 * place, (3, 3 * (len(runs) - 1))) if len(runs) > 1 else "-"
            axes.axvline(x, color=colour, lw=0.8, ls=dashes, zorder=1.5, gid=f"{run}/end")
            top = axes.get_xaxis_transform()
            axes.plot(x, 1.03 + 0.05 * place, marker, color=colour, ms=3, mew=0, transform=top, clip_on=False)
    return max(map(len, ends.values()), default=0)


def _greys(chart: _Chart) -> dict[str, str]:
    """The colour of each dense model, by label."""
    return {name: GREYS[index % len(GREYS)] for index, name in enumerate(sorted(set(chart.dense["label"])))}


def _curve_keys(chart: _Chart, looks: Looks) -> list[Line2D]:
    curves = [
        Line2D([], [], color=looks[name][0], marker=looks[name][1], ms=3.5, label=name)
        for name in chart.labels.values()
    ]
    return curves + [Line2D([], [], color=colour, ls="-.", lw=1, label=name) for name, colour in _greys(chart).items()]


def _style_keys(chart: _Chart) -> list[Line2D]:
    drawn = [region for region in STYLES if (chart.points["region"] == region).any()]
    keys = [Line2D([], [], color="black", ls=STYLES[region], label=f"Region {region}") for region in drawn]
    if len(drawn) > 1:
        keys.append(Line2D([], [], color="black", ls="", marker="|", ms=8, mew=0.8, label="end of Region I"))
    return keys


def _packed(keys: list[Line2D], width: float) -> Iterator[list[Line2D]]:
    """Legend keys in lines of at most `width` inches, by the width that text of the legend's size has on average."""
    lines: list[list[Line2D]] = [[]]
    left = width
    for key in keys:
        need = 0.5 + 0.06 * len(str(key.get_label()))
        if lines[-1] and need > left:
            lines.append([])
            left = width
        lines[-1].append(key)
        left -= need
    yield from lines
