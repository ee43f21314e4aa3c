"""Drawing a ticket: look at the source, score, keep exactly as many weights as the schedule says, rewind."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ticketsearch.errors import RunFailed
from ticketsearch.experiment import Experiment
from ticketsearch.points import CellCheckpoint, RewindPoints, kept_steps
from ticketsearch.pruners.base import Source
from ticketsearch.pruners.view import Context, View
from ticketsearch.store import Cell
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.state import Assignment, Start


@dataclass(frozen=True)
class Drawn:
    """A ticket to train.

    Attributes:
        cell: whose ticket it is.
        assignment: what to train.
        about: where the ticket comes from, for the manifest.
        given: whether the pruner gave the start weights itself, so that they cannot be found again elsewhere.
    """

    cell: Cell
    assignment: Assignment
    about: Mapping[str, Any]
    given: bool


def draw(experiment: Experiment, cell: Cell) -> Drawn:
    """Draw the ticket of one cell.

    Raises:
        RunFailed: the pruner gave no valid mask: scores that are no numbers, another count, dead weights revived.
        CorruptStore: what it is drawn from is not what its checksum says.
    """
    config, points = experiment.config, RewindPoints(experiment, cell.seed)
    at, origin = _view(experiment, cell, points)
    keep = config.schedule.keep(cell.round, at.mask.total)
    try:
        drawn = config.pruner.draw(at, keep, Context(cell.seed, points.at(0)[0]))
    except ValueError as error:
        what = f"{config.names['pruner']} cannot draw round {cell.round} of seed {cell.seed}: {error}"
        raise RunFailed(what, "its scores must be numbers, one for each weight; no ticket was written") from error
    ticket, start = _rewound(experiment, at, drawn, points)
    _check(experiment, cell, ticket.mask, at.mask, keep)
    for name in (name for name, kept in ticket.mask.layer_kept.items() if kept == 0):
        experiment.display.notice(f"round {cell.round} of seed {cell.seed} prunes all of {name}")
    given = isinstance(drawn, Ticket)
    begins = {"artefact": "start.safetensors"} if given else dict(config.rewind.origin(experiment.per_epoch))
    about = {"kept": ticket.mask.kept, "total": ticket.mask.total, "source": origin, "start": begins}
    snapshots = kept_steps(experiment) if cell.round == 0 else frozenset()
    belongs = {"run": experiment.run.name, "source": origin, "threads": torch.get_num_threads()}
    checkpoint = CellCheckpoint(experiment, cell, belongs | {"device": experiment.device.type})
    assignment = Assignment(
        ticket, cell.seed, config.order_seed(cell.seed), checkpoint, start, config.pruner.epochs, snapshots
    )
    return Drawn(cell, assignment, about, given)


def _view(experiment: Experiment, cell: Cell, points: RewindPoints) -> tuple[View, dict[str, Any]]:
    """What the pruner looks at, and which artefact that is."""
    source = experiment.config.pruner.source
    ones = Mask.ones(experiment.layers)
    if source is Source.INIT:
        seen = Ticket(ones, points.at(0)[0])
        origin = {
            "run": experiment.dense.run.name,
            "seed": cell.seed,
            "rewind": 0,
            "sha256": points.point(0).sha,
        }
    else:
        parent = experiment.dense.run.cell(cell.seed, 0)
        if source is Source.PREVIOUS and cell.round > 1:
            parent = experiment.run.cell(cell.seed, cell.round - 1)
        stored = parent.ticket()
        seen = stored if parent.round else Ticket(ones, stored.start)
        origin = {"run": parent.run.name, "seed": cell.seed, "round": parent.round, "sha256": parent.sha}
    experiment.model.load_state_dict(dict(seen.start))
    experiment.model.eval().zero_grad(set_to_none=True)  # the same view whatever this process did before
    return View(experiment.model, seen.start, seen.mask, seen.rest, experiment.layers), origin


def _rewound(experiment: Experiment, at: View, drawn: Mask | Ticket, points: RewindPoints) -> tuple[Ticket, Start]:
    config = experiment.config
    if isinstance(drawn, Ticket):
        given = {name: tensor.detach().cpu().contiguous() for name, tensor in drawn.start.items()}
        return replace(drawn, start=given), Start()
    weights, start = config.rewind.apply(at.weights, points, experiment.per_epoch)
    return Ticket(drawn, weights, config.rest.apply(drawn, weights)), start


def _check(experiment: Experiment, cell: Cell, mask: Mask, alive: Mask, keep: int) -> None:
    """What must hold of every mask, whoever drew it."""
    name = experiment.config.names["pruner"]
    if experiment.config.pruner.exact and mask.kept != keep:
        raise RunFailed(
            f"{name} kept {mask.kept} weights in round {cell.round} instead of {keep}",
            "an exact pruner keeps what it is told",
        )
    if not mask.issubset(alive):
        raise RunFailed(
            f"{name} revived pruned weights in round {cell.round}", "a mask lies within the mask that it was drawn from"
        )
