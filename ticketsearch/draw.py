"""Drawing a ticket: look at the source, score, keep exactly as many weights as the schedule says, rewind."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ticketsearch import channels
from ticketsearch.cell import Cell
from ticketsearch.cost import Cost
from ticketsearch.drawing import Drawing
from ticketsearch.errors import RunFailed
from ticketsearch.experiment import Experiment
from ticketsearch.points import CellCheckpoint, RewindPoints, kept_steps
from ticketsearch.pruners.base import Source
from ticketsearch.pruners.view import Context, Twin, View
from ticketsearch.ticket import Mask, Ticket, Weights
from ticketsearch.training.state import Assignment


@dataclass(frozen=True)
class Drawn:
    """A ticket to train.

    Attributes:
        cell: whose ticket it is.
        assignment: what to train.
        about: where the ticket comes from, for the manifest.
        given: whether the pruner gave the start weights itself, so that they cannot be found again elsewhere.
        cost: what drawing it has computed.
    """

    cell: Cell
    assignment: Assignment
    about: Mapping[str, Any]
    given: bool
    cost: Cost


def draw(experiment: Experiment, cell: Cell) -> Drawn:
    """Draw the ticket of one cell.

    Raises:
        RunFailed: the pruner gave no valid mask: scores that are no numbers, another count, dead weights revived.
        CorruptStore: what it is drawn from is not what its checksum says.
    """
    config, points = experiment.config, RewindPoints(experiment, cell.seed)
    twin = _twin(experiment, cell)
    at, origin = _view(experiment, cell, points)
    keep = at.mask.kept if twin else config.schedule.keep(cell.round, at.mask.total)
    experiment.display.begin(cell, config.label, 1 - keep / at.mask.total)
    weights, start = config.rewind.apply(at.weights, points, experiment.per_epoch)
    about: dict[str, Any] = {
        "source": origin,
        "start": _start_of(experiment, cell, points),
        "data": experiment.fingerprint,
    }
    here = {"run": experiment.run.name, "threads": torch.get_num_threads(), "device": experiment.device.type}
    here |= {"engine": inexact} if (inexact := experiment.engine.inexact(experiment.device)) else {}
    drawing = Drawing(experiment, cell, about | here)
    initial, data, recipe = points.at(0)[0], experiment.data, config.recipe
    ctx = Context(cell.seed, initial, points.fresh, weights, data, recipe, drawing.train, drawing.cost, twin)
    try:
        kept = drawing.kept()
        drawn = drawing.draw(at, keep, ctx) if kept is None else kept
        dynamics = config.pruner.during(keep, ctx)
        ticket = _ticket(experiment, cell, at, drawn, weights)
    except ValueError as error:
        what = f"{config.names['pruner']} cannot draw round {cell.round} of seed {cell.seed}: {error}"
        raise RunFailed(what, "scores are numbers, one for each weight; no ticket was written") from error
    _check(experiment, cell, ticket.mask, Mask.ones(experiment.layers) if twin else at.mask, keep)
    if kept is None:
        drawing.keep(ticket if isinstance(drawn, Ticket) else drawn)
    _tell(experiment, cell, ticket.mask, keep)
    given = isinstance(drawn, Ticket)
    about |= {"start": {"artefact": "start.safetensors"}} if given else {}
    snapshots = kept_steps(experiment) if cell.round == 0 else frozenset()
    order, epochs = config.order_seed(cell.seed), config.pruner.epochs
    checkpoint = CellCheckpoint(experiment, cell, about | here)
    assignment = Assignment(ticket, cell.seed, order, checkpoint, start, epochs, snapshots, dynamics=dynamics)
    about |= {"kept": ticket.mask.kept, "total": ticket.mask.total}
    about |= {"scoring": drawing.cost.scoring} if drawing.cost.scoring else {}
    return Drawn(cell, assignment, about, given, drawing.cost)


def _tell(experiment: Experiment, cell: Cell, mask: Mask, keep: int) -> None:
    """Say what a person should know of a mask."""
    for name in (name for name, kept in mask.layer_kept.items() if kept == 0):
        experiment.display.notice(f"round {cell.round} of seed {cell.seed} prunes all of {name}")
    if experiment.config.pruner.unit == "channel" and channels.narrowest(experiment.model, mask):
        told = f"one channel a layer is left: {mask.kept} weights, where the schedule says {keep}"
        experiment.display.notice(f"round {cell.round} of seed {cell.seed}: {told}")


def _view(experiment: Experiment, cell: Cell, points: RewindPoints) -> tuple[View, dict[str, Any]]:
    """What the pruner looks at, and which artefact that is."""
    ones = Mask.ones(experiment.layers)
    parent = _parent(experiment, cell)
    if parent is None:
        seen, name = Ticket(ones, points.at(0)[0]), experiment.dense.run.name
        origin = {"run": name, "seed": cell.seed, "rewind": 0, "sha256": points.used[0]}
    else:
        stored = parent.ticket()
        seen = stored if parent.round else Ticket(ones, stored.start)
        origin = {"run": parent.run.name, "seed": cell.seed, "round": parent.round, "sha256": parent.sha}
    experiment.model.load_state_dict(dict(seen.start))
    experiment.model.eval().zero_grad(set_to_none=True)  # the same view whatever this process did before
    return View(experiment.model, seen.start, seen.mask, seen.rest, experiment.layers), origin


def _parent(experiment: Experiment, cell: Cell) -> Cell | None:
    """The trained ticket that the pruner looks at; None: it looks at the initialisation."""
    source = experiment.config.pruner.source
    if source is Source.INIT:
        return None
    if source is Source.TWIN:
        return experiment.twin.run.cell(cell.seed, cell.round)
    if source is Source.PREVIOUS and cell.round > 1:
        return experiment.run.cell(cell.seed, cell.round - 1)
    return experiment.dense.run.cell(cell.seed, 0)


def _twin(experiment: Experiment, cell: Cell) -> Twin | None:
    if experiment.config.pruner.source is not Source.TWIN:
        return None
    theirs, twin = experiment.twin.run.cell(cell.seed, cell.round), experiment.twin

    def view() -> View:
        return _view(twin, theirs, RewindPoints(twin, cell.seed))[0]

    return Twin(twin.config.pruner.score, twin.config.pruner.scope, cache(lambda: started(twin, theirs)), view)


def started(experiment: Experiment, cell: Cell) -> Ticket:
    """The ticket of a committed cell as its training began.

    Raises:
        CorruptStore: what it came from is not what its checksum says.
    """
    given = cell.start()
    if given is not None:
        return given
    points, mask = RewindPoints(experiment, cell.seed), cell.ticket().mask
    at, _ = _view(experiment, cell, points)
    weights, _ = experiment.config.rewind.apply(at.weights, points, experiment.per_epoch)
    return Ticket(mask, weights, experiment.config.rest.apply(mask, weights, at.weights))


def _ticket(experiment: Experiment, cell: Cell, at: View, drawn: Mask | Ticket, weights: Weights) -> Ticket:
    """The ticket as its training begins: with weights of its own, with its twin's, or with rewound ones.

    Raises:
        ValueError: a new mask cannot have its twin's weights: there are none for what the twin prunes.
    """
    config = experiment.config
    if isinstance(drawn, Ticket):
        names = experiment.model.state_dict()  # their order, so that the same weights are the same file
        given = {name: drawn.start[name].detach().cpu().contiguous() for name in names}
        rest = config.rest.apply(drawn.mask, given, at.weights) if drawn.rest is None else drawn.rest
        return Ticket(drawn.mask, given, rest)
    if config.pruner.source is Source.TWIN:
        theirs = experiment.twin.run.cell(cell.seed, cell.round)
        if theirs.start() is not None:
            raise ValueError(f"{experiment.twin.config.names['pruner']} gives start weights for its own masks alone")
        weights = started(experiment.twin, theirs).start
    return Ticket(drawn, weights, config.rest.apply(drawn, weights, at.weights))


def _start_of(experiment: Experiment, cell: Cell, points: RewindPoints) -> dict[str, Any]:
    """Where rewound weights come from, for the manifest; a new mask for a twin's weights has them from there."""
    if experiment.config.pruner.source is Source.TWIN:
        theirs = experiment.twin.run.cell(cell.seed, cell.round)
        return {**theirs.manifest["start"], "of": experiment.twin.run.name}
    used = {str(step): sha for step, sha in sorted(points.used.items())}
    return {**experiment.config.rewind.origin(experiment.per_epoch), "run": experiment.dense.run.name, "points": used}


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
