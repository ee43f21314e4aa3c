"""What accuracy costs: test accuracy against the bytes of a ticket and the multiply-adds of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge, Lt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from ticketsearch.analysis.seeds import measured, statistics
from ticketsearch.figures import base, tickets
from ticketsearch.figures.sheet import WIDTH, sheet

COLUMNS = [
    "dataset", "model", "cost", "run", "label", "round", "sparsity", "cost_mean", "cost_std", "accuracy", "std",
    "seeds", "front",
]  # fmt: skip
COSTS = {"ticket_bytes": "Stored ticket (bytes) ↓", "macs": "Multiply-adds per image ↓"}
IDENTITY = ["run", "round"]
DEPTH, LEAST = 0.1, 0.002
"""How far the axis of accuracy reaches below the dense model, and what it spans at least."""
FAMILIES = {"accuracy": "accuracy", **dict.fromkeys(COSTS, "ticket")}


@dataclass(frozen=True)
class Pareto(base.Figure):
    """Accuracy against bytes and multiply-adds, a point for each round, one file for each dataset and model.

    Both axes of cost are logarithmic, bytes in powers of two (1 KiB is 1,024 bytes), multiply-adds with SI prefixes.
    Masks simulate sparsity: the costs are those of a sparse implementation (`docs/rows.md`). A point is a mean over
    seeds, its bars +- 1 standard deviation (ddof=1). The front joins the points than which none, of any run and dense
    included, costs no more and is at least as accurate, one of the two strictly; it is of means, and says nothing of
    whether two of them differ by more than chance.

    Attributes:
        split: where the accuracy was measured.
        lowest: where the axis of accuracy begins, a fraction; null: 10 percentage points below the dense model, so
            that what collapsed hides no differences. Points below it are counted in a note, and are in the CSV.
    """

    split: Literal["test", "val"] = "test"
    lowest: Annotated[float, Ge(0), Lt(1)] | None = None

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `pareto-<dataset>-<model>`, with the points as CSV.

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
        found, others = tickets.drawable(pages, lambda page: _points(page, self.split, self.settings))
        for page, points in found:
            with base.style():
                name = f"pareto-{page.dataset}-{page.model}"
                drawn = _page(page, points, self, others, looks)
                written += self.save(drawn, points[COLUMNS], folder, name)
        return written


def _points(subject: tickets.Subject, split: str, settings: Sequence[str]) -> pd.DataFrame:
    """A line for each cost, run and round."""
    rows = subject.rows[(subject.rows["variant"] == "") & subject.rows["metric"].isin(list(FAMILIES))]
    rows = measured(rows[(rows["split"] == split) | (rows["metric"] != "accuracy")], settings)
    for metric, family in FAMILIES.items():
        if metric not in set(rows["metric"]):
            raise tickets.lacking(subject.rows, metric, family)
    accuracy = statistics(rows[rows["metric"] == "accuracy"], IDENTITY)
    parts = []
    for cost in COSTS:
        own = statistics(rows[rows["metric"] == cost], IDENTITY)[[*IDENTITY, "mean", "std"]]
        own = own.rename(columns={"mean": "cost_mean", "std": "cost_std"})
        table = accuracy.rename(columns={"mean": "accuracy"}).merge(own, on=IDENTITY)
        parts.append(table.assign(cost=cost, front=front(table["cost_mean"], table["accuracy"])))
    points = pd.concat(parts, ignore_index=True)
    points = points.assign(dataset=subject.dataset, model=subject.model, label=points["run"].map(subject.names))
    return points.sort_values(["cost", "label", "round"], ignore_index=True)


def front(cost: "pd.Series[float]", accuracy: "pd.Series[float]") -> "pd.Series[bool]":
    """Which points no other dominates.

    Args:
        cost: of each, less is better.
        accuracy: of each, more is better.

    Returns:
        True where every other point costs more, or is less accurate, or is equal in both.
    """
    x, y = cost.to_numpy(), accuracy.to_numpy()
    no_worse = (x[None] <= x[:, None]) & (y[None] >= y[:, None])
    better = (x[None] < x[:, None]) | (y[None] > y[:, None])
    return pd.Series(~(no_worse & better).any(axis=1), cost.index)


def _page(
    subject: tickets.Subject,
    points: pd.DataFrame,
    figure: Pareto,
    others: Sequence[str],
    looks: Mapping[str, tuple[str, str]],
) -> Page:
    seeds = sorted(set(points["seeds"]))
    many = "-".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    title = f"{subject.dataset} · {subject.model} · {many} seed{'s' * (seeds[-1] > 1)}"
    bottom = _bottom(points, figure.lowest)
    notes = [*_notes(subject, points, figure.split), *others]
    if below := len(points[points["accuracy"] < bottom].drop_duplicates(IDENTITY)):
        notes.append(f"{below} ticket{'s' * (below > 1)} below {100 * bottom:.4g} % not shown")
    page = sheet(WIDTH, 2.75, title, _keys(subject, looks), notes)
    panels = page.subplots(1, len(COSTS), sharey=True)
    for axes, cost in zip(panels, COSTS, strict=True):
        _panel(axes, points[points["cost"] == cost], bottom, looks)
        axes.set_xlabel(COSTS[cost])
        _units(axes, cost)
    top = min(1.0, (points["accuracy"] + points["std"].fillna(0)).max())
    panels[0].set_ylim(100 * bottom, 100 * max(top + 0.04 * (top - bottom), bottom + LEAST))
    panels[0].set_ylabel(f"{'Test' if figure.split == 'test' else 'Validation'} accuracy (%) ↑")
    return page


def _bottom(points: pd.DataFrame, lowest: float | None) -> float:
    """Where the axis begins: a little below the worst point where nothing is lower than is asked for."""
    dense = points.loc[points["round"] == 0, "accuracy"]
    wanted = max(0.0, dense.min() - DEPTH) if lowest is None and len(dense) else lowest or 0.0
    if points["accuracy"].min() < wanted:
        return wanted
    worst, best = (points["accuracy"] - points["std"].fillna(0)).min(), points["accuracy"].max()
    return max(worst - 0.05 * max(best - worst, LEAST), wanted if lowest else 0.0)


def _notes(subject: tickets.Subject, points: pd.DataFrame, split: str) -> list[str]:
    rows = subject.rows[(subject.rows["variant"] == "") & (subject.rows["split"].isin([split, "test"]))]
    rows = rows[rows["metric"].isin(list(FAMILIES)) & (rows["weights"] == "last")]
    there = set(zip(points["run"], points["round"], strict=True))
    absent = [name for run, name in subject.names.items() if (run, 0) not in there]
    return tickets.failures(rows, subject.names) + (
        [tickets.of_runs("no dense point", absent, subject.names)] if absent else []
    )


def _keys(subject: tickets.Subject, looks: Mapping[str, tuple[str, str]]) -> list[Line2D]:
    runs = [
        Line2D([], [], color=looks[name][0], marker=looks[name][1], ms=3.5, lw=0.9, label=name)
        for name in subject.names.values()
    ]
    dense = Line2D([], [], color="black", marker="*", ms=8, ls="", label="dense")
    ring = Line2D([], [], color="black", lw=0.9, ls=(0, (4, 1.5)), marker="o", mfc="none", ms=6, mew=0.8)
    ring.set_label("Pareto front of all")
    return [*runs, dense, ring]


def _panel(axes: Axes, points: pd.DataFrame, bottom: float, looks: Mapping[str, tuple[str, str]]) -> None:
    """One cost: a line for each run, the dense models over them, the front over all."""
    for name, own in points.groupby("label"):
        colour, marker = looks[str(name)]
        shown = own["accuracy"] >= bottom  # bars of other points would cross the panel
        bars = axes.errorbar(
            own["cost_mean"], 100 * own["accuracy"], xerr=own["cost_std"].where(shown),
            yerr=100 * own["std"].where(shown), color=colour, elinewidth=0.5, lw=0.9, alpha=0.9,
            marker=marker, ms=2.8, mew=0,
        )  # fmt: skip
        bars.lines[0].set_gid(f"{name}")
    dense = points[points["round"] == 0].drop_duplicates(["cost_mean", "accuracy"])
    axes.plot(dense["cost_mean"], 100 * dense["accuracy"], "*", color="black", ms=8, mew=0, zorder=4, gid="dense")
    best = points[points["front"]].sort_values(["cost_mean", "accuracy"]).drop_duplicates(["cost_mean", "accuracy"])
    axes.plot(
        best["cost_mean"], 100 * best["accuracy"], color="black", lw=0.9, ls=(0, (4, 1.5)), marker="o", mfc="none",
        ms=6, mew=0.8, drawstyle="steps-post", zorder=3, gid="front",
    )  # fmt: skip
    axes.set_xscale("log", base=2)


def _units(axes: Axes, cost: str) -> None:
    """Ticks where a reader expects them: powers of two with KiB and MiB, or 1, 2 and 5 with SI prefixes."""
    if cost == "ticket_bytes":
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: binary(value)))
    else:
        axes.set_xscale("log", base=10)
        low, high = axes.get_xlim()
        subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())


def binary(size: float) -> str:
    """Bytes with a binary prefix, e.g. `512 B`, `64 KiB`, `1 MiB`."""
    power = int(np.clip(np.log2(size) // 10, 0, 3)) if size > 0 else 0
    return f"{size / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
