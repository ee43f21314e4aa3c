"""Every metric of one sparsity on one wheel, relative to the dense model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import pandas as pd
from annotated_types import Gt, Lt
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.projections.polar import PolarAxes

from ticketsearch.figures import base, tickets
from ticketsearch.figures.compared import Compared, compared
from ticketsearch.figures.sheet import GREY, sheet

COLUMNS = [
    "dataset", "model", "run", "label", "metric", "round", "sparsity", "mean", "dense_mean", "seeds", "percent",
    "clipped",
]  # fmt: skip
FEWEST = 3
"""Metrics that make a wheel."""
WIDE = 5.0
TOGETHER = 7
"""Runs on one wheel, as many as there are colours; more have more wheels."""
LEAST, MOST = 50.0, 150.0
"""Percent of dense at the centre and at the rim, at the widest."""
RINGS = 5.0
DENSE = "dense = 100 % (its values at the spokes); outward is better"


@dataclass(frozen=True)
class Radar(base.Figure):
    """All metrics of one sparsity relative to dense on one wheel, a polygon for each run, outward always better.

    What is drawn is percent of dense: 100 value / dense where more is better, 100 dense / value where less is, of the
    means over the seeds that have both. The dense model is the circle at 100; of two zeros the ratio is 1. Halving an
    error is thus as far out as doubling an accuracy. The centre is not zero: rings are labelled, and areas mean
    nothing. What lies beyond 50 or 150 % is drawn there with a hollow marker, and is in the CSV as it is. Only metrics
    are drawn that have a direction, that every run on the wheel has, and that are nowhere negative; others are named.

    Attributes:
        metrics: the spokes, clockwise from the top; () draws the usual ones that have rows.
        sparsity: a fraction; null: of the sparsities that most runs have the one nearest to 79 %, the one of the bar
            chart of Chen et al. (2022).
    """

    metrics: tuple[str, ...] = ()
    sparsity: Annotated[float, Gt(0), Lt(1)] | None = None

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `radar-<dataset>-<model>`, with the ratios as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: fewer than three metrics are left, a metric has no rows, or rows of several settings cannot be
                compared.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        looks = tickets.looks(pages)
        there, lacking = compared(pages, self.metrics, self.sparsity, self.settings, "radar")
        shown = {id(page): what for page, what in there}
        found, few = tickets.drawable([page for page, _ in there], lambda page: _table(page, shown[id(page)]))
        for page, (table, notes) in found:
            what, told = shown[id(page)], [*notes, *shown[id(page)].notes, *lacking, *few]
            with base.style():
                drawn = _page(page, what, table, told, looks)
                written += self.save(drawn, table[COLUMNS], folder, f"radar-{page.dataset}-{page.model}")
        return written


def _table(subject: tickets.Subject, shown: Compared) -> tuple[pd.DataFrame, list[str]]:
    """A line for each spoke and run, in order, and what is no spoke."""
    table = shown.pairs.groupby(["metric", "run"], as_index=False).agg(
        round=("round", "first"), sparsity=("sparsity", "mean"), mean=("value", "mean"), dense_mean=("dense", "mean"),
        seeds=("seed", "count"),
    )  # fmt: skip
    spokes, notes = list[str](), list[str]()
    for metric in shown.metrics:
        own = table[table["metric"] == metric]
        lack = [subject.names[run] for run in shown.rounds if run not in set(own["run"])]
        if metric not in shown.better:
            notes.append(f"{metric} has no better end")
        elif lack:
            notes.append(f"{metric} is not measured for {', '.join(lack)}")
        elif (own[["mean", "dense_mean"]] < 0).any(axis=None):
            notes.append(f"{metric} is negative, so that ratios mean nothing")
        else:
            spokes.append(metric)
    if len(spokes) < FEWEST:
        what = f"{len(spokes)} metrics make no wheel for {subject.dataset} {subject.model}"
        right = "; ".join([f"a wheel needs {FEWEST} that all runs have", *notes])
        raise tickets.NothingToDraw(what, right, "ticketsearch plot figure=bars")
    table = table[table["metric"].isin(spokes)]
    table = table.assign(dataset=subject.dataset, model=subject.model, label=table["run"].map(subject.names))
    up = table["metric"].map(shown.better) > 0
    table["percent"] = 100 * _ratio(
        table["mean"].where(up, table["dense_mean"]), table["dense_mean"].where(up, table["mean"])
    )
    table["clipped"] = ~table["percent"].between(LEAST, MOST)
    place = table["metric"].map(spokes.index)
    return table.assign(place=place).sort_values(["label", "place"], ignore_index=True), notes


def _ratio(over: "pd.Series[float]", under: "pd.Series[float]") -> "pd.Series[float]":
    """Over / under; 1 where both are zero, infinite where the second is."""
    return pd.Series(np.where(over == under, 1.0, over / under.where(under > 0, np.nan)), over.index).fillna(np.inf)


def _page(
    subject: tickets.Subject,
    shown: Compared,
    table: pd.DataFrame,
    notes: Sequence[str],
    looks: Mapping[str, tuple[str, str]],
) -> Page:
    """Wheels of seven runs, one below the other; each has its own legend below it, for the runs that it shows."""
    names = list(dict.fromkeys(table["label"]))
    wheels = [names[n : n + TOGETHER] for n in range(0, len(names), TOGETHER)]
    beside = max(1, min(3, int(WIDE / (0.5 + 0.06 * max(map(len, names))))))
    title = f"{subject.dataset} · {subject.model} · {shown.where}"
    keys = [Line2D([], [], color="black", ls="-.", lw=1, label=DENSE)]
    if table["clipped"].any():
        far = f"beyond {LEAST:.0f} or {MOST:.0f} %"
        keys.append(Line2D([], [], color=GREY, ls="", marker="o", mfc="white", ms=4, label=far))
    legend = 0.17 * math.ceil(min(TOGETHER, len(names)) / beside)
    page = sheet(WIDE, len(wheels) * (3.9 + legend), title, keys, notes)
    grid = page.subplots(len(wheels), squeeze=False, subplot_kw={"projection": "polar"})
    for axes, wheel in zip(grid.flat, wheels, strict=True):
        own = table[table["label"].isin(wheel)]
        _wheel(cast(PolarAxes, axes), shown, own, _reach(table["percent"]), looks)
        axes.legend(handles=_runs(wheel, looks), loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=beside)
    return page


def _runs(names: Sequence[str], looks: Mapping[str, tuple[str, str]]) -> list[Artist]:
    return [Line2D([], [], color=looks[name][0], marker=looks[name][1], ms=3.5, label=name) for name in names]


def _reach(percent: "pd.Series[float]") -> tuple[float, float]:
    """The centre and the rim: whole rings beyond what is drawn."""
    inside = percent.clip(LEAST, MOST)
    step = 2 * RINGS
    low, high = step * math.floor((inside.min() - RINGS) / step), step * math.ceil((inside.max() + RINGS / 2) / step)
    return max(low, LEAST - step), max(high, 100 + step)


def _wheel(
    axes: PolarAxes,
    shown: Compared,
    table: pd.DataFrame,
    reach: tuple[float, float],
    looks: Mapping[str, tuple[str, str]],
) -> None:
    """Spokes clockwise from the top; a polygon for each run."""
    spokes = list(dict.fromkeys(table["metric"]))
    angles = np.linspace(0, 2 * np.pi, len(spokes), endpoint=False)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.plot(np.linspace(0, 2 * np.pi, 361), np.full(361, 100.0), color="black", ls="-.", lw=1, gid="dense")
    for name, own in table.groupby("label"):
        colour, marker = looks[str(name)]
        drawn = own["percent"].clip(LEAST, MOST).to_numpy()
        around = [*range(len(spokes)), 0]
        axes.plot(angles[around], drawn[around], color=colour, lw=1.2, gid=f"{name}")
        for clipped, face in ((False, colour), (True, "white")):
            at = (own["clipped"] == clipped).to_numpy()
            axes.plot(angles[at], drawn[at], ls="", marker=marker, ms=3.5, color=colour, mfc=face, zorder=3)
    axes.set_ylim(*reach)
    step = 10 if reach[1] - reach[0] <= 60 else 20
    rings = [ring for ring in range(0, 151, step) if reach[0] < ring <= reach[1]]
    axes.set_yticks(rings, [f"{ring} %" for ring in rings], size=6, color=GREY)
    axes.set_rlabel_position(float(np.degrees(angles[1])) / 2)
    axes.set_xticks(angles, [""] * len(spokes))
    axes.spines["polar"].set_visible(False)
    for angle, metric in zip(angles, spokes, strict=True):
        _spoke(axes, angle, metric, shown, table)


def _spoke(axes: PolarAxes, angle: float, metric: str, shown: Compared, table: pd.DataFrame) -> None:
    """The metric's name at the rim, and what 100 % is."""
    look = shown.shown[metric]
    dense = tickets.number(look.scale * table.loc[table["metric"] == metric, "dense_mean"].mean())
    name, _, unit = look.title.rstrip(" ↑↓").removesuffix(")").partition(" (")
    across, up = math.sin(angle), math.cos(angle)
    sideways = "center" if abs(across) < 0.2 else "left" if across > 0 else "right"
    upright = "bottom" if up > 0.8 else "top" if up < -0.8 else "center"
    if metric.startswith("hessian"):  # what the brackets hold is no unit
        name, unit = f"{name}\n({unit})", ""
    text = f"{name}\n{dense} {unit}".rstrip()
    at = (0.5 + 0.53 * across, 0.5 + 0.53 * up)
    axes.annotate(text, at, xycoords="axes fraction", ha=sideways, va=upright, size=6.5, annotation_clip=False)
