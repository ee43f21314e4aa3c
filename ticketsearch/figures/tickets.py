"""Which tickets a figure shows: the runs of a dataset and model, one sparsity of each, and what of them is missing."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from matplotlib.ticker import EngFormatter

from ticketsearch.analysis.labels import labels
from ticketsearch.analysis.regions import spans
from ticketsearch.analysis.seeds import latest
from ticketsearch.errors import UsageError
from ticketsearch.figures import base

Shown = TypeVar("Shown")

SHOWN = 0.79
"""What figures of one sparsity show where none is asked for: that of the bar chart of Chen et al. (2022)."""
NEAR = 0.5
"""Tickets that are no further apart than this many steps of 20 % are shown as those of one sparsity."""


@dataclass(frozen=True)
class Subject:
    """What one page is about.

    Attributes:
        dataset: its name.
        model: its name.
        rows: the tidy rows of its runs; the dense models are round 0 of each.
        names: run -> label, sorted by label.
    """

    dataset: str
    model: str
    rows: pd.DataFrame
    names: dict[str, str]


def subjects(rows: pd.DataFrame) -> list[Subject]:
    """The pages that rows make.

    Args:
        rows: tidy rows.

    Returns:
        One for each dataset and model.

    Raises:
        UsageError: there are only dense models.
    """
    rows = rows[rows["run"] != rows["dense"]]
    if rows.empty:
        raise UsageError("only dense models to draw", "the figure shows tickets", "ticketsearch run pruner=lth")
    return [
        Subject(f"{dataset}", f"{model}", group, dict(sorted(labels(group).items(), key=lambda item: item[1])))
        for (dataset, model), group in rows.groupby(["dataset", "model"])
    ]


def looks(pages: Iterable[Subject]) -> dict[str, tuple[str, str]]:
    """Label -> (colour, marker), whether the figure has rows of it or not, so that figures agree."""
    return base.looks(name for page in pages for name in page.names.values())


class NothingToDraw(UsageError):
    """One page cannot be drawn; others may be."""


def drawable(
    pages: Iterable[Subject], make: Callable[[Subject], Shown]
) -> tuple[list[tuple[Subject, Shown]], list[str]]:
    """What the pages show, without those that have nothing to show.

    Args:
        pages: the subjects.
        make: what a page shows.

    Returns:
        The pages that can be drawn, and a note for each of the others, for all to carry.

    Raises:
        NothingToDraw: none can.
    """
    found, refused = list[tuple[Subject, Shown]](), list[tuple[Subject, NothingToDraw]]()
    for page in pages:
        try:
            found.append((page, make(page)))
        except NothingToDraw as error:
            refused.append((page, error))
    if not found:
        raise refused[0][1]
    return found, [f"not drawn: {page.dataset} {page.model} ({error.what})" for page, error in refused]


def lacking(rows: pd.DataFrame, metric: str, family: str) -> NothingToDraw:
    """The error where no row of a metric can be drawn.

    Args:
        rows: tidy rows; where they say why there is none, so does the error.
        metric: the metric.
        family: the family that measures it.
    """
    own = latest(rows[rows["metric"] == metric])
    why = "; ".join(sorted(set(own.loc[own["status"] != "ok", "error"]) - {""})[:2])
    right = f"the family {family} measures them" + (f", and said: {why}" if why else "")
    return NothingToDraw(f"no rows of {metric} to draw", right, f"ticketsearch evaluate 'metrics=[{family}]'")


def at_sparsity(rows: pd.DataFrame, wanted: float | None, figure: str, usual: float = SHOWN) -> dict[str, int]:
    """The round of each run that a page of one sparsity shows.

    Args:
        rows: rows that can be drawn.
        wanted: a sparsity in (0, 1); None: the one nearest to `usual` of those that most runs have.
        figure: the figure's name.
        usual: a sparsity in (0, 1).

    Returns:
        Run -> the round nearest to that sparsity, for runs that have one within half a step of 20 %. Runs compared
        at other rounds, because their schedules differ, are at the same sparsity then.

    Raises:
        NothingToDraw: no run has the sparsity, or there are no tickets.
    """
    tickets = rows[(rows["round"] > 0) & (rows["sparsity"] < 1)]
    found = tickets.groupby(["run", "round"])["sparsity"].mean().reset_index()
    found["x"] = found["sparsity"].map(base.position)
    if found.empty:
        raise NothingToDraw("no tickets to draw", "the rows are of dense models only", "ticketsearch run pruner=lth")
    x = _common(found, base.position(usual)) if wanted is None else base.position(wanted)
    near = found[(found["x"] - x).abs() <= NEAR + 1e-9]
    if near.empty:
        there = sorted({f"{sparsity:.3g}" for sparsity in found["sparsity"]}, key=float)
        best = min(there, key=lambda name: abs(base.position(float(name)) - x))
        attempt = f"ticketsearch plot figure={figure} sparsity={best}"
        raise NothingToDraw(f"no ticket near sparsity={wanted:g}", f"there are: {' '.join(there)}", attempt)
    nearest = near.assign(away=(near["x"] - x).abs()).sort_values(["run", "away", "round"]).drop_duplicates("run")
    return {str(run): int(round) for run, round in zip(nearest["run"], nearest["round"], strict=True)}


def _common(found: pd.DataFrame, wanted: float) -> float:
    """The position that most runs are near to; of those the nearest to `wanted`."""
    places = sorted(set(found["x"]))
    runs = {x: found.loc[(found["x"] - x).abs() <= NEAR + 1e-9, "run"].nunique() for x in places}
    return max(places, key=lambda x: (runs[x], -abs(x - wanted), -x))


def of_rounds(rows: pd.DataFrame, rounds: Mapping[str, int]) -> pd.DataFrame:
    """The rows of one round of each run.

    Args:
        rows: tidy rows.
        rounds: run -> round; rows of other runs go.
    """
    return rows[rows["round"] == rows["run"].map(rounds)]


def where(rows: pd.DataFrame, rounds: Mapping[str, int]) -> str:
    """The sparsity and the rounds of a page, e.g. `79.0 % sparsity, round 7`.

    Args:
        rows: tidy rows.
        rounds: run -> round, at least one.
    """
    sparsity = 100 * of_rounds(rows, rounds).groupby("run")["sparsity"].mean()
    low, high = (f"{value:.1f}" for value in (sparsity.min(), sparsity.max()))
    said = low if low == high else f"{low} to {high}"
    return f"{said} % sparsity, {spans(sorted(set(rounds.values())))}"


def failures(rows: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """What was tried and not measured, in words, e.g. `lth: pgd_accuracy error at rounds 3-5`.

    Args:
        rows: tidy rows of what is drawn.
        names: run -> label, of the runs on the page.

    Returns:
        One note for each metric and rounds; those that hold for every run name none.
    """
    rows = latest(rows[rows["run"].isin(list(names))])
    found: dict[str, list[str]] = {}
    for (run, metric, status), own in rows[rows["status"] != "ok"].groupby(["run", "metric", "status"]):
        note = f"{metric} {status} at {spans(sorted(set(own['round'])))}"
        found.setdefault(note, []).append(names[str(run)])
    return [of_runs(note, who, names) for note, who in found.items()]


def of_runs(note: str, who: Iterable[str], names: Mapping[str, str]) -> str:
    """A note that holds for some runs, or for all.

    Args:
        note: what holds.
        who: labels.
        names: run -> label, of the runs on the page.
    """
    who = sorted(who)
    return note if len(who) == len(names) > 1 else f"{', '.join(who)}: {note}"


def number(value: float) -> str:
    """A value to be read off a figure, e.g. `97.1`, `0.0167`, `12460`, `1.2M`, `none` for NaN."""
    if not math.isfinite(value):
        return "none"
    if abs(value) >= 1e5:
        return EngFormatter(places=1, sep="")(value)
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}")
