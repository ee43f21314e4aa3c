"""Whether a ticket beats what should lose against it: its control runs, and random masks."""

import numpy as np
import pandas as pd

from ticketsearch.analysis.paired import paired

CONTROL, RANDOM = "control", "random"
NO_CONTROL = "reorder"
"""The control that is its twin's ticket again, with another order of the data: it should do as well."""
SAME = ["dense", "schedule", "rewind", "recipe", "prunable"]
"""What a control shares with its twin; random masks need only the dense model and the rule of prunable weights."""
DIGITS = 6
"""Sparsities are equal to this many digits: finer than one weight of a million."""
COLUMNS = ["run", "control", "round", "value", "base", "difference", "se", "low", "high", "p", "seeds", "beats"]


def against_controls(values: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of each ticket less that of its controls with as many weights left, paired over seeds.

    Args:
        values: measurements, one row for each run, seed, round and metric.

    Returns:
        A line for each run, control run and round of the ticket that both have: means `value` (the ticket's) and `base`
        (the control's), and the difference as in `analysis.paired`. `beats`: the interval lies above 0; where there is
        none (one seed, or no spread), the difference does.
    """
    twins = _twins(values)
    accuracy = values[values["metric"] == "accuracy"]
    accuracy = accuracy[accuracy["round"] > 0].assign(left=accuracy["sparsity"].round(DIGITS))
    mine = accuracy[["run", "seed", "left", "round", "value"]].merge(twins, on="run")
    theirs = accuracy[["run", "seed", "left", "value"]].rename(columns={"run": "control", "value": "base"})
    theirs = theirs.drop_duplicates(["control", "seed", "left"])
    found = paired(mine.merge(theirs, on=["control", "seed", "left"]), ["run", "control", "round"])
    bound = np.where(found["low"].isna(), found["difference"], found["low"])
    return found.assign(beats=bound > 0)[COLUMNS]


def _twins(values: pd.DataFrame) -> pd.DataFrame:
    """Which runs are whose controls: columns `run`, `control`.

    Rows name a control's twin by its pruner. Where several runs are of that pruner and alike in all that a control
    shares with its twin, none is chosen: those fields do not tell whose control it is.
    """
    runs = values[values["round"] > 0].drop_duplicates("run")
    tickets = runs[~runs["pruner"].isin([CONTROL, RANDOM])][["run", "pruner", *SAME]]
    controls = runs[runs["pruner"] == CONTROL]
    words = controls["label"].str.split()
    controls = controls.assign(of=words.str[0], action=words.str[1], control=controls["run"])
    controls = controls[controls["action"] != NO_CONTROL]
    own = controls[["control", "of", *SAME]].rename(columns={"of": "pruner"}).merge(tickets, on=["pruner", *SAME])
    own = own[~own.duplicated("control", keep=False)]
    chance = runs[runs["pruner"] == RANDOM][["run", "dense", "prunable"]].rename(columns={"run": "control"})
    chance = chance.merge(tickets, on=["dense", "prunable"])
    return pd.concat([own, chance])[["run", "control"]].drop_duplicates()
