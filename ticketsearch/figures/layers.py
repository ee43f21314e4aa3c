"""Where a pruner prunes: the density of every layer, round by round."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ticketsearch.analysis.seeds import measured
from ticketsearch.figures import base, tickets
from ticketsearch.figures.sheet import GREY, WIDTH, sheet

COLUMNS = [
    "dataset", "model", "run", "label", "round", "sparsity", "layer", "place", "weights", "density", "seeds", "dead",
]  # fmt: skip
WHOLE = "all layers"
LARGEST = 10**8
"""Layers of more weights than this have no size: densities are too coarse to tell it by."""


@dataclass(frozen=True)
class Layers(base.Figure):
    """Density of each layer over rounds, a map for each run, one file for each dataset and model.

    Layers are from top to bottom as in the model, with their numbers of weights; the last line is all of them. The
    colour is the logarithm of the mean over seeds; round 0 is dense by definition. A cross marks a layer of which
    nothing is alive in any seed, a diamond one that is dead in some.
    """

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `layers-<dataset>-<model>`, with the densities as CSV.

        Args:
            rows: tidy rows in the order of measuring, as `load_results` has them: of it the order of layers is taken.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: there are no densities of layers.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        found, others = tickets.drawable(pages, lambda page: densities(page, self.settings))
        for page, table in found:
            with base.style():
                written += self.save(
                    _page(page, table, others), table[COLUMNS], folder, f"layers-{page.dataset}-{page.model}"
                )
        return written


def densities(subject: tickets.Subject, settings: Sequence[str] = ()) -> pd.DataFrame:
    """The density of each layer of each run and round, means over seeds.

    Args:
        subject: the runs.
        settings: hashes to take where it was measured in several ways.

    Returns:
        The columns of the CSV: `place` is that of the layer in the model, from 0; `weights` is its size, <NA> where
        it cannot be told; `dead` is the share of seeds in which nothing of it is alive.

    Raises:
        UsageError: there are none.
    """
    named = subject.rows[subject.rows["metric"] == "layer_density"]
    rows = measured(named, settings)
    if rows[rows["round"] > 0].empty:
        raise tickets.lacking(subject.rows, "layer_density", "ticket")
    rows, order = rows[rows["round"] > 0], layer_order(named)
    table = rows.assign(dead=rows["value"] == 0).groupby(["run", "round", "variant"], as_index=False).agg(
        sparsity=("sparsity", "mean"), density=("value", "mean"), seeds=("seed", "count"), dead=("dead", "mean")
    )  # fmt: skip
    dense = table.drop_duplicates(["run", "variant"]).assign(round=0, sparsity=0.0, density=1.0, dead=0.0)
    table = pd.concat([dense, table], ignore_index=True)
    sizes = layer_sizes(rows)
    table = table.rename(columns={"variant": "layer"}).assign(dataset=subject.dataset, model=subject.model)
    table["label"], table["place"] = table["run"].map(subject.names), table["layer"].map(order)
    table["weights"] = table["layer"].map(sizes).astype("Int64")
    return table.sort_values(["label", "round", "place"], ignore_index=True)


def layer_order(rows: pd.DataFrame) -> dict[str, int]:
    """The place of each layer in the model, from 0.

    Args:
        rows: rows of `layer_density` of one model, those of each ticket in the order of measuring. Runs differ in what
            is prunable, so the tickets with most layers come first.
    """
    counts = rows.groupby(["run", "seed", "round"])["variant"].transform("size")
    ordered = rows.iloc[(-counts).argsort(kind="stable")]
    return {str(layer): place for place, layer in enumerate(dict.fromkeys(ordered["variant"]))}


def layer_sizes(rows: pd.DataFrame) -> dict[str, int]:
    """How many prunable weights each layer has.

    No row says it, but a density is a ratio of whole numbers: a size is the least common denominator of a layer's
    densities. It is believed only where, in every ticket, the weights that the sizes make alive are those `kept`.

    Args:
        rows: rows of `layer_density` of one model that count.

    Returns:
        Layer -> weights; empty where the sizes do not add up.
    """
    ratios = rows.groupby("variant")["value"].agg(lambda values: sorted(set(values)))
    found = {
        str(layer): math.lcm(*(Fraction(value).limit_denominator(LARGEST).denominator for value in values))
        for layer, values in ratios.items()
    }
    alive = rows["value"] * rows["variant"].map(found).astype(float)
    summed = alive.groupby([rows[name] for name in ("run", "seed", "round")]).sum()
    kept = rows.groupby(["run", "seed", "round"])["kept"].first()
    return found if np.allclose(summed, kept.reindex(summed.index), rtol=0, atol=0.5) else {}


def _page(subject: tickets.Subject, table: pd.DataFrame, others: Sequence[str]) -> Page:
    """Maps of all runs, two in a line, which share their colours; names of layers at the left."""
    names = [name for name in subject.names.values() if name in set(table["label"])]
    columns, lines = min(2, len(names)), math.ceil(len(names) / 2)
    layers = table.drop_duplicates("layer").sort_values("place")
    tall = 0.95 + max(0.115 * (len(layers) + 2), 0.7)
    seeds = sorted(set(table["seeds"]))
    many = "-".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    title = f"{subject.dataset} · {subject.model} · {many} seed{'s' * (seeds[-1] > 1)}"
    page = sheet(WIDTH if columns > 1 else 4.8, lines * tall, title, _keys(table), [*_notes(subject, table), *others])
    grid = page.subplots(lines, columns, squeeze=False, sharey=True)
    alive = table.loc[table["density"] > 0, "density"]
    norm = LogNorm(min(alive.min(), 0.5), 1)
    for axes, name in zip(grid.flat, names, strict=False):
        image = _map(axes, table[table["label"] == name], layers, norm)
        axes.set_title(textwrap.fill(name, 44))
    for axes in grid.flat[len(names) :]:
        axes.remove()
    bar = page.colorbar(image, ax=list(grid.flat[: len(names)]), fraction=0.04, pad=0.02, aspect=30, use_gridspec=False)
    bar.set_label("Density, weights alive (%)")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    bar.ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    return page


def _keys(table: pd.DataFrame) -> list[Line2D]:
    marks = ((_dead(table), "x", "dead in every seed"), (_partly(table), "D", "dead in some seeds"))
    return [
        Line2D([], [], color=GREY, ls="", marker=marker, mfc="white", ms=3.5, mew=0.8, label=f"layer {name}")
        for which, marker, name in marks
        if which.any()
    ]


def _notes(subject: tickets.Subject, table: pd.DataFrame) -> list[str]:
    rows = subject.rows[subject.rows["metric"] == "layer_density"]
    notes = tickets.failures(rows, subject.names)
    absent = [name for name in subject.names.values() if name not in set(table["label"])]
    notes += [tickets.of_runs("no rows of layer_density", absent, subject.names)] if absent else []
    return notes + ["the layers' sizes cannot be told from these rows"] * bool(table["weights"].isna().any())


def _dead(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["dead"] == 1


def _partly(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["dead"].between(0, 1, inclusive="neither")


def _map(axes: Axes, table: pd.DataFrame, layers: pd.DataFrame, norm: LogNorm) -> QuadMesh:
    """One run: a line for each layer and one for all, a column for each round."""
    grid = table.pivot_table("density", "place", "round").reindex(layers["place"])
    sparsity = table.groupby("round")["sparsity"].mean()
    whole = len(grid) + 0.4  # set apart
    shown = np.ma.masked_invalid(grid.where(grid > 0).to_numpy())
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="0.85")
    edges = np.arange(grid.shape[1] + 1) - 0.5
    image = axes.pcolormesh(edges, np.arange(len(grid) + 1) - 0.5, shown, norm=norm, cmap=colours, gid="layers")
    total = (1 - sparsity.reindex(grid.columns)).to_numpy()[None]
    axes.pcolormesh(edges, [whole - 0.5, whole + 0.5], total, norm=norm, cmap=colours, gid="whole")
    at = dict(zip(grid.columns, range(grid.shape[1]), strict=True))
    for which, marker, name in ((_dead(table), "x", "dead"), (_partly(table), "D", "partly")):
        marked = table[which]
        axes.plot(marked["round"].map(at), marked["place"], marker, color=GREY, mfc="white", ms=2.5, mew=0.7, gid=name)
    sizes = layers["weights"].map(lambda n: "" if pd.isna(n) else f"  {int(n):,}")
    names = layers["layer"].str.removesuffix(".weight") + sizes
    axes.set_yticks([*range(len(grid)), whole], [*names, WHOLE], size=6)
    axes.set_ylim(whole + 0.5, -0.5)
    step = math.ceil(grid.shape[1] / 8)
    ticks = range(0, grid.shape[1], step)
    axes.set_xticks(list(ticks), [f"{100 * sparsity[grid.columns[n]]:.3g}" for n in ticks])
    axes.set_xlabel("Sparsity (%)")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    return image
