"""What was asked for, whether or not it was measured, and why something was not."""

from collections.abc import Sequence
from math import isnan

import pandas as pd

from ticketsearch.analysis.criteria import JOINT, METRICS, Settings
from ticketsearch.analysis.mce import INDICES
from ticketsearch.errors import UsageError, closest
from ticketsearch.results import of_split

CELL = ["dataset", "model"]
ERRORS = "corruption_error"
"""What mCE is made of."""


def chosen(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The rows of the runs with tickets that are to be judged.

    Args:
        rows: tidy rows.
        settings: names of datasets, models, pruners and rules of prunable weights; metrics.

    Returns:
        Those of the end of training, without the dense models' own; controls and random masks of the same dense models
        stay whatever `pruner` says, since a ticket is compared with them.

    Raises:
        UsageError: there are none, none of a name, or a metric that nobody has heard of.
    """
    if rows.empty:
        raise UsageError("there are no results to judge", "train something first", "ticketsearch run pruner=lth")
    _named(rows[rows["settings"] != ""], "settings", settings.settings)
    rows = rows[(rows["weights"] == "last") & (rows["at"] == "end")]
    for field in (*CELL, "prunable"):
        rows = _named(rows, field, getattr(settings, field))
    rows = rows[rows["run"] != rows["dense"]]
    if not (rows["round"] > 0).any():
        raise UsageError("only dense models to judge", "a verdict is on tickets", "ticketsearch run pruner=lth")
    pruner = rows[rows["round"] > 0].drop_duplicates("run").set_index("run")["pruner"]
    rows = rows[rows["run"].isin(pruner.index)].assign(pruner=rows["run"].map(pruner))  # of round 0 too
    _known(settings.metrics, rows)
    _named(rows, "pruner", settings.pruner)
    return rows


def _named(rows: pd.DataFrame, field: str, names: Sequence[str]) -> pd.DataFrame:
    there = sorted(rows[field].dropna().unique())
    for name in names:
        if name not in there:
            what, attempt = f"no rows of {field} '{name}'", f"ticketsearch verdict {field}={{}}"
            raise closest(name, there, what, attempt, "ticketsearch verdict --help", f"{field}={name}")
    return rows[rows[field].isin(list(names))] if names else rows


def _known(metrics: Sequence[str], rows: pd.DataFrame) -> None:
    """Refuse a metric that is neither in the rows nor among the usual ones."""
    there = set(rows.loc[of_split(rows) & (rows["variant"] == ""), "metric"].unique())
    for metric in metrics:
        if metric == JOINT or metric not in there.union(METRICS, INDICES):
            names, attempt = there.union(METRICS, INDICES) - {JOINT}, "ticketsearch verdict metrics={}"
            otherwise = "ticketsearch verdict --help"
            raise closest(metric, names, f"no metric '{metric}'", attempt, otherwise, f"metrics={metric}")


def asked(
    rows: pd.DataFrame, values: pd.DataFrame, metrics: Sequence[str]
) -> tuple[pd.DataFrame, dict[tuple[str, str], tuple[str, ...]]]:
    """Which metrics are judged in which cell, and which are left out because no row there was asked for them.

    A family that failed has one row, named like the family. Which metrics it would have had is known from other rows of
    that family; where it has none anywhere, every metric without a row may be one of its, and none is left out.

    Args:
        rows: rows of the tickets to judge, of any status.
        values: their measurements, derived ones too.
        metrics: what a ticket must win.

    Returns:
        Columns `dataset`, `model`, `metric`: those that are judged; and (dataset, model) -> those left out, in order.
    """
    family = _families(rows)
    test = rows[of_split(rows) & ((rows["variant"] == "") | (rows["metric"] == ERRORS))]
    test = test[[*CELL, "metric", "family", "status"]].drop_duplicates()
    values = values[[*CELL, "metric"]].drop_duplicates()
    judged: list[tuple[str, str, str]] = []
    left_out = dict[tuple[str, str], tuple[str, ...]]()
    for (dataset, model), group in test.groupby(CELL, observed=True):
        found = set(group["metric"].unique())
        measured = values.loc[(values["dataset"] == dataset) & (values["model"] == model), "metric"]
        found |= set(measured.unique()) | (set(INDICES) if ERRORS in found else set())
        failed = set(group.loc[(group["metric"] == group["family"]) & (group["status"] != "ok"), "family"])
        found |= {metric for metric in metrics if family.get(metric) in failed}
        if failed - set(family.values()):
            found |= {metric for metric in metrics if metric not in family}
        judged += [(str(dataset), str(model), metric) for metric in metrics if metric in found]
        left_out[str(dataset), str(model)] = tuple(metric for metric in metrics if metric not in found)
    return pd.DataFrame(judged, columns=[*CELL, "metric"]), left_out


def nothing_asked(rows: pd.DataFrame, metrics: Sequence[str]) -> UsageError:
    """What is said where every metric would be left out: then there is nothing to judge by.

    Args:
        rows: rows of the tickets to judge, of any status.
        metrics: what a ticket was to win.
    """
    test = rows[(rows["split"] == "test") & (rows["variant"] == "") & (rows["status"] == "ok")]
    there = sorted(test.loc[test["better"].notna(), "metric"].unique())
    right = f"evaluate the runs with them, or judge by what there is: {' '.join(there) or 'nothing'}"
    attempt = f"ticketsearch verdict metrics={there[0]}" if there else "ticketsearch evaluate --help"
    return UsageError(f"no run was asked for {', '.join(metrics)}", right, attempt, f"metrics={','.join(metrics)}")


def _families(rows: pd.DataFrame) -> dict[str, str]:
    """Metric -> family, as far as rows with a value or a reason of its own tell."""
    pairs = rows.loc[(rows["metric"] != rows["family"]) | (rows["status"] == "ok"), ["metric", "family"]]
    found = dict(pairs.drop_duplicates().itertuples(index=False, name=None))
    return found | ({index: found[ERRORS] for index in INDICES} if ERRORS in found else {})


def reasons(rows: pd.DataFrame, table: pd.DataFrame) -> "pd.Series[str]":
    """Why each line of a verdict is unknown: the row's own reason, that there is none; "" where it is known.

    Args:
        rows: rows of the tickets, of any status.
        table: lines with `run`, `metric`, `round`, `status`.
    """
    family = _families(rows)
    test = rows[of_split(rows)]
    not_ok = test[test["status"] != "ok"].drop_duplicates(["run", "round", "metric"])
    keys = zip(not_ok["run"], not_ok["round"], not_ok["metric"], strict=True)
    said = zip(not_ok["status"], not_ok["error"].astype(object), strict=True)
    told = {key: f"{status}: {error}" for key, (status, error) in zip(keys, said, strict=True)}
    known = test[(test["status"] == "ok") & test["metric"].isin(table["metric"].unique())]
    known = known[known["variant"] == ""].drop_duplicates(["run", "round", "metric"])
    value = known.set_index(["run", "round", "metric"])["value"].to_dict()

    def why(run: str, round: int, metric: str) -> str:
        names = (metric, ERRORS if metric in INDICES else metric, family.get(metric, metric))
        for at, of in ((round, ""), (0, "dense model: ")):
            found = next((told[run, at, name] for name in names if (run, at, name) in told), "")
            if found:
                return of + found
        if (run, round, metric) not in value:
            return "no row"
        return "the value is no number" if isnan(value[run, round, metric]) else "no dense value of the same seed"

    unknown = table["status"] == "unknown"
    lines = table.loc[unknown, ["run", "round", "metric"]].itertuples(index=False, name=None)
    return pd.Series([why(*line) for line in lines], table.index[unknown], dtype=object).reindex(
        table.index, fill_value=""
    )
