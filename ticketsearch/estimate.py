"""What a search has left to train, and how long that takes: measured, or timed on a few steps; never made up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ticketsearch.errors import CorruptStore
from ticketsearch.experiment import Experiment
from ticketsearch.store import Run
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.loop import Training
from ticketsearch.training.state import Assignment


@dataclass(frozen=True)
class Estimate:
    """What is left to train.

    Attributes:
        cells: the folder of each cell that is not trained -> the seconds that its training takes, without evaluation.
    """

    cells: Mapping[Path, float]

    @property
    def seconds(self) -> float:
        """Of all of them, one after another."""
        return sum(self.cells.values())

    def __or__(self, other: "Estimate") -> "Estimate":
        """What is left of two searches; what they share is trained once."""
        return Estimate({**self.cells, **other.cells})


def estimate(search: Experiment, known: dict[str, float] | None = None) -> Estimate:
    """What is left of a search, and of what it starts from.

    Args:
        search: what is asked for.
        known: dense run -> seconds an epoch, of those that were timed before; what is timed now is added.
    """
    left = [(stage, cell) for stage in search.stages for cell in stage.cells() if not cell.committed]
    if not left:
        return Estimate({})
    known, dense = {} if known is None else known, search.dense
    if dense.run.name not in known:
        past = seconds_an_epoch(dense.run, dense.config.recipe.epochs)
        known[dense.run.name] = timed(dense) if past is None else past
    epoch = known[dense.run.name]
    return Estimate({cell.path: epoch * s.config.recipe.epochs * s.config.pruner.budget for s, cell in left})


def seconds_an_epoch(run: Run, epochs: float) -> float | None:
    """As the first round of a run that is there has taken; None: there is none.

    Args:
        run: the run.
        epochs: that each of its rounds is trained for.
    """
    for cell in run.cells():
        try:
            return float(cell.manifest["seconds"]) / epochs
        except (CorruptStore, ZeroDivisionError):  # it is made again when its turn comes; or nothing was trained
            continue
    return None


def timed(dense: Experiment) -> float:
    """Seconds an epoch, from a few steps on fresh weights; every training loads its own, so nothing depends on them."""
    dense.set_threads()
    seed, config = dense.config.seeds[0], dense.config
    ticket = Ticket(Mask.ones(dense.layers), dense.model.state_dict())
    training = Training(
        dense.model, Assignment(ticket, seed, seed), config.recipe, config.dataset, dense.data, dense.engine
    )
    steps = dense.per_epoch + len(dense.data.val) / config.recipe.batch_size / 3  # forward is a third of a step
    return training.seconds_a_step() * steps
