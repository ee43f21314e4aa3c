"""For how many epochs tickets were trained."""

import pandas as pd


def trained_epochs(rows: pd.DataFrame) -> "pd.Series[int]":
    """Run -> the most epochs that a ticket of it was trained for; a run without records of its training is left out.

    Args:
        rows: tidy rows, those of family `training` among them.
    """
    losses = rows[(rows["family"] == "training") & (rows["metric"] == "loss")]
    losses = losses[
        losses["variant"].str.startswith("epoch-") & ((losses["round"] > 0) | (losses["run"] == losses["dense"]))
    ]
    return losses["variant"].str.removeprefix("epoch-").astype(int).groupby(losses["run"]).max()
