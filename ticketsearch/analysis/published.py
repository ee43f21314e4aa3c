"""Points that were read off published figures, as tidy rows beside one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ticketsearch.errors import closest
from ticketsearch.results import SCHEMA

FOLDER = Path(__file__).resolve().parents[1] / "published"


@dataclass(frozen=True)
class Published:
    """The readings of one publication.

    Attributes:
        name: what it is called where there is little room.
        source: authors, title, year.
        reading: how the points came about, and what they lack.
        claim: what the publication says comes of them, to be read beside one's own verdict on the points.
        metrics: metric -> `better` (+1 or -1), and where known `unit` and `error`, the reading error of a value.
        points: a line for each `dataset`, `model`, `metric`, `pruner` and `round`, with its `value`, in the units of
            our own rows (fractions, mCE in percent). Rounds remove 20 % of what is left.
    """

    name: str
    source: str
    reading: str
    claim: str
    metrics: Mapping[str, Mapping[str, Any]]
    points: pd.DataFrame

    def rows(self) -> pd.DataFrame:
        """The points as tidy rows of one seed: runs are `<dataset>-<model>-<pruner>`.

        Round 0 of each run is the reading of the dense line; where that is hidden or absent, the pruner's own first
        point, and where the pruner has none, it has no round 0. What a figure does not say is null.
        """
        cell = ["dataset", "model", "metric"]
        dense = self.points[self.points["pruner"] == "dense"]
        own = self.points[self.points["pruner"] != "dense"]
        pruners = own[["dataset", "model", "pruner"]].drop_duplicates()
        shared = dense.drop(columns="pruner").merge(pruners, on=["dataset", "model"])
        points = pd.concat([shared, own, dense])  # where both have round 0, the dense line comes first, and counts
        points = points.drop_duplicates([*cell, "pruner", "round"])
        name = points["dataset"] + "-" + points["model"] + "-"
        points = points.assign(
            run=name + points["pruner"], dense=name + "dense", label=points["pruner"], schedule="geometric",
            rewind="", recipe="", prunable="default", seed=0, sparsity=1 - 0.8 ** points["round"], family="published",
            variant="", split="test", weights="last", at="end", settings="", sequence=0, status="ok",
            better=points["metric"].map({key: about["better"] for key, about in self.metrics.items()}),
            unit=points["metric"].map({key: about.get("unit", "") for key, about in self.metrics.items()}),
        )  # fmt: skip
        return points.reindex(columns=SCHEMA.names).reset_index(drop=True)


def published(name: str = "chen2022") -> Published:
    """The readings that come with the package.

    Args:
        name: of the publication, e.g. `chen2022`.

    Raises:
        UsageError: there are none of that name.
    """
    there = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in there:
        attempt, otherwise = "ticketsearch plot published={}", f"ticketsearch plot published={there[0]}"
        raise closest(name, there, f"no published readings named '{name}'", attempt, otherwise, f"published={name}")
    about = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return Published(**about, points=pd.read_csv(FOLDER / f"{name}.csv"))
