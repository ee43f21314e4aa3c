"""Committing a trained ticket: what must hold of it is checked, then its files appear together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ticketsearch.cell import Cell
from ticketsearch.draw import Drawn
from ticketsearch.errors import RunFailed
from ticketsearch.evaluate import row
from ticketsearch.experiment import Experiment
from ticketsearch.files import encode_ticket
from ticketsearch.metrics.base import Value
from ticketsearch.results import encode_rows
from ticketsearch.ticket import Ticket
from ticketsearch.training.facts import facts, speed
from ticketsearch.training.predict import predict
from ticketsearch.training.state import Trained


def commit(experiment: Experiment, drawn: Drawn, trained: Trained) -> None:
    """Store a trained ticket with the rows that only its training can give. From here on it can be a source.

    Raises:
        RunFailed: a pruned weight does not hold `rest`.
    """
    ticket = drawn.assignment.ticket
    check_mask_held(ticket, trained.weights)
    files = {
        "ticket.safetensors": encode_ticket(trained.weights, ticket.mask, ticket.rest),
        "training.parquet": encode_rows(_rows(experiment, drawn, trained)),
    }
    if drawn.given:
        files["start.safetensors"] = encode_ticket(ticket.start, ticket.mask, ticket.rest)
    about = {"threads": torch.get_num_threads(), "seconds": trained.progress.seconds, "made": trained.progress.made}
    drawn.cell.commit(files, {**drawn.about, **about})


def check_mask_held(ticket: Ticket, weights: dict[str, Tensor]) -> None:
    """Raise RunFailed unless every pruned weight holds `rest`, bit for bit."""
    for name, alive in ticket.mask.items():
        rest = torch.zeros_like(weights[name]) if ticket.rest is None else ticket.rest[name]
        found, wanted = weights[name][~alive].view(torch.int32), rest[~alive].view(torch.int32)
        if not torch.equal(found, wanted):
            raise RunFailed(
                f"{int((found != wanted).sum())} pruned weights of {name} moved in training",
                "masks must hold after every step",
            )


def _rows(experiment: Experiment, drawn: Drawn, trained: Trained) -> list[dict[str, Any]]:
    ticket = drawn.assignment.ticket
    columns = experiment.columns(drawn.cell, ticket.mask) | {"sequence": 0}
    parameters = [name for name, _ in experiment.model.named_parameters()]
    rows = [row(columns, "training", value) for value in facts(trained, ticket.masked(ticket.start), parameters)]
    rows += [row(columns, "training", value, weights="best") for value in _at_best(experiment, trained)]
    return rows + [row(columns, "speed", value) for value in speed(trained)]


def _at_best(experiment: Experiment, trained: Trained) -> list[Value]:
    """Accuracies of the weights with the best validation accuracy. They are recorded; nothing is chosen by them."""
    if not trained.best:
        return []
    experiment.model.load_state_dict(trained.best)
    values = []
    for name, split in experiment.data.splits().items():
        right = int((predict(experiment.model, split).argmax(1) == split.labels).sum())
        values.append(Value("accuracy", right / len(split), 1, split=name))
    return values


def share_dense(stages: Sequence[Experiment], dense: Experiment, cell: Cell) -> None:
    """Let a dense cell be round 0 of every run that starts from it, with that run's names in its rows."""
    for stage in stages:
        config = stage.config
        if stage is not dense and config.dense.run_name == dense.run.name:
            total = sum(layer.weights for layer in stage.layers.values())
            rows = {"run": stage.run.name, "label": config.label, "kept": total, "prunable": config.options.prunable}
            rows |= {part: config.names[part] for part in ("pruner", "schedule", "rewind")}
            stage.run.share(cell, rows, stage.display.notice)
