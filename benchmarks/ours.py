"""The product, through its public interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

import ticketsearch
from benchmarks.cases import CASES, Job
from benchmarks.images import dataset
from benchmarks.report import Outcome, digest, of_weights
from benchmarks.search import Batch
from ticketsearch.data.batches import Batches
from ticketsearch.store import Run

if TYPE_CHECKING:
    import pandas as pd

IMPORTS = ("ticketsearch.api", "hydra", "pandas", "pyarrow.parquet")
"""What it imports while it works."""
CONF = Path(__file__).with_name("conf")


class Feed:
    """The product's batches alone, for the case that only loads images."""

    def __init__(self, job: Job) -> None:
        chosen = dataset(job)
        self._batches = Batches(chosen.load().train, chosen, job.batch_size, job.seed)

    def train(self, epoch: int) -> Iterator[Batch]:
        """One epoch's batches."""
        return self._batches.epoch(epoch)


def feed(job: Job) -> Feed:
    """The images of a job."""
    return Feed(job)


def search(job: Job, out: Path) -> None:
    """The search: the dense model and a round for each level."""
    ticketsearch.run(_typed(job, out), config_dir=CONF)


def outcome(job: Job, out: Path) -> Outcome:
    """What the search has stored."""
    rows = ticketsearch.load_results(out)
    losses = rows[(rows.family == "training") & (rows.metric == "loss") & rows.variant.str.startswith("epoch-")]
    losses = losses[losses.run == rows[rows["round"] == job.levels].run.iloc[-1]]  # round 0 is in both runs
    accuracies = rows[(rows.family == "accuracy") & (rows.metric == "accuracy") & (rows.variant == "")]
    accuracies = accuracies[(accuracies.split == "test") & accuracies.run.isin(losses.run)]
    weights = Run(out / rows.dense.iloc[0]).rewind(job.seed, 0).read()[0]
    levels = range(job.levels + 1)
    return Outcome(
        of_weights(weights),
        digest(_labels(job)),
        [int(losses[losses["round"] == n].kept.iloc[0]) for n in levels],
        [_of_epochs(losses[losses["round"] == n]) for n in levels],
        [float(accuracies[accuracies["round"] == n].value.iloc[0]) for n in levels],
    )


def _typed(job: Job, out: Path) -> list[str]:
    """The job as one would type it."""
    case = CASES[job.case]
    layout = ["recipe.channels_last=true"] if case.channels_last else []
    return [
        *layout,
        f"dataset={case.dataset}",
        f"dataset.root={job.root}",
        f"dataset.made_up={job.data == 'synthetic'}",
        f"dataset.subset={job.images}",
        f"dataset.validation={job.validation}",
        f"dataset.tests={job.tests}",
        f"model={case.model}",
        f"pruner={'lth' if job.levels else 'dense'}",
        f"schedule.rounds={job.levels}",
        f"recipe={case.recipe}",
        f"recipe.epochs={job.epochs}",
        f"recipe.batch_size={job.batch_size}",
        f"recipe.lr={job.lr}",
        "recipe.decay=constant",
        f"precision={'bfloat16' if job.bfloat16 else 'float32'}",
        "metrics=[accuracy]",
        "device=cpu",
        "threads=1",
        f"seed={job.seed}",
        "extensions=[benchmarks]",
        f"out={out}",
    ]


def _labels(job: Job) -> Iterator[Tensor]:
    """The labels of the dense model's training, as the product's batches give them."""
    loaded = Feed(job)
    return (labels for epoch in range(job.epochs) for _, labels in loaded.train(epoch))


def _of_epochs(rows: "pd.DataFrame") -> list[float]:
    number = rows.variant.str.removeprefix("epoch-").astype(int)
    return [float(value) for value in rows.value[number.sort_values().index]]
