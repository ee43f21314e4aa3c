"""What is known before training: of the start weights, not of the trained ones, and by independent computations."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ticketsearch
from tests.tiny import DATASET, magnitude_mask, network, same, weights_of
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.start import Start
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.predict import predict

DATA = DATASET.load()
METRIC = Start(images=40, statistics=100)


def measured(start: Ticket, mask: Mask) -> tuple[dict[str, Value], nn.Module]:
    model = network(0).eval()
    ctx = EvalContext(mask, {}, None, partial(predict, model), DATASET, start=lambda: start)
    values = METRIC(model, DATA, ctx)
    return {f"{v.name}/{v.split}": v for v in values}, model


def started() -> tuple[Ticket, nn.Module]:
    """A ticket, and the network of its start weights with the statistics of its own passes over 100 images."""
    model = network(5)
    mask = magnitude_mask(model, 0.4)
    ticket = Ticket(mask, weights_of(model))
    model.load_state_dict(ticket.masked(ticket.start))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average, of one batch
            module.reset_running_stats()
    model.train()
    with torch.no_grad():
        model(DATA.train.images[:100].float() / 255)
    return ticket, model.eval()


def test_the_start_is_measured_with_statistics_of_its_own() -> None:
    ticket, twin = started()
    found, model = measured(ticket, ticket.mask)
    assert {value.at for value in found.values()} == {"start"}
    with torch.no_grad():
        logits = twin(DATA.test.images.float() / 255).double()
    assert found["nll/test"].value == pytest.approx(float(F.cross_entropy(logits, DATA.test.labels)), rel=1e-5)
    assert found["accuracy/test"].value == pytest.approx(float((logits.argmax(1) == DATA.test.labels).double().mean()))
    assert same(weights_of(model), weights_of(network(0)))  # the trained weights are back
    assert not model.training


def test_gradient_flow_is_the_squared_norm_of_the_masked_gradient() -> None:
    ticket, twin = started()
    found, _ = measured(ticket, ticket.mask)
    twin.double()
    loss = F.cross_entropy(twin(DATA.train.images[:40].double() / 255), DATA.train.labels[:40])
    own = dict(twin.named_parameters())
    gradients = torch.autograd.grad(loss, [own[name] for name in ticket.mask])
    flow = sum(float((g[alive] ** 2).sum()) for g, alive in zip(gradients, ticket.mask.values(), strict=True))
    assert found["gradient_flow/train"].value == pytest.approx(flow, rel=1e-3)


def test_synaptic_flow_is_the_sum_over_paths() -> None:
    # Without batch norm and biases: three matrices of magnitudes, applied to ones.
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 7, bias=False), nn.ReLU(), nn.Linear(7, 10, bias=False)).eval()
    mask = Mask({"1.weight": torch.rand(7, 64, generator=torch.Generator().manual_seed(0)) < 0.5})
    ticket = Ticket(mask, {name: tensor.detach().clone() for name, tensor in net.state_dict().items()})
    ctx = EvalContext(mask, {}, None, partial(predict, net), DATASET, start=lambda: ticket)
    values = {v.name: v.value for v in METRIC(net, DATA, ctx)}
    first, last = (ticket.masked(ticket.start)[name].double().abs() for name in ("1.weight", "3.weight"))
    assert values["synaptic_flow"] == pytest.approx(float((last @ first @ torch.ones(64).double()).sum()), rel=1e-12)


def test_without_a_start_it_is_an_error() -> None:
    ctx = EvalContext(Mask({}), {}, None, lambda split: torch.empty(0), DATASET)
    with pytest.raises(ValueError, match="nothing says what"):
        METRIC(network(), DATA, ctx)


@pytest.mark.parametrize("more", [[], ["rewind=step", "rewind.at=1ep"]])
def test_of_a_run_it_is_the_rewound_ticket(tmp_path: Path, more: list[str]) -> None:
    # A learning rate of almost nothing: what training ends with is what it started from, but for batch norm.
    common = [f"out={tmp_path}", "metrics=[start,accuracy]", "dataset.subset=200", "schedule.rounds=1", *more]
    run = ticketsearch.run(["model=lenet300", "recipe.lr=1e-30", "recipe.epochs=2", "recipe.weight_decay=0", *common])
    rows = ticketsearch.load_results(tmp_path)
    rows = rows[(rows["run"] == run.name) & (rows["metric"] == "accuracy") & (rows["split"] == "test")]
    rows = rows[(rows["weights"] == "last") & (rows["variant"] == "")]
    wide = rows.pivot_table("value", "round", ["family", "at"])
    assert sorted(wide.index) == [0, 1]
    assert list(wide.columns) == [("accuracy", "end"), ("start", "start")]
    assert (wide["accuracy", "end"] == wide["start", "start"]).all()


def test_rounds_differ_before_training_and_end_rows_are_apart(tmp_path: Path) -> None:
    run = ticketsearch.run([f"out={tmp_path}", "debug=tiny", "metrics=[start,calibration]", "schedule.rounds=2"])
    rows = ticketsearch.load_results(tmp_path)
    own = rows[(rows["run"] == run.name) & (rows["at"] == "start")]
    assert set(own["status"]) == {"ok"}
    assert set(own["family"]) == {"start"}
    flow = own[own["metric"] == "synaptic_flow"].set_index("round")["value"]
    assert flow.is_monotonic_decreasing  # of nested tickets from one start
    assert set(rows.loc[rows["family"] == "calibration", "at"]) == {"end"}
    assert isinstance(own, pd.DataFrame)
    assert replace(METRIC, steps=3) != METRIC
