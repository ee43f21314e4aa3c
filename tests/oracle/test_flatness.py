"""Noise that a ticket bears: bisection by hand, and the loss computed again in float64 from the same draws."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tests.tiny import DATASET, magnitude_mask, network, same, weights_of
from ticketsearch import seeding
from ticketsearch.metrics.base import EvalContext
from ticketsearch.metrics.flatness import Flatness, greatest
from ticketsearch.ticket import Mask, Ticket

DATA = DATASET.load()
METRIC = Flatness(images=40, draws=3, input_draws=2, tolerance=1e-3)


def context(mask: Mask) -> EvalContext:
    return EvalContext(mask, {}, None, lambda split: torch.empty(0), DATASET)


@cache
def trained() -> dict[str, Tensor]:
    """Weights that know the images: noise costs them something."""
    model = network(3).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        loss = F.cross_entropy(model(DATA.train.images.float() / 255), DATA.train.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return weights_of(model)


def ticket_model(density: float, rest: bool = False) -> tuple[nn.Module, Mask]:
    """The trained network within a mask; with `rest` its pruned weights stay what they were."""
    model = network(3)
    model.load_state_dict(trained())
    mask = magnitude_mask(model, density)
    if not rest:
        model.load_state_dict(Ticket(mask, {}).masked(trained()))
    return model.eval(), mask


def measured(metric: Flatness, density: float = 0.5, rest: bool = False) -> dict[str, float]:
    model, mask = ticket_model(density, rest)
    before = weights_of(model)
    found = {value.variant: value.value for value in metric(model.eval(), DATA, context(mask))}
    assert same(weights_of(model), before)
    return found


@pytest.mark.parametrize(
    ("loss", "limit", "most", "expected"),
    [
        (lambda x: x * x, 4.0, 5.0, 2.0),
        (lambda x: x * x, 4.0, 1.5, 1.5),  # the end of the range
        (math.exp, 1.1, 5.0, math.log(1.1)),
        (lambda x: float(x > 0.25), 0.0, 2.0, 0.25),
        (lambda x: float(x > 0), 0.0, 2.0, 0.0),
    ],
)
def test_bisection(loss: Callable[[float], float], limit: float, most: float, expected: float) -> None:
    found = greatest(loss, limit, most, 1e-4)
    assert expected - 1e-4 <= found <= expected
    assert loss(found) <= limit


def noise(shape: torch.Size | list[int], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng).double()


def of_weights(sigma: float, density: float = 0.5, rest: bool = False) -> float:
    """The mean loss over the draws, in float64."""
    model, mask = ticket_model(density, rest)
    twin, total = model.double(), 0.0
    own = weights_of(twin)
    for draw in range(METRIC.draws):
        rng = seeding.generator(0, "flatness", "weights", draw)
        moved = {name: own[name] * (1 + sigma * noise(own[name].shape, rng) * alive) for name, alive in mask.items()}
        logits = functional_call(twin, own | moved, (DATA.train.images[:40].double() / 255,))
        total += float(F.cross_entropy(logits, DATA.train.labels[:40]).detach())
    return total / METRIC.draws


def of_pixels(sigma: float) -> float:
    model, total = ticket_model(0.5)[0].double(), 0.0
    for draw in range(METRIC.input_draws):
        pixels = DATA.train.images[:40].double() / 255
        drawn = noise(pixels.shape, seeding.generator(0, "flatness", "pixels", draw))
        logits = model((pixels + sigma * drawn).clamp(0, 1))
        total += float(F.cross_entropy(logits, DATA.train.labels[:40]).detach())
    return total / METRIC.input_draws


@pytest.mark.parametrize(("variant", "loss"), [("", of_weights), ("input", of_pixels)])
def test_the_loss_reaches_its_limit_there(variant: str, loss: Callable[[float], float]) -> None:
    found, limit = measured(METRIC)[variant], 1.1 * loss(0.0)
    assert 0 < found < 2
    assert loss(found - 1e-5) <= limit < loss(found + METRIC.tolerance + 1e-5)


def test_more_may_be_borne() -> None:
    less, more = (measured(replace(METRIC, rise=rise)) for rise in (1.05, 1.2))
    assert less[""] < more[""]
    assert less["input"] < more["input"]
    assert measured(replace(METRIC, rise=1e6)) == {"": 5.0, "input": 2.0}


def test_what_pruned_weights_hold_does_not_move() -> None:
    fine, limit = replace(METRIC, tolerance=1e-5), 1.1 * of_weights(0.0, 0.2, rest=True)
    found = measured(fine, 0.2, rest=True)[""]
    assert 0 < found < 2
    assert of_weights(found - 1e-5, 0.2, rest=True) <= limit < of_weights(found + 2e-5, 0.2, rest=True)


def test_batches_and_repetition_make_no_difference() -> None:
    assert measured(METRIC) == measured(METRIC) == pytest.approx(measured(replace(METRIC, batch=13)), abs=2e-3)
