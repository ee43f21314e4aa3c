"""What each corruption costs: errors by type and severity (Hendrycks & Dietterich 2019)."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import pandas as pd
from annotated_types import Gt, Lt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure as Page
from matplotlib.patches import Patch

from ticketsearch.analysis.mce import corruption_indices
from ticketsearch.analysis.seeds import measured
from ticketsearch.figures import base, tickets
from ticketsearch.figures.sheet import GREY, WIDTH, sheet

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "procedural_frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""The order of Hendrycks & Dietterich; `extra`, those that they keep for validation, is in no mCE."""
ORDER = {kind: (place, group) for place, group in enumerate(GROUPS) for kind in GROUPS[group]}
COLUMNS = [
    "dataset", "model", "run", "label", "round", "sparsity", "group", "kind", "severity", "error", "dense_error",
    "change", "seeds",
]  # fmt: skip
GREYS, CHANGES = matplotlib.colormaps["Greys"], matplotlib.colormaps["RdBu_r"]
SEVERITY = r"-\d+$"
BESIDE = 4
"""Maps in a line."""
TITLE = 21
"""Letters that are as wide as a map."""


@dataclass(frozen=True)
class Corruptions(base.Figure):
    """Error by corruption and severity: of the dense models, and how the tickets of one sparsity differ from it.

    The first maps are the dense models' errors in percent, the others changes in percentage points against the dense
    models of the same seeds, red where tickets err more. Numbers are means over seeds. Ratios to dense, of which mCE
    is made, would let the mildest corruptions look worst, where the dense model hardly errs. mCE (dense = 100) is the
    mean over seeds of `analysis.mce`.

    Attributes:
        sparsity: a fraction; null: of the sparsities that most runs have the one nearest to 79 %.
    """

    sparsity: Annotated[float, Gt(0), Lt(1)] | None = None

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `corruptions-<dataset>-<model>`, with the errors as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: there are no errors of corrupted images, or rows of several settings cannot be compared.
        """
        pages, written = tickets.subjects(self.select(rows)), list[Path]()
        found, others = tickets.drawable(pages, lambda page: _errors(page, self.sparsity, self.settings))
        for page, (table, indices, notes) in found:
            with base.style():
                name = f"corruptions-{page.dataset}-{page.model}"
                written += self.save(_page(page, table, indices, [*notes, *others]), table[COLUMNS], folder, name)
        return written


Found = tuple[pd.DataFrame, dict[str, float], list[str]]


def _errors(subject: tickets.Subject, sparsity: float | None, settings: Sequence[str]) -> Found:
    """A line for each run, kind and severity; mCE of each run; notes."""
    named = subject.rows[subject.rows["metric"] == "corruption_error"]
    values = measured(named, settings)
    each = values[values["variant"].str.contains(SEVERITY)]
    if not (each["round"] > 0).any():
        raise tickets.lacking(subject.rows, "corruption_error", "corruption")
    rounds = tickets.at_sparsity(each, sparsity, "corruptions")
    by = ["run", "variant", "seed"]
    own = tickets.of_rounds(each, rounds)[[*by, "round", "sparsity", "value"]]
    dense = each.loc[each["round"] == 0, [*by, "dense", "value"]].rename(columns={"value": "dense_error"})
    pairs = own.merge(dense, on=by, how="left")
    compared = pairs["dense_error"].notna().groupby([pairs["run"], pairs["variant"]]).transform("any")
    pairs = pairs[pairs["dense_error"].notna() | ~compared]  # means of both are over the same seeds
    table = pairs.groupby(["run", "variant"], as_index=False).agg(
        round=("round", "first"), sparsity=("sparsity", "mean"), error=("value", "mean"),
        dense_error=("dense_error", "mean"), seeds=("seed", "count"), dense=("dense", "first"),
    )  # fmt: skip
    table["kind"] = table["variant"].str.replace(SEVERITY, "", regex=True)
    table["severity"] = table["variant"].str.extract(r"(\d+)$", expand=False).astype(int)
    table["change"] = table["error"] - table["dense_error"]
    table["group"] = [ORDER.get(kind, (0, "other"))[1] for kind in table["kind"]]
    table = table.assign(dataset=subject.dataset, model=subject.model, label=table["run"].map(subject.names))
    places = {kind: place for place, kind in enumerate([*ORDER, *sorted(set(table["kind"]) - set(ORDER))])}
    table["place"] = table["kind"].map(places)
    table = table.sort_values(["label", "place", "severity"], ignore_index=True)
    indices = tickets.of_rounds(corruption_indices(values), rounds)
    means = indices[indices["metric"] == "mce"].groupby("run")["value"].mean()
    return table, {str(run): float(mean) for run, mean in means.items()}, _notes(subject, named, rounds, table)


def _notes(subject: tickets.Subject, rows: pd.DataFrame, rounds: dict[str, int], table: pd.DataFrame) -> list[str]:
    names = subject.names
    absent = [name for run, name in names.items() if run not in rounds]
    notes = [tickets.of_runs("no ticket of this sparsity", absent, names)] if absent else []
    alone = sorted(set(table.loc[table["dense_error"].isna(), "label"]))
    notes += [tickets.of_runs("no dense errors to compare with", alone, names)] if alone else []
    at = pd.concat([tickets.of_rounds(rows, rounds), rows[rows["round"] == 0]])
    kinds = sorted(set(at.loc[at["status"] != "ok", "variant"].str.replace(SEVERITY, "", regex=True)) - {""})
    return notes + tickets.failures(at, names) + ([f"(of {', '.join(kinds)})"] if kinds else [])


def _page(subject: tickets.Subject, table: pd.DataFrame, indices: dict[str, float], notes: Sequence[str]) -> Page:
    """The dense models' map, then one for each run; kinds from top to bottom, groups set apart."""
    rounds = dict(zip(table["run"], table["round"], strict=True))
    kinds = table.drop_duplicates("kind").sort_values("place")
    dense = [own.assign(label="dense", error=own["dense_error"]) for own in _dense(table)]
    maps = [*dense, *(own for _, own in table.groupby("label"))]
    lines = math.ceil(len(maps) / BESIDE)
    columns = math.ceil(len(maps) / lines)
    height = _heights(kinds)
    tall = 0.75 + 0.145 * (max(height.values()) + 1)
    where = tickets.where(table, rounds)
    most = float(table["change"].abs().max()) * 100 or 1.0
    seeds = sorted(set(table["seeds"]))
    many = "-".join(str(n) for n in sorted({seeds[0], seeds[-1]}))
    title = f"{subject.dataset} · {subject.model} · {where} · {many} seed{'s' * (seeds[-1] > 1)}"
    page = sheet(1.8 + (WIDTH - 1.8) / BESIDE * columns, lines * tall, title, _keys(GREYS, CHANGES), notes)
    grid = page.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    absolute = (Normalize(0, max(1.0, 100 * table["dense_error"].max())), GREYS)
    relative = (Normalize(-most, most), CHANGES)
    for place, (axes, own) in enumerate(zip(grid.flat, maps, strict=False)):
        first = place < len(dense)
        _map(axes, own, kinds, height, "error" if first else "change", *(absolute if first else relative))
        index = indices.get(own["run"].iloc[0]) if not first else 100.0 if indices else None
        name = textwrap.fill(own["label"].iloc[0], TITLE)
        axes.set_title(f"{name}\n{'no mCE' if index is None else f'mCE {index:.1f}'}", linespacing=1.3)
        last = place + columns >= len(maps)
        axes.set_xlabel("Severity" if last else "")
        axes.tick_params(labelbottom=last)
    for place in {*range(columns - 1, len(maps), columns), len(maps) - 1}:
        _group_names(grid.flat[place], kinds, height)
    for axes in grid.flat[len(maps) :]:
        axes.remove()
    return page


def _keys(absolute: Colormap, relative: Colormap) -> list[Patch]:
    said = (
        (absolute(0.6), "dense: error (%)"),
        (relative(0.85), "errs more than dense (percentage points)"),
        (relative(0.15), "less"),
    )
    return [Patch(color=colour, label=label) for colour, label in said]


def _dense(table: pd.DataFrame) -> list[pd.DataFrame]:
    """One run's lines for each dense model; where runs have other seeds, those of the run with most."""
    known = table.dropna(subset=["dense_error"])
    most = known.groupby(["dense", "run"])["seeds"].sum().reset_index().sort_values(["dense", "seeds", "run"])
    return [known[known["run"] == run] for run in most.drop_duplicates("dense", keep="last")["run"]]


def _heights(kinds: pd.DataFrame) -> dict[str, float]:
    """Where each kind is, from 0 down; half a line between groups, a whole one before those that are in no mCE."""
    groups, height, found = list(kinds["group"]), 0.0, list[float]()
    for before, group in pairwise([groups[0], *groups]):
        height += (0.4 + 0.5 * (group == "extra")) * (before != group)
        found.append(height)
        height += 1
    return dict(zip(kinds["kind"], found, strict=True))


def _map(
    axes: Axes, table: pd.DataFrame, kinds: pd.DataFrame, height: dict[str, float], column: str, norm: Normalize,
    colours: Colormap,
) -> None:  # fmt: skip
    """One map, with its numbers in it."""
    for _, line in table.iterrows():
        value, y = 100 * line[column], height[line["kind"]]
        if not np.isfinite(value):
            continue
        shade = colours(norm(value))
        light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2]
        box = axes.barh(y, 1, 1, left=line["severity"] - 0.5, color=shade, lw=0)
        box.patches[0].set_gid(f"{line['kind']}-{line['severity']}")
        text = f"{value:.1f}" if column == "error" else _signed(value)
        axes.text(
            line["severity"], y, text, size=5, ha="center", va="center", color="white" if light < 0.5 else "black"
        )
    axes.set_ylim(max(height.values()) + 0.5, -0.5)
    axes.set_xlim(0.5, max(5, table["severity"].max()) + 0.5)
    axes.set_xticks(range(1, max(5, table["severity"].max()) + 1))
    axes.set_yticks(list(height.values()), [name.replace("_", " ") for name in height], size=6.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _signed(points: float) -> str:
    """A change with its sign; one that rounds to nothing has none."""
    text = f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def _group_names(axes: Axes, kinds: pd.DataFrame, height: dict[str, float]) -> None:
    """The names of the groups, right of a map."""
    for group, own in kinds.groupby("group"):
        middle = np.mean([height[kind] for kind in own["kind"]])
        axes.annotate(
            str(group), (1.02, middle), xycoords=axes.get_yaxis_transform(), rotation=270, va="center", size=6.5,
            color=GREY,
        )  # fmt: skip
