"""Density of the eigenvalues of the Hessian (Ghorbani et al. 2019, "An Investigation into Neural Net Optimization via
Hessian Eigenvalue Density"; Yao et al. 2020).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Gt, Le, Lt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D

from ticketsearch.analysis.seeds import measured
from ticketsearch.figures import base, tickets
from ticketsearch.figures.reliability import USUAL
from ticketsearch.figures.sheet import WIDTH, sheet

COLUMNS = ["dataset", "model", "run", "label", "round", "sparsity", "seed", "place", "value", "share"]
KEYS = ["run", "round", "seed", "variant"]
LOOKS = (
    ("black", "-."),
    (base.COLOURS[0], "-"),
    (base.COLOURS[4], "--"),
    (base.COLOURS[1], ":"),
    (base.COLOURS[2], "-"),
)
"""Of the dense models and of the sparsities from left to right; further ones begin anew after the first."""
DEPTH = 1e-7
"""Where the density's axis begins, beside its greatest value: about one direction in ten million."""


@dataclass(frozen=True)
class Spectrum(base.Figure):
    """Eigenvalue densities on a logarithmic scale, a panel for each run: its dense models and some of its tickets.

    Each Ritz value is a Gaussian with its share of the spectrum, as usual; the few greatest stand by themselves. The
    density is the mean over seeds. With few steps of Lanczos' iteration the bulk is coarse: its humps are no structure,
    and `metrics.hessian.steps=80` resolves it.

    Attributes:
        sparsities: fractions, a curve each; () draws those of the runs that are nearest to 48.8, 79.0 and 95.6 %.
        width: standard deviation of the Gaussians, a fraction of the range of all eigenvalues of the page.
    """

    sparsities: tuple[Annotated[float, Gt(0), Lt(1)], ...] = ()
    width: Annotated[float, Gt(0), Le(1)] = 0.01

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `spectrum-<dataset>-<model>`, with the Ritz values and their shares as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: there are no spectra, or rows of several settings cannot be compared.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        found, others = tickets.drawable(pages, lambda page: _spectra(page, self.sparsities, self.settings))
        for page, spectra in found:
            with base.style():
                drawn, name = _page(page, spectra, self.width, others), f"spectrum-{page.dataset}-{page.model}"
                written += self.save(drawn, spectra.nodes[COLUMNS], folder, name)
        return written


@dataclass(frozen=True)
class _Spectra:
    """What one page shows: the rounds of each run, a curve each, the dense one first; `nodes` a line a Ritz value."""

    curves: list[dict[str, int]]
    nodes: pd.DataFrame
    notes: list[str]


def _spectra(subject: tickets.Subject, sparsities: Sequence[float], settings: Sequence[str]) -> _Spectra:
    named = subject.rows[subject.rows["metric"].isin(["spectrum_value", "spectrum_share"])]
    values = measured(named, settings)
    if values[values["round"] > 0].empty:
        raise tickets.lacking(subject.rows, "spectrum_value", "hessian")
    near = [(None, usual) for usual in USUAL] if not sparsities else [(wanted, wanted) for wanted in sparsities]
    curves = [tickets.at_sparsity(values, wanted, "spectrum", usual) for wanted, usual in near]
    curves = [dict.fromkeys(subject.names, 0), *(c for n, c in enumerate(curves) if c not in curves[:n])]
    wide = values.pivot_table("value", [*KEYS, "sparsity"], "metric").reset_index()
    shown = {(run, round) for curve in curves for run, round in curve.items()}
    wide = wide[[at in shown for at in zip(wide["run"], wide["round"], strict=True)]]
    nodes = wide.rename(columns={"spectrum_value": "value", "spectrum_share": "share"}).assign(
        place=wide["variant"].astype(int), label=wide["run"].map(subject.names), dataset=subject.dataset,
        model=subject.model,
    )  # fmt: skip
    at = pd.concat([tickets.of_rounds(named, curve) for curve in curves])
    nodes = nodes.sort_values(["label", "round", "seed", "place"], ignore_index=True)
    return _Spectra(curves, nodes, tickets.failures(at, subject.names))


def density(values: np.ndarray, shares: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """The mixture of Gaussians that stands for a spectrum.

    Args:
        values: means, [k].
        shares: their weights, [k], in all 1.
        at: where, [m].
        width: standard deviation.

    Returns:
        The density, per unit of eigenvalue, [m]; its integral is 1.
    """
    away = (at[:, None] - values) / width
    return np.exp(-0.5 * away**2) @ shares / (width * math.sqrt(2 * math.pi))


def _page(subject: tickets.Subject, spectra: _Spectra, width: float, others: Sequence[str]) -> Page:
    nodes = spectra.nodes
    names = [name for name in subject.names.values() if name in set(nodes["label"])]
    columns = min(2, len(names))
    lines, steps = math.ceil(len(names) / columns), nodes.groupby(KEYS[:3])["place"].max()
    title = f"{subject.dataset} · {subject.model} · {nodes['seed'].nunique()} seed{'s' * (nodes['seed'].nunique() > 1)}"
    told = "-".join(str(n) for n in sorted({steps.min(), steps.max()}))
    notes = [f"{told} steps of Lanczos' iteration a seed, beginning with a random vector", *spectra.notes, *others]
    page = sheet(WIDTH if columns > 1 else 4.8, 2.3 * lines, title, _keys(spectra), notes)
    grid = page.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    span = max(float(np.ptp(nodes["value"])), 1e-12)
    at = np.linspace(nodes["value"].min() - 0.05 * span, nodes["value"].max() + 0.05 * span, 1000)
    highest = 0.0
    for axes, name in zip(grid.flat, names, strict=False):
        highest = max(highest, *_panel(axes, nodes[nodes["label"] == name], spectra.curves, at, width * span))
        axes.set_title(name)
    grid.flat[0].set(yscale="log", ylim=(DEPTH * highest, 3 * highest))
    for axes in grid.flat[len(names) :]:
        axes.remove()
    for axes in grid[-1]:
        axes.set_xlabel("Eigenvalue")
    for axes in grid[:, 0]:
        axes.set_ylabel("Density")
    return page


def _panel(
    axes: Axes, nodes: pd.DataFrame, curves: Sequence[dict[str, int]], at: np.ndarray, width: float
) -> list[float]:
    """The curves of one run; returns how high each is."""
    highest, run = [0.0], nodes["run"].iloc[0]
    for place, curve in enumerate(curves):
        own = nodes[nodes["round"] == curve.get(run, -1)]
        seeds = [
            density(each["value"].to_numpy(), each["share"].to_numpy(), at, width) for _, each in own.groupby("seed")
        ]
        if seeds:
            mean = np.mean(seeds, axis=0)
            axes.plot(at, mean, lw=1, gid=f"{run}/{curve[run]}", **_look(place))
            highest.append(float(mean.max()))
    return highest


def _look(place: int) -> dict[str, Any]:
    colour, dashes = LOOKS[place if place < len(LOOKS) else 1 + (place - 1) % (len(LOOKS) - 1)]
    return {"color": colour, "ls": dashes}


def _keys(spectra: _Spectra) -> list[Line2D]:
    keys = []
    for place, curve in enumerate(spectra.curves):
        name = tickets.where(spectra.nodes, curve) if any(curve.values()) else "dense"
        keys.append(Line2D([], [], lw=1, label=name.replace(" sparsity", ""), **_look(place)))
    return keys
