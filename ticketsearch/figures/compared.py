"""Tickets of one sparsity beside their dense models, metric by metric: what `radar` and `bars` draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ticketsearch.analysis.mce import INDICES, corruption_indices
from ticketsearch.analysis.seeds import measured
from ticketsearch.figures import base, tickets
from ticketsearch.results import of_split

METRICS = (
    "accuracy", "worst_class_accuracy", "nll", "loss", "ece", "sce", "brier", "mce", "corruption_error",
    "ood_auroc", "ood_aupr", "ood_fpr95", "fgsm_accuracy", "pgd_accuracy", "fidelity", "stability", "detectors",
    "hessian_trace_weight", "hessian_trace_input", "hessian_eigen_weight", "hessian_eigen_input", "sharpness",
    "magnitude_flatness",
)  # fmt: skip
"""What is shown where no metric is named: what training made of the tickets. Their sizes are alike at one sparsity, and
what compares a ticket with its dense model is nothing of the dense model's own."""
INSTEAD = {"loss": "nll", "corruption_error": "mce"}
"""Of two that say the same the first is hidden where there is the other."""


@dataclass(frozen=True)
class Compared:
    """The tickets of one sparsity.

    Attributes:
        pairs: a line for each run, metric and seed that has both: `value` and `dense`, as measured.
        rounds: run -> the round shown; runs without one are not in it.
        metrics: those that some run has and the dense model too, in order.
        better: metric -> +1 or -1; absent where neither end is good.
        shown: metric -> its title and scale.
        where: the sparsity and the rounds in words.
        notes: what is not shown and why.
    """

    pairs: pd.DataFrame
    rounds: dict[str, int]
    metrics: list[str]
    better: dict[str, int]
    shown: dict[str, base.Presentation]
    where: str
    notes: list[str]


def compared(
    subjects: Sequence[tickets.Subject],
    metrics: Sequence[str],
    sparsity: float | None,
    settings: Sequence[str],
    figure: str,
) -> tuple[list[tuple[tickets.Subject, Compared]], list[str]]:
    """The tickets of one sparsity beside their dense models.

    Args:
        subjects: the pages.
        metrics: names; () takes the usual ones that have rows.
        sparsity: see `tickets.at_sparsity`.
        settings: hashes to take where a metric was measured in several ways.
        figure: the figure's name.

    Returns:
        The pages that have something to compare, and notes about the others.

    Raises:
        UsageError: nothing is left, a metric has no rows, or there are several settings.
    """
    there = set().union(*(_measured(page.rows) for page in subjects))
    base.require("metrics", metrics, there)
    return tickets.drawable(subjects, lambda page: _compared(page, metrics, sparsity, settings, figure))


def _measured(rows: pd.DataFrame) -> set[str]:
    """The metrics of tickets that can be drawn."""
    usable = (rows["variant"] == "") & of_split(rows) & (rows["status"] == "ok")
    corrupted = (rows["metric"] == "corruption_error") & (rows["variant"] != "") & (rows["status"] == "ok")
    return set(rows.loc[usable, "metric"]) | (set(INDICES) if corrupted.any() else set())


def _compared(
    subject: tickets.Subject, metrics: Sequence[str], sparsity: float | None, settings: Sequence[str], figure: str
) -> Compared:
    kept = subject.rows[of_split(subject.rows) & (subject.rows["variant"] == "")]
    errors = measured(subject.rows[subject.rows["metric"] == "corruption_error"], settings)
    indices = corruption_indices(errors)
    there = set(kept.loc[kept["status"] == "ok", "metric"]) | set(indices["metric"])
    wanted = [metric for metric in metrics or METRICS if metric in there]
    wanted = [metric for metric in wanted if metrics or INSTEAD.get(metric) not in there]
    if not wanted:
        right = f"name some of those measured: {', '.join(sorted(there)) or 'none'}"
        raise tickets.NothingToDraw("there is no metric to draw", right, "ticketsearch evaluate")
    kept = kept[kept["metric"].isin(wanted)]
    values = pd.concat([measured(kept, settings), indices[indices["metric"].isin(wanted)]], ignore_index=True)
    values = values.dropna(subset=["value"])
    rounds = tickets.at_sparsity(values, sparsity, figure)
    pairs = _pairs(values, rounds)
    known = [metric for metric in wanted if metric in set(pairs["metric"])]
    if not known:
        raise tickets.NothingToDraw(
            "nothing to compare with", "no dense model has the metrics", "ticketsearch evaluate"
        )
    shown = {metric: base.presentation(metric, values) for metric in known}
    directions = values.dropna(subset=["better"]).groupby("metric")["better"].first()
    better = {metric: int(directions[metric]) for metric in known if metric in directions.index}
    notes = _notes(subject, kept, wanted, known, rounds)
    notes += [f"{metric} has no rows here" for metric in metrics if metric not in there]
    return Compared(pairs, rounds, known, better, shown, tickets.where(values, rounds), notes)


def _pairs(values: pd.DataFrame, rounds: Mapping[str, int]) -> pd.DataFrame:
    """Each ticket beside the dense model of its seed."""
    by = ["run", "metric", "seed"]
    own = tickets.of_rounds(values, rounds)[[*by, "round", "sparsity", "value"]]
    dense = values.loc[values["round"] == 0, [*by, "value"]].rename(columns={"value": "dense"})
    return own.merge(dense, on=by).sort_values(by, ignore_index=True)


def _notes(
    subject: tickets.Subject, rows: pd.DataFrame, wanted: list[str], known: list[str], rounds: Mapping[str, int]
) -> list[str]:
    names = subject.names
    absent = [names[run] for run in names if run not in rounds]
    notes = [tickets.of_runs("no ticket of this sparsity", absent, names)] if absent else []
    notes += [f"{metric}: no dense model or no ticket has it" for metric in wanted if metric not in known]
    at = pd.concat([tickets.of_rounds(rows, rounds), rows[rows["round"] == 0]])
    return notes + tickets.failures(at, names)
