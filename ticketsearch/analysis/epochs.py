"""For how many epochs tickets were trained."""

import pandas as pd


def trained_epochs(rows: pd.DataFrame) -> "pd.Series[int]":
    """Run -> the most epochs that a ticket of it was trained for; a run without records of its training is left out.

    Args:
        rows: tidy rows, those of family `training` among them.
    """
    own = (rows["round"] > 0) | (rows["run"] == rows["dense"])
    losses = rows[own & (rows["family"] == "training") & (rows["metric"] == "loss")]
    losses = losses[losses["variant"].str.startswith("epoch-")]
    each = losses.groupby(["run", "seed", "round"])["variant"].nunique()  # one that was rewound has no first epochs
    return each.groupby(level="run").max()
