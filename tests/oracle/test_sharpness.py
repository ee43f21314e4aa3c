"""Sharpness beside a case worked out by hand and Keskar et al.'s own maximiser, scipy's L-BFGS-B."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import functional_call

from tests.metric import split_of
from tests.tiny import DATASET, magnitude_mask, network, same, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.metrics.base import EvalContext
from ticketsearch.metrics.sharpness import Sharpness
from ticketsearch.ticket import Mask, Ticket

DATA = DATASET.load()


def context(mask: Mask) -> EvalContext:
    return EvalContext(mask, {}, None, lambda split: torch.empty(0), DATASET)


class OneWeight(nn.Module):
    """Logits (w, 0) for every image."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.one = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.one.weight, weight)

    def forward(self, pixels: Tensor) -> Tensor:
        return F.pad(self.one(torch.ones_like(pixels).flatten(1)[:, :1]), (0, 1))


def measured(metric: Sharpness, model: nn.Module, mask: Mask, data: Data = DATA) -> dict[str, float]:
    return {value.variant: value.value for value in metric(model.eval(), data, context(mask))}


@pytest.mark.parametrize("weight", [2.0, -0.5])
@pytest.mark.parametrize("steps", [1, 10])
def test_one_weight_by_hand(weight: float, steps: int) -> None:
    labels = torch.zeros(8, dtype=torch.int64)
    data = Data(split_of(labels), split_of(labels), split_of(labels))
    found = measured(
        Sharpness(epsilon=0.01, steps=steps),
        OneWeight(weight),
        Mask({"one.weight": torch.ones(1, 1, dtype=torch.bool)}),
        data,
    )

    def loss(w: float) -> float:  # of label 0: the softmax of (w, 0)
        return math.log1p(math.exp(-w))

    for variant, away in (("", 0.01 * (abs(weight) + 1)), ("sam", 0.05)):
        rise = 100 * (loss(weight - away) - loss(weight)) / (1 + loss(weight))
        assert found[variant] == pytest.approx(rise, rel=2e-5)


def found_by_scipy(model: nn.Module, part: Split, mask: Mask, epsilon: float) -> float:
    """Ten iterations of L-BFGS-B in the box, in float64, as in Keskar et al. (2017)."""
    own = {name: tensor.double() for name, tensor in weights_of(model).items() if tensor.is_floating_point()}
    places = {name: alive.flatten().nonzero().squeeze(1) for name, alive in mask.items()}
    start = torch.cat([own[name].flatten()[where] for name, where in places.items()])
    sizes, twin = [len(where) for where in places.values()], network().double().eval()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        asked = torch.from_numpy(flat).requires_grad_()
        moved = {
            name: own[name].flatten().index_copy(0, where, entries).view_as(own[name])
            for (name, where), entries in zip(places.items(), asked.split(sizes), strict=True)
        }
        value = F.cross_entropy(functional_call(twin, own | moved, (part.images.double() / 255,)), part.labels)
        (gradient,) = torch.autograd.grad(-value, [asked])
        return -float(value.detach()), gradient.numpy()

    side = (epsilon * (start.abs() + 1)).numpy()
    bounds = list(zip(start.numpy() - side, start.numpy() + side, strict=True))
    before, _ = loss(start.numpy())
    after = minimize(loss, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 10}).fun
    return float(100 * (before - after) / (1 - before))


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("epsilon", [5e-4, 1e-3])
def test_it_finds_as_much_as_keskars_maximiser(density: float, epsilon: float) -> None:
    model = network(3)
    mask = magnitude_mask(model, density)
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    found = measured(Sharpness(images=40, epsilon=epsilon), model, mask)[""]
    # Both are lower bounds of one maximum: neither may fall short of the other by much.
    assert found == pytest.approx(found_by_scipy(model.eval(), DATA.train[:40], mask, epsilon), rel=0.03)


def test_pruned_weights_do_not_move() -> None:
    model = network(3)
    few, many = magnitude_mask(model, 0.3), magnitude_mask(model, 1.0)
    model.load_state_dict(Ticket(few, {}).masked(model.state_dict()))
    metric = Sharpness(images=40)
    within, whole = (measured(metric, model, mask) for mask in (few, many))
    assert within[""] < whole[""]
    assert measured(replace(metric, parameters="all"), model, few)[""] > within[""]


def test_batches_make_no_difference_and_the_model_stays() -> None:
    model = network(3).eval()
    before, mask = weights_of(model), magnitude_mask(model, 0.5)
    whole, parts = (measured(Sharpness(images=50, batch=batch), model, mask) for batch in (500, 17))
    assert parts == pytest.approx(whole, rel=1e-3)
    assert same(weights_of(model), before)


def test_nothing_alive_is_flat() -> None:
    model = network(3)
    nothing = Mask({name: torch.zeros_like(alive) for name, alive in magnitude_mask(model, 0.5).items()})
    assert measured(Sharpness(images=20), model, nothing) == {"": 0.0, "sam": 0.0}


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images in val"):
        Sharpness(split="val")(network(), Data(DATA.train, DATA.val[:0], DATA.test), context(Mask({})))
