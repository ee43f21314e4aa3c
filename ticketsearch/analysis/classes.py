"""Which classes pay for pruning (Hooker et al. 2019, "What do compressed deep neural networks forget?")."""

from collections.abc import Sequence

import pandas as pd
from scipy.stats import ttest_ind_from_stats

from ticketsearch.analysis.seeds import measured

SIGNIFICANT = 0.05
ROUNDING = 1e-12


def class_changes(rows: pd.DataFrame, split: str = "test", settings: Sequence[str] = ()) -> pd.DataFrame:
    """How much more or less than the whole each class changes from the dense models to the tickets of a round.

    Of each model a class's accuracy is taken less the model's accuracy, so that what all classes lose alike is no
    change. Tickets and dense models of all seeds are two samples, compared by Welch's t-test, as in Hooker et al.

    Args:
        rows: tidy rows with `accuracy` and `class_accuracy`.
        split: where they were measured.
        settings: hashes to take where they were measured in several ways.

    Returns:
        A line for each run, round above 0 and class: `run`, `round`, `sparsity`, `class`; `change`: the mean of the
        tickets less that of the dense models, a fraction, below 0 where the class pays more than the others; `p`: of
        both sides, NaN for fewer than two seeds and where neither sample varies; `seeds`; `significant`: p is at most
        0.05, as in the paper, without a correction for the number of classes.
    """
    rows = measured(rows[rows["metric"].isin(["accuracy", "class_accuracy"]) & (rows["split"] == split)], settings)
    whole = rows[rows["metric"] == "accuracy"].set_index(["run", "seed", "round"])["value"]
    each = rows[rows["metric"] == "class_accuracy"]
    each = each.assign(
        own=each["value"].to_numpy() - whole.reindex(pd.MultiIndex.from_frame(each[whole.index.names])).to_numpy(),
        number=each["variant"].str.removeprefix("class-").astype(int),
    )
    lines = []
    for (run, number), group in each.groupby(["run", "number"]):
        dense = group.loc[group["round"] == 0].set_index("seed")["own"]
        for round, tickets in group[group["round"] > 0].groupby("round"):
            same = dense.reindex(tickets["seed"]).dropna()  # dense models of the seeds that have a ticket
            lines.append((run, round, tickets["sparsity"].mean(), number, *_compared(tickets["own"], same)))
    table = pd.DataFrame(lines, columns=["run", "round", "sparsity", "class", "change", "p", "seeds"])
    table = table.sort_values(["run", "round", "class"], ignore_index=True)
    return table.assign(significant=table["p"] <= SIGNIFICANT)


def _compared(tickets: "pd.Series[float]", dense: "pd.Series[float]") -> tuple[float, float, int]:
    """Difference of the means, p, and how many seeds."""
    change, spread = float(tickets.mean() - dense.mean()), (tickets.std(), dense.std())  # of one seed NaN
    if not max(spread) > ROUNDING:
        return change, float("nan"), len(tickets)
    first, second = ((sample.mean(), sample.std(), len(sample)) for sample in (tickets, dense))
    return change, float(ttest_ind_from_stats(*first, *second, equal_var=False).pvalue), len(tickets)
