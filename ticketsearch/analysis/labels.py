"""What a curve is called: the pruner's name, and only as much more as it takes to tell curves apart."""

from itertools import combinations

import pandas as pd

FIELDS = ("pruner", "schedule", "rewind", "recipe", "prunable", "order_seed", "dataset", "model")


def labels(rows: pd.DataFrame) -> dict[str, str]:
    """A distinct label for every run.

    Runs that share a label add the fewest fields that tell them apart, e.g. `lth (rewind=init)`; where no field does,
    the suffix of the run's id.

    Args:
        rows: tidy rows.

    Returns:
        Run id -> label.
    """
    # Round 0 is borrowed from the dense model, so a run's own fields are read from its last round.
    runs = rows.sort_values("round", kind="stable").drop_duplicates("run", keep="last").set_index("run").sort_index()
    return {run: name for label, group in runs.groupby("label") for run, name in _apart(str(label), group).items()}


def _apart(label: str, runs: pd.DataFrame) -> dict[str, str]:
    if len(runs) == 1:
        return {str(runs.index[0]): label}
    values = runs[list(FIELDS)].astype({"order_seed": "Int64"}).astype(object)
    values = values.where(values.notna(), "null").astype(str)
    fields = _telling(values)
    details = {str(run): [f"{field}={row[field]}" for field in fields] for run, row in values.iterrows()}
    alike = values.duplicated(fields, keep=False) if fields else pd.Series(True, index=values.index)
    for run in alike.index[alike]:
        details[run].append(run.rsplit("-", 1)[-1])
    return {run: f"{label} ({', '.join(parts)})" for run, parts in details.items()}


def _telling(values: pd.DataFrame) -> list[str]:
    """The fewest fields by which all differ; where none suffice, every field that differs."""
    differing = [field for field in FIELDS if values[field].nunique() > 1]
    for size in range(1, len(differing)):
        for fields in combinations(differing, size):
            if not values.duplicated(list(fields)).any():
                return list(fields)
    return differing
