"""Region I, II and III of a run: where its tickets win, where they degrade, where they only guess.

Region I ends at the last round whose mean test accuracy is at least dense - 1.0 percentage points (the rule read off
the figures of Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022). Region III is ours: it begins
at the first round from which every mean is at most p + 2 sqrt(p (1 - p) / N), p the share of the largest class among
the N test images. Region II lies between. Accuracy decides once; every metric's figure draws the same regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ticketsearch.analysis.seeds import measured, statistics
from ticketsearch.errors import UsageError

Region = Literal["I", "II", "III"]

# Accuracies are multiples of 1 / N; a mean exactly on a threshold must not fall on either side by rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Regions:
    """The regions of one run, and the means that decided them.

    Attributes:
        run: the run's id.
        rounds: rounds with a test accuracy, ascending; the first is 0. Gaps are possible.
        sparsity: of each round, in [0, 1].
        mean: test accuracy of each round, mean over its seeds, in [0, 1].
        dense: what that mean was compared with: dense test accuracy, mean over the same seeds.
        seeds: how many seeds each mean has.
        last_round_in_I: never below 0: the dense model is in Region I by definition.
        first_round_in_III: None: not reached, or unknown where `chance` is None.
        chance: the accuracy that Region III does not exceed; None: unknown.
        notes: what the reader of a figure or a table must be told.
    """

    run: str
    rounds: tuple[int, ...]
    sparsity: tuple[float, ...]
    mean: tuple[float, ...]
    dense: tuple[float, ...]
    seeds: tuple[int, ...]
    last_round_in_I: int
    first_round_in_III: int | None
    chance: float | None
    notes: tuple[str, ...] = ()

    def of(self, round: int) -> Region:
        """The region of a round; one without an accuracy of its own lies where the boundaries put it."""
        if round <= self.last_round_in_I:
            return "I"
        return "II" if self.first_round_in_III is None or round < self.first_round_in_III else "III"


def regions(rows: pd.DataFrame, run: str, tolerance: float = 0.01, settings: Sequence[str] = ()) -> Regions:
    """Decide the regions of a run by its test accuracy.

    Args:
        rows: tidy rows, of which those with status ok, split test, weights last, at end are looked at.
        run: the run's id; its round 0 is its dense model.
        tolerance: how far below dense Region I reaches, a fraction in [0, 1): 0.01 is one percentage point.
        settings: hashes to take where accuracy was measured in several ways (`analysis.seeds.measured`).

    Returns:
        The regions. Each mean is over the seeds that exist at that round, and is compared with dense over those same
        seeds; a seed without a dense accuracy is left out, and `notes` says so.

    Raises:
        UsageError: `tolerance` is out of range, or the run has no test accuracy at round 0.
    """
    found = regions_of(rows[rows["run"] == run], tolerance, settings)
    if run not in found:
        raise UsageError(f"'{run}' has no test accuracy at round 0", "regions compare tickets with their dense model")
    return found[run]


def regions_of(rows: pd.DataFrame, tolerance: float = 0.01, settings: Sequence[str] = ()) -> dict[str, Regions]:
    """Decide the regions of every run at once; see `regions`.

    Args:
        rows: tidy rows.
        tolerance: how far below dense Region I reaches, a fraction in [0, 1).
        settings: hashes to take where accuracy was measured in several ways.

    Returns:
        Run -> its regions; a run without a test accuracy at round 0 is not there.

    Raises:
        UsageError: `tolerance` is out of range.
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"tolerance={tolerance:g} is no fraction in [0, 1)", "0.01 is one percentage point")
    reached = rows.groupby("run")["round"].max()
    rows = rows[rows["metric"].isin(["accuracy", "majority_share"])]
    rows = measured(rows[(rows["split"] == "test") & (rows["variant"] == "")], settings)
    accuracy = rows[rows["metric"] == "accuracy"].dropna(subset=["value"])
    means, unpaired = _against_dense(accuracy)
    chances = _chances(rows[rows["metric"] == "majority_share"])
    groups = {str(run): group for run, group in means.groupby("run")}
    return {
        run: _decided(run, group, tolerance, chances.get(run), int(reached[run]), unpaired.get(run, ()))
        for run, group in groups.items()
    }


def _decided(
    run: str, means: pd.DataFrame, tolerance: float, chance: float | None, reached: int, unpaired: Sequence[int]
) -> Regions:
    """The regions of one run from its means, a line a round; `reached` is the last round that it has rows of."""
    rounds, mean, dense = (means[name].to_numpy() for name in ("round", "mean", "dense"))
    last = int(rounds[mean >= dense - tolerance - ROUNDING].max())
    guesses = mean <= (np.nan if chance is None else chance) + ROUNDING
    from_here_on = np.logical_and.accumulate(guesses[::-1])[::-1] & (rounds > last)
    notes = ["Region III unknown (no majority_share)"] if chance is None else []
    if gaps := sorted(set(range(reached + 1)) - set(rounds.tolist())):
        notes.append(f"regions decided without {spans(gaps)}")
    notes += [f"seed {seed} left out (no dense accuracy)" for seed in unpaired]
    return Regions(
        run=run,
        rounds=tuple(rounds.tolist()),
        sparsity=tuple(means["sparsity"].tolist()),
        mean=tuple(mean.tolist()),
        dense=tuple(dense.tolist()),
        seeds=tuple(means["seeds"].tolist()),
        last_round_in_I=last,
        first_round_in_III=int(rounds[from_here_on].min()) if from_here_on.any() else None,
        chance=chance,
        notes=tuple(notes),
    )


def _against_dense(accuracy: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[int]]]:
    """Means of each run and round beside dense over the same seeds, and the seeds that have no dense accuracy."""
    own = ["run", "seed"]
    dense = accuracy.loc[accuracy["round"] == 0, [*own, "value"]].rename(columns={"value": "base"})
    beside = accuracy.merge(dense.drop_duplicates(own), "left", on=own)
    paired = beside[beside["base"].notna()]
    means = statistics(paired)
    means["dense"] = statistics(paired.assign(value=paired["base"]))["mean"]
    alone = beside.loc[beside["base"].isna(), own].drop_duplicates().sort_values(own)
    return means, {str(run): seeds.tolist() for run, seeds in alone.groupby("run")["seed"]}


def _chances(shares: pd.DataFrame) -> dict[str, float]:
    """Run -> the bound p + 2 sqrt(p (1 - p) / N). The split is the same in every round and seed: any row will do."""
    first = shares.dropna(subset=["value", "stderr"]).drop_duplicates("run")
    return dict(zip(first["run"], (first["value"] + 2 * first["stderr"]).astype(float), strict=True))


def spans(rounds: Sequence[int]) -> str:
    """Rounds in words, e.g. `round 4`, `rounds 4, 7-9`.

    Args:
        rounds: at least one, ascending.

    Returns:
        The words.
    """
    starts = [round for round in rounds if round - 1 not in rounds]
    ends = [round for round in rounds if round + 1 not in rounds]
    parts = [f"{start}" if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    return f"round{'s' * (len(rounds) > 1)} {', '.join(parts)}"
