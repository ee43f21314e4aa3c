"""One panel of curves: the dense models, the curves styled by region, the ends of Region I; and the legend's keys."""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.transforms import offset_copy

from ticketsearch.analysis.regions import Region, Regions
from ticketsearch.figures import base
from ticketsearch.figures.chart import Chart

# Dashes short enough to show between the markers of 30 rounds.
STYLES: dict[Region, Any] = {"I": "-", "II": (0, (2.2, 1.1)), "III": (0, (0.9, 0.9))}
GREYS = ("0.25", "0.5", "0.7")
READ: dict[str, Any] = {"ls": "", "marker": ".", "ms": 4.5, "mew": 0, "alpha": 0.45}
"""Points read off a publication: pale dots in the colour of the curve that they stand beside."""

STACK = 7
"""Markers above one end of Region I; more would take the place of the panel."""

Looks = Mapping[str, tuple[str, str]]


def panel(axes: Axes, chart: Chart, metric: str, looks: Looks, runs: Collection[str] | None = None) -> int:
    """Draw one metric.

    Args:
        axes: where.
        chart: of what.
        metric: one of those that the chart shows.
        looks: label -> colour and marker.
        runs: whose curves; None draws all.

    Returns:
        How many markers are stacked on top of the panel, above which a title may stand.
    """
    shown, runs = chart.shown[metric], chart.labels if runs is None else runs
    for name, colour in _greys(chart).items():
        for _, line in chart.dense[(chart.dense["label"] == name) & (chart.dense["metric"] == metric)].iterrows():
            axes.axhline(shown.scale * line["mean"], color=colour, ls="-.", lw=1, zorder=2, gid=f"{line['dense']}")
            axes.axhspan(shown.scale * line["low"], shown.scale * line["high"], color=colour, alpha=0.12, lw=0)
    stacked = _boundaries(axes, {run: chart.regions[run] for run in runs}, chart.labels, looks)
    own = dict(list(chart.points[chart.points["metric"] == metric].groupby("run")))
    for run in (run for run in runs if run in own):
        _curve(axes, own[run], chart.regions[run], shown.scale, looks[chart.labels[run]])
    _read(axes, chart.published[chart.published["metric"] == metric], shown.scale, chart, looks, runs)
    axes.set_ylim(*_limits(chart, metric))
    _outside(axes, chart, metric, looks, runs)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if max(map(abs, axes.get_ylim())) >= 1e4:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    return stacked


def _curve(axes: Axes, points: pd.DataFrame, where: Regions, scale: float, look: tuple[str, str]) -> None:
    """A line for each region, from the last point of the region before; gaps are NaN, where lines and bands break."""
    colour, marker = look
    rounds = points["round"].to_numpy()
    grid = np.full((4, rounds.max() + 1), np.nan)
    grid[:, rounds] = points[["x", "mean", "low", "high"]].to_numpy(float).T
    grid = np.where(np.isfinite(grid), grid, np.nan) * np.array([[1], [scale], [scale], [scale]])
    x, mean, low, high = grid
    axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    for region, members in groupby(range(len(x)), where.of):
        first, *_, last = [*members] * 2
        piece = slice(max(first - 1, 0), last + 1)
        axes.plot(
            x[piece], mean[piece], ls=STYLES[region], color=colour, gid=f"{where.run}/{region}", zorder=3,
            marker=marker, ms=2.5, mew=0.6, mfc=colour if region == "I" else "white", markevery=slice(first > 0, None),
        )  # fmt: skip


def _read(axes: Axes, points: pd.DataFrame, scale: float, chart: Chart, looks: Looks, runs: Collection[str]) -> None:
    """Published points beside the curves of `runs`, and beside the dense line."""
    colours = {chart.labels[run]: looks[chart.labels[run]][0] for run in runs} | {"dense": GREYS[0]}
    for label, colour in colours.items():
        own = points[points["label"] == label]
        if not own.empty:
            gid = f"published/{label}"
            axes.plot(own["round"], scale * own["value"], color=colour, gid=gid, zorder=2.5, **READ)


def _limits(chart: Chart, metric: str) -> tuple[float, float]:
    """The y axis: of all curves of the chart, so that panels side by side agree; bands do not widen it."""
    points = chart.points[(chart.points["metric"] == metric) & ~chart.points["collapsed"]]
    drawn = (points["mean"], chart.dense.loc[chart.dense["metric"] == metric, "mean"])
    read = chart.published.loc[chart.published["metric"] == metric, "value"].astype(float)
    values = chart.shown[metric].scale * pd.concat([*drawn, read]).replace([np.inf, -np.inf], np.nan).dropna()
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _outside(axes: Axes, chart: Chart, metric: str, looks: Looks, runs: Collection[str]) -> None:
    """Arrows at the edge for points of collapsed tickets that lie beyond it; those of one place are stacked."""
    (low, high), scale, stacked = axes.get_ylim(), chart.shown[metric].scale, Counter[tuple[float, bool]]()
    points = chart.points[(chart.points["metric"] == metric) & chart.points["collapsed"]]
    for line in points[points["run"].isin(list(runs))].to_dict("records"):
        below = scale * line["mean"] < low
        if below or scale * line["mean"] > high:
            place = 0.03 + 0.05 * min(stacked[line["x"], below], 18)  # then the panel is full
            stacked[line["x"], below] += 1
            axes.plot(
                line["x"], place if below else 1 - place, "v" if below else "^", color=looks[line["label"]][0],
                ms=4.5, mew=0, transform=axes.get_xaxis_transform(), zorder=4, gid=f"{line['run']}/outside",
            )  # fmt: skip


def _boundaries(axes: Axes, regions: Mapping[str, Regions], labels: Mapping[str, str], looks: Looks) -> int:
    """A line at each run's last round in Region I, where a later one is not; returns how many coincide at most.

    Lines that coincide share the dashes between them, and their markers are stacked on top of the panel; where there
    are more than `STACK` it is said how many.
    """
    ends: dict[float, list[str]] = {}
    for run, region in regions.items():
        if region.last_round_in_I < region.rounds[-1]:
            sparsity = region.sparsity[region.rounds.index(region.last_round_in_I)]
            ends.setdefault(round(base.position(sparsity), 6), []).append(run)
    top, page = axes.get_xaxis_transform(), axes.get_figure(root=True)
    for x, runs in ends.items():
        for place, run in enumerate(runs):
            colour, marker = looks[labels[run]]
            dashes = (3.0 * place, (3, 3 * (len(runs) - 1))) if len(runs) > 1 else "-"
            axes.axvline(x, color=colour, lw=0.8, ls=dashes, zorder=1.5, gid=f"{run}/end")
            if place < STACK:
                above = offset_copy(top, page, y=3 + 5 * place, units="points")
                axes.plot(x, 1, marker, color=colour, ms=3, mew=0, transform=above, clip_on=False)
        if more := len(runs[STACK:]):
            axes.text(x, 1, f" +{more}", size=5.5, transform=offset_copy(top, page, y=1, units="points"))
    return min(max(map(len, ends.values()), default=0), STACK)


def _greys(chart: Chart) -> dict[str, str]:
    """The colour of each dense model, by label."""
    return {name: GREYS[index % len(GREYS)] for index, name in enumerate(sorted(set(chart.dense["label"])))}


def curve_keys(charts: Collection[Chart], looks: Looks) -> list[Line2D]:
    """The legend's keys of curves and dense models, each label once."""
    labels = dict.fromkeys(label for chart in charts for label in chart.labels.values())
    curves = [Line2D([], [], color=looks[name][0], marker=looks[name][1], ms=3.5, label=name) for name in labels]
    greys = {name: colour for chart in charts for name, colour in _greys(chart).items()}
    return curves + [Line2D([], [], color=colour, ls="-.", lw=1, label=name) for name, colour in greys.items()]


def style_keys(charts: Collection[Chart], source: str = "") -> list[Line2D]:
    """The legend's keys of regions, as far as drawn; of published points where `source` says whose they are."""
    drawn = [region for region in STYLES if any((chart.points["region"] == region).any() for chart in charts)]
    keys = [Line2D([], [], color="black", ls=STYLES[region], label=f"Region {region}") for region in drawn]
    if len(drawn) > 1:
        keys.append(Line2D([], [], color="black", ls="", marker="|", ms=8, mew=0.8, label="end of Region I"))
    if source:
        keys.append(Line2D([], [], color="black", label=f"{source}, read off its figures", **READ))
    return keys
