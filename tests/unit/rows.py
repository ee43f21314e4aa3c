"""Tidy rows made up for tests."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

COLUMNS = [
    "run", "dense", "label", "dataset", "model", "pruner", "schedule", "rewind", "recipe", "seed", "order_seed",
    "round", "sparsity", "sparsity_total", "kept", "prunable", "family", "metric", "variant", "value", "stderr",
    "better", "unit", "split", "weights", "at", "settings", "sequence", "status", "error", "seconds",
]  # fmt: skip
DENSE = "digits-resnet20-dense-99aabbcc"
FAMILIES = {"nll": "calibration", "ece": "calibration", "sce": "calibration", "brier": "calibration"}
DOWN = {"loss", "disagreement", "nll", "ece", "sce", "brier"}


def row(run: str, round: int, value: float, metric: str = "accuracy", seed: int = 0, **fields: Any) -> dict[str, Any]:
    """One measurement of a run named `<dataset>-<model>-<pruner>-<id>`; `fields` override any column."""
    dataset, model, pruner, _ = run.split("-")
    sparsity = 1 - 0.8**round
    defaults = {
        "run": run, "dense": DENSE, "label": pruner, "dataset": dataset, "model": model, "pruner": pruner,
        "schedule": "geometric", "rewind": "init", "recipe": "digits", "seed": seed, "order_seed": pd.NA,
        "round": round, "sparsity": sparsity, "sparsity_total": 0.99 * sparsity, "kept": int(1000 * 0.8**round),
        "prunable": "default", "family": FAMILIES.get(metric, "accuracy"), "metric": metric, "variant": "",
        "value": value, "stderr": float("nan"), "better": -1.0 if metric in DOWN else 1.0, "unit": "",
        "split": "test", "weights": "last", "at": "end", "settings": "aaaaaaaaaaaa", "sequence": 0, "status": "ok",
        "error": "", "seconds": 0.1,
    }  # fmt: skip
    return defaults | fields


def frame(*rows: Mapping[str, Any]) -> pd.DataFrame:
    """Rows as the tidy frame, with its nullable integers."""
    return pd.DataFrame(rows, columns=COLUMNS).astype({"order_seed": "Int64"})


def curve(run: str, values: Mapping[int, float], **fields: Any) -> list[dict[str, Any]]:
    """One row for each round of `values`."""
    return [row(run, round, value, **fields) for round, value in values.items()]


def share(run: str, p: float, stderr: float, **fields: Any) -> dict[str, Any]:
    """The largest class share of the split, which is a measurement of round 0 like any other."""
    return row(run, 0, p, "majority_share", stderr=stderr, better=float("nan"), **fields)
