"""What curves show of one dataset and model: statistics over seeds, regions, and what is missing, said in words."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from ticketsearch.analysis.epochs import trained_epochs
from ticketsearch.analysis.labels import labels
from ticketsearch.analysis.published import Published
from ticketsearch.analysis.regions import Regions, regions, regions_of, spans
from ticketsearch.analysis.seeds import At, Band, latest, measured, statistics
from ticketsearch.errors import UsageError
from ticketsearch.figures import base
from ticketsearch.results import of_split

DEFAULT = [
    "accuracy", "worst_class_accuracy", "nll", "loss", "ece", "sce", "brier", "disagreement", "mce", "corruption_error",
    "ood_auroc", "ood_aupr", "ood_fpr95", "fgsm_accuracy", "pgd_accuracy", "fidelity", "stability", "detectors",
    "hessian_trace_weight", "hessian_trace_input", "hessian_eigen_weight", "hessian_eigen_input", "sharpness",
    "magnitude_flatness", "gradient_flow", "synaptic_flow", "barrier", "trajectory_length", "macs", "ticket_bytes",
]  # fmt: skip
"""The panels that are drawn unless some are named."""
IDENTITY = ["dataset", "model", "dense", "run", "metric", "variant", "split", "round"]


@dataclass(frozen=True)
class Chart:
    """Everything that panels of one dataset and model are drawn from.

    Attributes:
        shown: metric -> how it is presented, in the order of the panels.
        points: statistics over seeds, a point a line: columns `IDENTITY`, `label`, `region`, `x` (position on the
            sparsity axis), `collapsed` (too inaccurate to widen the axes), `sparsity`, `mean`, `std`, `seeds`, `low`,
            `high`, `dense_mean`.
        dense: the same of the dense models, a line for each of them and each metric.
        labels: run -> what its curve is called.
        pruners: run -> its pruner.
        regions: run -> its regions.
        gaps: run -> metric -> where it has no point, and why.
        epochs: for how many epochs tickets were trained, as far as known.
        published: points read off a publication's figures, of the metrics shown: `label` of the curve that they stand
            beside, or `dense`; `metric`, `round`, `value`.
    """

    shown: dict[str, base.Presentation]
    points: pd.DataFrame
    dense: pd.DataFrame
    labels: dict[str, str]
    pruners: dict[str, str]
    regions: dict[str, Regions]
    gaps: dict[str, dict[str, list[str]]]
    epochs: set[int]
    published: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["label", "metric", "round", "value"]))

    @property
    def end(self) -> float:
        """The rightmost position drawn."""
        own = self.points["x"][self.points["x"] != float("inf")].max()
        return max(own, self.published["round"].max()) if len(self.published) else float(own)

    def notes(self, metrics: Collection[str]) -> Iterator[str]:
        """What is not drawn of some metrics and what is not known; what has the same gap shares a note."""
        told: dict[str, list[str]] = {}
        for run, name in self.labels.items():
            gaps: dict[str, list[str]] = {}
            for metric in metrics:
                for gap in self.gaps[run][metric]:
                    gaps.setdefault(gap, []).append(metric)
            every = len(metrics) if len(metrics) > 1 else 0
            notes = [
                f"{'all metrics' if len(which) == every else ', '.join(which)} {gap}" for gap, which in gaps.items()
            ]
            for note in (*notes, *self.regions[run].notes):
                told.setdefault(note, []).append(name)
        for note, who in told.items():
            yield note if len(who) == len(self.labels) else f"{', '.join(who)}: {note}"


@dataclass(frozen=True)
class Choice:
    """What of the rows is drawn; the fields are those of `figures.curves.Curves`."""

    metrics: tuple[str, ...]
    settings: tuple[str, ...]
    tolerance: float
    floor: float
    band: Band
    split: Literal["test", "val", "train"]
    at: At


def chart_of(choice: Choice, rows: pd.DataFrame, indices: pd.DataFrame, beside: Published | None = None) -> Chart:
    """Gather what the panels of one dataset and model need.

    Args:
        choice: what to draw.
        rows: tidy rows of one dataset and model.
        indices: rows of `mce` and `relative_mce` (`analysis.mce`), of this and other cells.
        beside: published points to draw beside the curves.

    Raises:
        UsageError: no metric is left to draw, or one that is drawn was measured with several settings.
    """
    names = dict(sorted(labels(rows).items(), key=lambda item: item[1]))
    last, epochs = latest(rows), set(trained_epochs(rows))
    runs = dict(list(last.groupby("run")))
    found = regions_of(last, choice.tolerance, choice.settings)
    decided = {run: found.get(run) or regions(runs[run], run) for run in names}  # which says why there are none
    rows = last[(last["variant"] == "") & of_split(last, choice.split) & (last["at"] == choice.at)]
    indices = indices[indices["run"].isin(names) & (indices["split"] == choice.split)]
    metrics = _panels(choice.metrics, pd.concat([rows[rows["status"] == "ok"], indices]))
    values = measured(rows[rows["metric"].isin(metrics)], choice.settings, choice.at)
    values = pd.concat([values, indices[indices["metric"].isin(metrics)]], ignore_index=True)
    dense = _dense(values, choice.band)
    points = statistics(values, IDENTITY, choice.band)
    if points.empty:
        right = "each of its values is no number: evaluate them again, or name other metrics"
        raise UsageError(f"there is nothing of {', '.join(metrics)} to draw", right, "ticketsearch evaluate --help")
    points = points.merge(dense[["dense", "metric", "mean"]].rename(columns={"mean": "dense_mean"}), how="left")
    points["label"] = points["run"].map(names)
    points["region"] = [decided[run].of(round) for run, round in zip(points["run"], points["round"], strict=True)]
    points["x"] = points["sparsity"].map(base.position)
    collapsed = {(run, round) for run in names for round in _collapsed(decided[run], choice.floor)}
    points["collapsed"] = [at in collapsed for at in zip(points["run"], points["round"], strict=True)]
    shown = {metric: base.presentation(metric, values) for metric in metrics}
    pruners = {run: str(runs[run].sort_values("round")["pruner"].iloc[-1]) for run in names}  # round 0 is borrowed
    read = [] if beside is None else [_beside(beside, points, names, pruners)]
    return Chart(shown, points, dense, names, pruners, decided, _gaps(rows, points, names, metrics), epochs, *read)


def _panels(wanted: tuple[str, ...], values: pd.DataFrame) -> list[str]:
    """The metrics to draw, in order; by default only one of two that say the same: `nll` and `loss`, and `mce` and
    `corruption_error` where every ticket has both.
    """
    points = values.drop_duplicates(["run", "seed", "round", "metric"]).groupby("metric").size()
    present, better = set(points.index), (("nll", "loss"), ("mce", "corruption_error"))
    hidden = {than for one, than in better if not wanted and points.get(one, 0) >= points.get(than, 0)}
    panels = [metric for metric in wanted or DEFAULT if metric in present - hidden]
    if not panels:
        there = ", ".join(sorted(present)) or "none"
        raise UsageError("there is no metric to draw", f"name some of those measured: {there}")
    return panels


def _dense(values: pd.DataFrame, band: Band) -> pd.DataFrame:
    """The dense models, each once: their rows are round 0 of every run that uses them."""
    rows = values[values["round"] == 0]
    rows = rows.assign(run=rows["dense"], label="dense", pruner="dense", schedule="", rewind="", prunable="")
    table = statistics(rows.drop_duplicates(["run", "metric", "seed"]), ["run", "metric"], band)
    table["label"] = table["run"].map(labels(rows))
    return table.rename(columns={"run": "dense"})


def _collapsed(where: Regions, floor: float) -> Iterator[int]:
    """Rounds with less than a share of the dense accuracy."""
    for round, mean, dense in zip(where.rounds, where.mean, where.dense, strict=True):
        if mean < floor * dense:
            yield round


def _beside(beside: Published, points: pd.DataFrame, names: dict[str, str], pruners: dict[str, str]) -> pd.DataFrame:
    """The published points of this cell, where there are any: of each pruner beside the first of its curves."""
    first, read = points.iloc[0], beside.points
    own = read[(read["dataset"] == first["dataset"]) & (read["model"] == first["model"])]
    curves = {pruners[run]: label for run, label in reversed(names.items())}
    own = own.assign(label=own["pruner"].map(curves | {"dense": "dense"}))
    return own[own["label"].notna() & own["metric"].isin(set(points["metric"]))].drop(columns="pruner")


def _gaps(
    rows: pd.DataFrame, points: pd.DataFrame, names: dict[str, str], metrics: list[str]
) -> dict[str, dict[str, list[str]]]:
    """Where a metric of a run has no point up to the run's last round, and why: error, skipped or missing."""
    drawn = points.groupby(["run", "metric"])["round"].agg(set).to_dict()
    runs = dict(list(rows.groupby("run")))
    own = {run: runs.get(run, rows[:0]) for run in names}
    return {
        run: {
            metric: list(
                _where(table["round"].max(), table[table["metric"] == metric], drawn.get((run, metric), set()))
            )
            for metric in metrics
        }
        for run, table in own.items()
    }


def _where(last: float, rows: pd.DataFrame, drawn: set[int]) -> Iterator[str]:
    reasons: dict[str, list[int]] = {}
    for round in sorted({*range(1, int(last) + 1), *rows["round"]} - drawn):
        failed = set(rows.loc[rows["round"] == round, "status"]) - {"ok"}
        reasons.setdefault(min(failed, default="missing"), []).append(round)
    for reason, rounds in reasons.items():
        yield f"{reason} at {spans(rounds)}"
