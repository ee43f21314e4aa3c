"""What every metric family in `conf/metrics` must do, on an untrained network."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny import DATASET, magnitude_mask, network, same, weights_of
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.data.base import Data
from ticketsearch.metrics.base import Dense, EvalContext, Metric, Value
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.predict import predict

FAMILIES = OWN.families()
every_family = pytest.mark.parametrize("family", FAMILIES)

# Which way is better, by name; None: neither. Readers and figures go by it.
BETTER = {
    "accuracy": 1, "worst_class_accuracy": 1, "class_accuracy": 1, "loss": -1, "disagreement": -1,
    "majority_share": None, "nll": -1, "ece": -1, "sce": -1, "brier": -1, "ood_auroc": 1, "ood_aupr": 1,
    "ood_fpr95": -1, "corruption_error": -1, "fgsm_accuracy": 1, "pgd_accuracy": 1, "macs": -1, "ticket_bytes": -1,
    "layer_density": None, "collapsed_layers": -1, "trajectory_length": None,
    "hessian_trace_weight": -1, "hessian_trace_input": -1, "hessian_eigen_weight": -1, "hessian_eigen_input": -1,
    "hessian_residual_weight": None, "hessian_residual_input": None, "spectrum_value": None, "spectrum_share": None,
    "sharpness": -1, "magnitude_flatness": 1, "gradient_flow": None, "synaptic_flow": None,
    "fidelity": -1, "stability": -1, "explanation_difference": None,
}  # fmt: skip


def metric(family: str) -> Metric:
    return compose([f"metrics=[{family}]"]).metrics[family]


def ticket_net() -> tuple[nn.Module, EvalContext, Data]:
    """An untrained network within a mask, in evaluation mode, and the dense one's logits."""
    model, data = network(), replace(DATASET, subset=60, validation=40).load()
    data = Data(data.train, data.val, data.test[:70])
    mask = magnitude_mask(model, 0.5)
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    dense = Dense({name: predict(network(1), split) for name, split in data.splits().items()})
    started = Ticket(mask, weights_of(network(2)))
    ctx = EvalContext(
        mask, prunable_layers(model), dense, lambda split: predict(model, split), DATASET, start=lambda: started
    )
    return model.eval(), ctx, data


def measured(order: Sequence[str], dense: bool = False) -> dict[str, list[Value]]:
    """The values of families that share one context, evaluated in this order."""
    model, ctx, data = ticket_net()
    ctx = replace(ctx, dense=None) if dense else ctx
    return {family: metric(family)(model, data, ctx) for family in order}


def test_there_are_families() -> None:
    assert {"accuracy", "calibration", "ticket"} <= set(FAMILIES)


@every_family
def test_it_leaves_everything_as_it_was(family: str) -> None:
    model, ctx, data = ticket_net()
    weights, mask, modes = weights_of(model), Mask(ctx.mask), [module.training for module in model.modules()]
    images = [split.images.clone() for split in (data.train, data.val, data.test)]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    metric(family)(model, data, ctx)
    assert same(weights_of(model), weights)
    assert ctx.mask == mask
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(a, s.images) for a, s in zip(images, (data.train, data.val, data.test), strict=True))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]


def test_values_do_not_depend_on_the_order_of_the_families() -> None:
    forwards, backwards = measured(FAMILIES), measured(FAMILIES[::-1])
    alone = {family: measured([family])[family] for family in FAMILIES}
    assert forwards == backwards == alone


@every_family
def test_values_do_not_depend_on_global_generators(family: str) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        found.append(measured([family])[family])
    assert found[0] == found[1]


@every_family
@pytest.mark.parametrize("dense", [False, True])
def test_rows_can_be_told_apart_and_are_finite(family: str, dense: bool) -> None:
    values = measured([family], dense)[family]
    keys = [(value.name, value.split, value.variant, value.at) for value in values]
    assert values
    assert len(set(keys)) == len(keys)
    for value in values:
        assert type(value.value) in (int, float), value  # parquet and JSON take no tensors
        assert math.isnan(value.value) if value.skipped else math.isfinite(value.value), value
        assert value.stderr is None or (type(value.stderr) is float and value.stderr >= 0), value
        assert value.split in ("train", "val", "test")


@every_family
def test_what_is_skipped_is_what_is_lacking(family: str) -> None:
    skipped = {value.skipped for value in measured([family])[family]} - {""}
    assert skipped == metric(family).lacks(DATASET)


@every_family
def test_its_yaml_says_what_it_gives(family: str) -> None:
    given = {value.name for value in measured([family])[family]}
    assert sorted(given) == OWN.head("metrics", family).facts["gives"].split(", ")


@every_family
def test_directions_are_the_documented_ones(family: str) -> None:
    for value in measured([family])[family]:
        assert value.better in (1, -1, None)
        assert value.better == BETTER.get(value.name, value.better), value.name


def test_a_name_belongs_to_one_family_and_has_one_direction_and_unit() -> None:
    families: dict[tuple[str, str], str] = {}
    seen: dict[str, tuple[int | None, str]] = {}
    for family, values in measured(FAMILIES).items():
        for value in values:
            assert families.setdefault((value.name, value.at), family) == family
            assert seen.setdefault(value.name, (value.better, value.unit)) == (value.better, value.unit)


def test_a_figures_value_is_the_one_without_a_variant() -> None:
    # Variants stand beside a main value, except for names that exist only per class, layer ...
    for values in measured(FAMILIES).values():
        names = {value.name for value in values}
        plain = {value.name for value in values if not value.variant}
        bins = {"bin_share", "bin_confidence", "bin_accuracy", "spectrum_value", "spectrum_share"}
        copies = {"sweep_difference", "explanation_difference"}
        assert names - plain <= {"class_accuracy", "layer_density", *copies, *bins}
