"""Evaluating a trained ticket: every metric that is asked for and not yet there, from the files that were committed."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ticketsearch.cell import Cell
from ticketsearch.config import Config, class_name, difference
from ticketsearch.draw import started
from ticketsearch.experiment import Experiment
from ticketsearch.metrics.base import Dense, EvalContext, Metric, Value
from ticketsearch.seal import digest
from ticketsearch.stopping import check
from ticketsearch.ticket import Mask, Weights
from ticketsearch.training.predict import predict


def evaluate(
    experiment: Experiment, cell: Cell, known: Mapping[str, Tensor] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Measure what is asked for and not yet there, and add it to the committed cell; the new rows.

    A metric that fails becomes a row that says so; the others are kept.

    Args:
        experiment: the run that the cell belongs to.
        cell: a committed one.
        known: split name -> logits of its ticket, where its training has computed them.

    Raises:
        CorruptStore: the cell, or the dense model's logits, is not what its checksum says.
    """
    dense = experiment.dense.run.cell(cell.seed, 0).sha
    done = cell.measured(dense)
    dataset, metrics = experiment.config.dataset, experiment.config.metrics
    asked = wanted(experiment.config).items()
    missing = {family: metrics[family] for (family, of), why in asked if done.get((family, of)) != why}
    lacking = _lacks_logits(experiment, cell)
    if not missing and not lacking:
        return []
    ticket = cell.ticket()
    model = experiment.model
    model.load_state_dict(dict(ticket.start))
    model.eval()
    mask = ticket.mask if cell.round else Mask.ones(experiment.layers)
    of_dense = _dense(experiment, cell)
    ctx = EvalContext(
        mask, experiment.layers, of_dense, lambda split: predict(model, split), dataset, dict(known),
        start=lambda: started(experiment, cell),
    )  # fmt: skip
    if lacking:
        _keep_logits(experiment, cell, ctx)
    columns, rows = experiment.columns(cell, mask), []
    for family, metric in missing.items():
        check()
        measured = _measure(experiment, metric, family, ctx, columns, ticket.start)
        cell.add_rows(family, measured, dense)
        rows += measured
    return rows


def wanted(config: Config) -> dict[tuple[str, str], frozenset[str]]:
    """(family, settings) of every metric that is asked for -> the reasons with which rows of it are skipped; a cell is
    measured when `Cell.measured` says so of each.
    """
    return {(family, settings(m)): m.lacks(config.dataset) for family, m in config.metrics.items()}


def settings(metric: Metric) -> str:
    """Twelve hexadecimal digits of a metric's fields and revision: what tells values of two conventions apart."""
    return digest({"class": class_name(metric), "revision": metric.revision, **difference(metric)})[:12]


def row(columns: Mapping[str, Any], family: str, value: Value, **more: Any) -> dict[str, Any]:
    """A value as a row."""
    fields = asdict(value)
    why = fields.pop("skipped") or None
    done = {"status": "skipped" if why else "ok", "error": why}
    status = {"weights": "last", "settings": "", **done, "seconds": None}
    return {**columns, "family": family, "metric": fields.pop("name"), **fields, **status, **more}


def _measure(
    experiment: Experiment,
    metric: Metric,
    family: str,
    ctx: EvalContext,
    columns: Mapping[str, Any],
    weights: Weights,
) -> list[dict[str, Any]]:
    """The rows of one family; of one that fails, or leaves the model otherwise than it was, a row that says so."""
    started = time.perf_counter()
    more: dict[str, Any] = {"settings": settings(metric)}
    try:
        values = metric(experiment.model, experiment.data, ctx)
        _check_skipped(values, metric.lacks(ctx.dataset))
        _check_unchanged(experiment.model, weights)
        more["seconds"] = (time.perf_counter() - started) / len(values)
    except Exception as error:  # noqa: BLE001 - whatever a metric does wrong, the round and the other metrics are kept
        more |= {
            "status": "error",
            "error": f"{type(error).__name__}: {error}",
            "seconds": time.perf_counter() - started,
        }
        experiment.model.load_state_dict(dict(weights))  # it may have failed in the middle of a change
        experiment.model.eval()
        ctx.forget()
        experiment.display.notice(f"{family} of round {columns['round']} failed: {more['error']}")
        values = [Value(family, float("nan"), None)]
    return [row(columns, family, value, **more | _if_not_finite(value, more)) for value in values]


def _check_skipped(values: Sequence[Value], lacking: frozenset[str]) -> None:
    """Raise ValueError if something was skipped that `lacks` does not say: it would be measured again for ever."""
    if unsaid := {value.skipped for value in values} - lacking - {""}:
        raise ValueError(f"`lacks` does not say why it skipped: {min(unsaid)}")


def _check_unchanged(model: nn.Module, weights: Weights) -> None:
    """Raise ArithmeticError if a metric has changed the model."""
    now = model.state_dict()
    if model.training or not all(torch.equal(now[name].cpu(), weights[name]) for name in now):
        raise ArithmeticError("it changed the model, so its values are of no ticket")


def _if_not_finite(value: Value, more: Mapping[str, Any]) -> dict[str, Any]:
    """A value that is not a number is no measurement; its row says so and keeps the reason that it has already."""
    if math.isfinite(value.value) or value.skipped:
        return {}
    return {"status": "error", "error": more.get("error") or f"{value.name} is {value.value}"}


def _dense(experiment: Experiment, cell: Cell) -> Dense | None:
    """The dense model's logits; None for the dense model itself."""
    if cell.round == 0:
        return None
    parent = experiment.dense.run.cell(cell.seed, 0)
    found = {split: parent.logits(split) for split in experiment.data.splits()}
    return Dense({split: load(content)["logits"] for split, content in found.items() if content is not None})


def _lacks_logits(experiment: Experiment, cell: Cell) -> bool:
    """Whether this is a dense cell with which others cannot be compared yet."""
    return cell.round == 0 and any(cell.logits(split) is None for split in experiment.data.splits())


def _keep_logits(experiment: Experiment, cell: Cell, ctx: EvalContext) -> None:
    for name, split in experiment.data.splits().items():
        logits: Tensor = ctx.logits(name, split)
        cell.keep_logits(name, save({"logits": logits.to("cpu", torch.float32).contiguous()}))
