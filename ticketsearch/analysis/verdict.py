"""LTH-PASS: at which sparsities a ticket wins everything that was measured (Chen et al., TMLR 2022).

Their claim is that tickets "perform comparably or even better in all above four aspects" between two sparsities. They
give no number for "comparably"; ours are `Settings.comparable` and `Settings.accuracy`. Two things are told of each
round: `strict`, at least as good as dense in every metric, and `comparable`, worse in none by more than its tolerance.
The round of a verdict is the *last* that passes, as Region I ends at the last round above its line: an earlier one that
does not pass is named, and hides no later one that does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ticketsearch.analysis.asked import asked, chosen, nothing_asked, reasons
from ticketsearch.analysis.criteria import JOINT, USUAL, Settings
from ticketsearch.analysis.labels import labels
from ticketsearch.analysis.mce import INDICES, corruption_indices
from ticketsearch.analysis.paired import holm, paired
from ticketsearch.analysis.regions import Regions, regions_of
from ticketsearch.analysis.seeds import measured
from ticketsearch.errors import UsageError
from ticketsearch.results import of_split

Status = Literal["strict", "comparable", "unknown", "worse"]

STATUSES: tuple[Status, ...] = ("strict", "comparable", "unknown", "worse")
"""From best to worst: of several metrics the last one decides."""
ROUNDING = 1e-9
COLUMNS = [
    "dataset", "model", "run", "label", "pruner", "metric", "round", "sparsity", "region", "value", "dense",
    "difference", "se", "low", "high", "p", "p_holm", "seeds", "better", "tolerance", "status", "why",
]  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What was decided of every ticket.

    Attributes:
        rounds: a line for each run, metric and round above 0, and for `all` metrics together. `value` and `dense` are
            means over the seeds that have both; `difference`, `se`, `low`, `high`, `p`, `seeds` as in
            `analysis.paired`; `p_holm` is corrected for the metrics of that run and round. `status` is `strict`,
            `comparable`, `worse` or `unknown`; `why` says what is not known.
        regions: run -> its regions; a run without a dense accuracy is not there.
        left_out: (dataset, model) -> the metrics that nobody asked for.
        values: the measurements that were compared, as rows, one for each run, seed, round and metric.
    """

    rounds: pd.DataFrame
    regions: Mapping[str, Regions]
    left_out: Mapping[tuple[str, str], tuple[str, ...]]
    values: pd.DataFrame


def verdict(rows: pd.DataFrame, settings: Settings = USUAL, reading: Mapping[str, float] | None = None) -> Verdict:
    """Judge every ticket.

    Args:
        rows: tidy rows; only those of the test split without a variant are judged, and mCE, which is made of the
            errors of each corruption.
        settings: what is judged, and how.
        reading: metric -> the error with which published values were read off a picture; two that are nearer to each
            other are told equal, and no tolerance is smaller.

    Returns:
        The verdict. A metric is `unknown` where it was asked for in the cell (dataset x model) and the run, or its
        dense model, has no value of it in that round; rounds with fewer seeds are judged on those that there are.
        `all` is the worst of the metrics, and `worse` outside Region I.

    Raises:
        UsageError: there are no tickets to judge; a metric has several settings, or no better end; none of a name that
            was asked for is there; no run was asked for any of the metrics.
    """
    rows = chosen(rows, settings)
    values = _values(rows, settings)
    there, left_out = asked(rows, values, settings.metrics)
    if there.empty:
        raise nothing_asked(rows, settings.metrics)
    table = _lines(rows, there).merge(_differences(values, settings.metrics), "left", on=["run", "metric", "round"])
    table["better"] = table["metric"].map(_directions(values, settings.metrics))
    table = _judged(table, settings, reading or {})
    decided = regions_of(values, settings.tolerance)
    table["region"] = _regions(table, decided)
    cells = rows[rows["round"] > 0].drop_duplicates(["run", "round"]).groupby(["dataset", "model"])
    table["label"] = table["run"].map({run: label for _, cell in cells for run, label in labels(cell).items()})
    table["p_holm"] = _corrected(table)
    table["why"] = reasons(rows, table)
    table = pd.concat([table, _joint(table)], ignore_index=True)
    order = {metric: place for place, metric in enumerate([*settings.metrics, JOINT])}
    table = table.assign(place=table["metric"].map(order)).sort_values(
        ["dataset", "model", "label", "run", "place", "round"], ignore_index=True
    )
    return Verdict(table[COLUMNS], decided, left_out, values)


def _values(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The rows that are compared; NaN is no measurement."""
    rows = rows[of_split(rows)]
    wanted = {*settings.metrics, "accuracy", "majority_share"}
    plain = measured(rows[(rows["variant"] == "") & rows["metric"].isin(list(wanted))], settings.settings)
    found = [plain]
    if wanted.intersection(INDICES):
        errors = measured(rows[rows["metric"] == "corruption_error"], settings.settings)
        indices = corruption_indices(errors)
        found.append(indices[indices["metric"].isin(list(wanted))])
    return pd.concat([part for part in found if len(part)] or [plain], ignore_index=True).dropna(subset=["value"])


def _lines(rows: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """A line for each run, round above 0 and metric that was asked for in its cell."""
    tickets = rows[rows["round"] > 0]
    cells = ["dataset", "model", "run", "pruner", "round"]
    return tickets.groupby(cells, observed=True)["sparsity"].mean().reset_index().merge(there, on=["dataset", "model"])


def _differences(values: pd.DataFrame, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Ticket less dense, paired over seeds: a line for each run, metric and round that has a pair."""
    values = values[values["metric"].isin(list(metrics))]
    own = ["run", "metric", "seed"]
    dense = values.loc[values["round"] == 0, [*own, "value"]].rename(columns={"value": "base"})
    pairs = values[values["round"] > 0].merge(dense, on=own)
    return paired(pairs, ["run", "metric", "round"]).rename(columns={"base": "dense"})


def _directions(values: pd.DataFrame, metrics: tuple[str, ...]) -> dict[str, float]:
    """Metric -> +1 or -1, as its rows say."""
    found = values.dropna(subset=["better"]).drop_duplicates("metric").set_index("metric")["better"].to_dict()
    for metric in metrics:
        if metric not in found and (values["metric"] == metric).any():
            known = " ".join(str(name) for name in found if name != "majority_share")
            raise UsageError(f"neither end of '{metric}' is better", f"a ticket can win: {known}")
    return {str(metric): float(better) for metric, better in found.items()}


def _judged(table: pd.DataFrame, settings: Settings, reading: Mapping[str, float]) -> pd.DataFrame:
    """The table with `tolerance` and `status` of each metric."""
    read = table["metric"].map(dict(reading)).astype(float).fillna(0.0).to_numpy()
    size = table["dense"].abs()
    wide = np.fmax(settings.comparable * size, 2 * table["se"])  # of one seed there is no standard error
    own = np.where(table["metric"] == "accuracy", settings.accuracy, wide)
    table["tolerance"] = np.where(size.isna(), np.nan, np.maximum(own, read))
    gain, slack = table["better"] * table["difference"], ROUNDING * np.maximum(size, ROUNDING)
    conditions = [gain.isna(), gain >= -np.maximum(read, slack), gain >= -table["tolerance"] - slack]
    table["status"] = np.select(conditions, ["unknown", "strict", "comparable"], "worse")
    return table


def _regions(table: pd.DataFrame, decided: Mapping[str, Regions]) -> pd.Series:
    """The region of each line; "" where it is unknown."""
    cells = table[["run", "round"]].drop_duplicates()
    found = [decided[run].of(n) if run in decided else "" for run, n in zip(cells["run"], cells["round"], strict=True)]
    return table[["run", "round"]].merge(cells.assign(region=found), "left", on=["run", "round"])["region"]


def _corrected(table: pd.DataFrame) -> pd.Series:
    """Holm's correction; the metrics of one run and round are a family."""
    families = table.pivot_table("p", ["run", "round"], "metric", dropna=False, observed=True)
    adjusted = pd.DataFrame(holm(families), families.index, families.columns)
    lines = pd.Series(adjusted.stack(future_stack=True))
    return lines.reindex(pd.MultiIndex.from_frame(table[["run", "round", "metric"]])).set_axis(table.index)


def _joint(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of all metrics together."""
    worst = table["status"].map({status: n for n, status in enumerate(STATUSES)})
    outside = table["region"].map({"I": 0, "": STATUSES.index("unknown")}).fillna(STATUSES.index("worse")).astype(int)
    codes = table.assign(code=np.maximum(worst, outside)).groupby(["run", "round"])["code"].max()
    lines = table.drop_duplicates(["run", "round"]).reset_index(drop=True)
    lines = lines[["dataset", "model", "run", "label", "pruner", "round", "sparsity", "region"]].assign(metric=JOINT)
    found = codes.reindex(pd.MultiIndex.from_frame(lines[["run", "round"]])).to_numpy()
    return lines.assign(status=np.array(STATUSES)[found], why="")
