"""Committing a trained ticket: what must hold of it is checked, then its files appear together."""

from collections.abc import Sequence
from dataclasses import replace
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

    Where validation was best at the end, logits that these rows need are those of the ticket, and join
    `trained.logits`.

    Raises:
        RunFailed: a pruned weight does not hold `rest`.
    """
    began, ticket = trained.began, replace(trained.began, mask=trained.mask)
    check_mask_held(ticket, trained.weights)
    if experiment.config.pruner.exact and ticket.mask.kept != drawn.about["kept"]:
        what = f"{experiment.config.names['pruner']} ended with {ticket.mask.kept} weights, not {drawn.about['kept']}"
        raise RunFailed(what, "an exact pruner keeps what it is told, to the end of the training")
    files = {
        "ticket.safetensors": encode_ticket(trained.weights, ticket.mask, ticket.rest),
        "training.parquet": encode_rows(_rows(experiment, drawn, trained)),
    }
    about = {
        "kept": ticket.mask.kept,
        "threads": torch.get_num_threads(),
        "seconds": trained.progress.seconds + drawn.cost.seconds,
        "made": sorted({*trained.progress.made, *drawn.cost.made}),
    }
    if drawn.given or began is not drawn.assignment.ticket:
        files["start.safetensors"] = encode_ticket(began.start, began.mask, began.rest)
        about["start"] = {"artefact": "start.safetensors"}
    drawn.cell.commit(files, {**drawn.about, **about})


def check_mask_held(ticket: Ticket, weights: dict[str, Tensor]) -> None:
    """Raise RunFailed unless every pruned weight holds `rest`, bit for bit."""
    held = ticket.mask.held.items()
    for name, dead in [*((name, ~alive) for name, alive in ticket.mask.items()), *held]:
        rest = (ticket.rest or {}).get(name, torch.zeros_like(weights[name]))
        found, wanted = weights[name][dead].view(torch.int32), rest[dead].view(torch.int32)
        if not torch.equal(found, wanted):
            raise RunFailed(
                f"{int((found != wanted).sum())} pruned weights of {name} moved in training",
                "masks must hold after every step",
            )


def _rows(experiment: Experiment, drawn: Drawn, trained: Trained) -> list[dict[str, Any]]:
    columns = experiment.columns(drawn.cell, trained.mask) | {"sequence": 0}
    parameters = [name for name, _ in experiment.model.named_parameters()]
    rows = [
        row(columns, "training", value)
        for value in facts(trained, trained.began.masked(trained.began.start), parameters)
    ]
    rows += [row(columns, "training", value, weights="best") for value in _at_best(experiment, trained)]
    if drawn.cell.round:
        rows += [row(columns, "cost", value) for value in drawn.cost.values(experiment.macs)]
    if drawn.cost.seconds:
        searched = Value("seconds", drawn.cost.seconds, -1, "s", "train", variant="search")
        rows.append(row(columns, "speed", searched))
    return rows + [row(columns, "speed", value) for value in speed(trained)]


def _at_best(experiment: Experiment, trained: Trained) -> list[Value]:
    """Accuracies of the weights with the best validation accuracy. They are recorded; nothing is chosen by them."""
    if not trained.best:
        return []
    values = [Value("accuracy", trained.progress.best_accuracy, 1, split="val")]
    for name, split in experiment.data.splits().items():
        if name != "val":
            experiment.model.load_state_dict(trained.best)
            logits = predict(experiment.model, split)
            if trained.best_is_last:
                trained.logits[name] = logits
            right = int((logits.argmax(1) == split.labels).sum())
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
