"""Statistics over seeds, the only thing that is ever averaged.

Rows are the tidy frame of `ticketsearch.results`: one measurement a row. Everything here is a pure function of it.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd

from ticketsearch.errors import UsageError
from ticketsearch.results import KEY

Band = Literal["std", "range", "none"]
At = Literal["end", "start"]

COMPARED = ["dataset", "model", "metric", "variant", "split"]


def latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the rows that share a key, the one written last.

    Args:
        rows: tidy rows; `sequence` orders the writing.

    Returns:
        One row for each `ticketsearch.results.KEY`, sorted by it, so that sums do not depend on the order of reading.
    """
    return rows.sort_values([*KEY, "sequence"], kind="stable").drop_duplicates(list(KEY), keep="last")


def measured(rows: pd.DataFrame, settings: Sequence[str] = (), at: At = "end") -> pd.DataFrame:
    """The rows that count: written last, status ok, last weights, end of training, one `settings` a metric.

    Args:
        rows: tidy rows.
        settings: hashes to take where a metric was measured in several ways.
        at: `start`: what was measured before training instead.

    Returns:
        Those rows; within one (dataset, model, metric, variant, split) all of one `settings`: the one that was chosen,
        else the only one, else the one that every ticket was measured with last: all of them were measured anew.

    Raises:
        UsageError: a metric has rows of several settings, `settings` does not choose one, and none was the last for
            every ticket: curves that were measured in different ways cannot be compared.
    """
    rows = latest(rows)
    rows = rows[(rows["status"] == "ok") & (rows["weights"] == "last") & (rows["at"] == at)]
    chosen = rows["settings"].isin(list(settings))
    rows = rows[chosen | ~chosen.groupby([rows[name] for name in COMPARED]).transform("any")]
    several = rows.groupby(COMPARED)["settings"].transform("nunique") > 1
    newest = rows["sequence"] == rows.groupby([*COMPARED, "run", "seed", "round"])["sequence"].transform("max")
    for key, group in rows[several & newest].groupby(COMPARED)["settings"]:
        if len(names := sorted(group.unique())) > 1:
            raise UsageError(
                f"'{key[2]}' of {key[0]} {key[1]} was measured with several settings: {', '.join(names)}",
                "choose one of them, or evaluate every run with the same metric configuration",
                f"ticketsearch plot 'settings=[\"{names[-1]}\"]'",
            )
    return rows[~several | newest]


def statistics(rows: pd.DataFrame, by: Sequence[str] = ("run", "round"), band: Band = "std") -> pd.DataFrame:
    """Mean, spread and count over seeds, one line for each group.

    Args:
        rows: rows to average, at most one for each group and seed; a NaN value is no measurement.
        by: columns that make a group.
        band: `std`: mean +- 1 standard deviation; `range`: the smallest to the largest; `none`: no band.

    Returns:
        Columns `by`, `mean`, `std` (ddof=1; NaN for one seed), `seeds` (how many), `low`, `high` (the band, NaN where
        there is none) and `sparsity` (mean, in [0, 1]), sorted by `by`.

    Raises:
        UsageError: a group would average rows of different runs, or one seed twice; or the band is unknown.
    """
    if band not in get_args(Band):
        raise UsageError(f"no band '{band}'", f"there are: {', '.join(get_args(Band))}")
    _only_seeds_differ(rows, list(by))
    groups = rows.dropna(subset=["value"]).groupby(list(by))
    table = groups.agg(
        mean=("value", "mean"),
        std=("value", "std"),
        seeds=("value", "count"),
        low=("value", "min"),
        high=("value", "max"),
        sparsity=("sparsity", "mean"),
    ).reset_index()
    if band != "range":
        spread = table["std"] if band == "std" else float("nan")
        table["low"], table["high"] = table["mean"] - spread, table["mean"] + spread
    return table


def _only_seeds_differ(rows: pd.DataFrame, by: list[str]) -> None:
    if (rows.groupby(by)["run"].nunique() > 1).any():
        raise UsageError(
            f"an average by {', '.join(by)} would mix the runs {', '.join(sorted(rows['run'].unique()))}",
            "only seeds are averaged: group by 'run' too",
        )
    twice = rows[rows.duplicated([*by, "seed"], keep=False)]
    if not twice.empty:
        first = twice.groupby([*by, "seed"]).get_group(tuple(twice[[*by, "seed"]].iloc[0]))
        differ = [name for name in KEY if first[name].nunique(dropna=False) > 1] or ["sequence"]
        raise UsageError(
            f"seed {first['seed'].iloc[0]} of {first['run'].iloc[0]} would be counted {len(first)} times",
            f"one row a seed: these differ in {', '.join(differ)}",
        )
