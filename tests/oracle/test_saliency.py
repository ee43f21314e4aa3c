"""Scores that look at gradients, beside numbers worked out by hand and dense Hessians in float64."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tests.three import ThreeLayers, context, keep_of, network, pruner, view
from tests.tiny import DATASET, RECIPE, same, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.pruners.saliency import Gradient, Grasp, Saliency, Snip, _warm
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, keep_top, prunable_layers


class Chain(nn.Module):
    """Two linear layers of one weight each and a classifier that adds nothing: logits (w2 w1 x, 0)."""

    classifier = "fc"

    def __init__(self, one: float, two: float) -> None:
        super().__init__()
        self.one, self.two, self.fc = (nn.Linear(1, n, bias=False) for n in (1, 1, 2))
        for layer, weight in ((self.one, [[one]]), (self.two, [[two]]), (self.fc, [[1.0], [0.0]])):
            layer.weight.data = torch.tensor(weight)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.fc(self.two(self.one(pixels.flatten(1))))


def of(model: nn.Module) -> View:
    layers = prunable_layers(model)
    return View(model.eval(), weights_of(model), Mask.ones(layers), None, layers)


def given(at: View, pixels: Tensor, labels: Sequence[int]) -> Context:
    """A context whose training images are these."""
    train = Split(pixels, torch.tensor(labels))
    return Context(
        0, at.weights, lambda _: at.weights, at.weights, Data(train, train[:0], train[:0]), RECIPE, lambda *_: 0
    )


def chain() -> tuple[View, Context]:
    """One white pixel of class 0 and one of class 1, w1 = 0.5, w2 = -2: z = -1 for both."""
    at = of(Chain(0.5, -2.0))
    return at, given(at, torch.full((2, 1, 1, 1), 255, dtype=torch.uint8), [0, 1])


def test_snip_and_grad_by_hand() -> None:
    at, ctx = chain()
    # dL/dz is (s - 1 + s) / 2 with s = sigmoid(z); dz/dw1 = w2 x, dz/dw2 = w1 x.
    slope = 1 / (1 + math.exp(1)) - 0.5
    snip, grad = Snip()(at, ctx), Gradient()(at, ctx)
    assert snip["one.weight"].item() == pytest.approx(abs(0.5 * -2 * slope))
    assert snip["two.weight"].item() == pytest.approx(abs(-2 * 0.5 * slope))
    assert (grad["one.weight"].item(), grad["two.weight"].item()) == (
        pytest.approx(2 * -slope),
        pytest.approx(0.5 * -slope),
    )


def test_absolute_values_of_batches_do_not_cancel() -> None:
    at, ctx = chain()
    batches = replace(Snip(batch=2), absolute="batch")
    assert batches(at, ctx)["one.weight"].item() == pytest.approx(Snip()(at, ctx)["one.weight"].item()), "one batch"
    object.__setattr__(batches, "batch", 1)  # below what is admitted, so that each image is a batch
    s = 1 / (1 + math.exp(1))
    assert batches(at, ctx)["one.weight"].item() == pytest.approx(abs(0.5 * -2) * ((1 - s) + s) / 2)


def test_grasp_by_hand() -> None:
    """Of both images together L(z) = (softplus(-z) + softplus(z)) / 2, so L' = s - 1/2 and L'' = s (1 - s)."""
    at, ctx = chain()
    w1, w2, z, hot = 0.5, -2.0, -1.0, 3.0
    s = 1 / (1 + math.exp(-z / hot))
    first, second = (s - 0.5) / hot, s * (1 - s) / hot**2
    g = first * w2, first * w1
    h = [[second * w2**2, second * w1 * w2 + first], [second * w1 * w2 + first, second * w1**2]]
    found = Grasp(temperature=hot, precision="float64")(at, ctx)
    assert found["one.weight"].item() == pytest.approx(w1 * (h[0][0] * g[0] + h[0][1] * g[1]), rel=1e-12)
    assert found["two.weight"].item() == pytest.approx(w2 * (h[1][0] * g[0] + h[1][1] * g[1]), rel=1e-12)
    absolute = Grasp(temperature=hot, precision="float64", absolute=True)(at, ctx)
    assert all(torch.equal(absolute[name], found[name].abs()) for name in found)


def flat(scores: dict[str, Tensor]) -> Tensor:
    return torch.cat([score.flatten() for score in scores.values()])


@dataclass(frozen=True)
class Dense:
    """Weights, gradient and Hessian of a scoring set's loss by themselves, in float64, for a network of 189 weights."""

    at: View
    ctx: Context
    settings: dict[str, Any]
    weights: Tensor
    gradient: Tensor
    hessian: Tensor


@pytest.fixture(scope="module", params=["eval", "train"])
def dense(request: pytest.FixtureRequest) -> Dense:
    model = ThreeLayers(width=3).initial(DATASET, 0)
    at = of(model)
    ctx = context(at)
    twin = deepcopy(model).double().train(request.param == "train")
    own = dict(twin.named_parameters()) | dict(twin.named_buffers())
    sizes = [own[name].numel() for name in at.mask]
    (pixels, labels), *_ = ctx.batches(4, 500)

    def loss(weights: Tensor) -> Tensor:
        parts = zip(at.mask, weights.split(sizes), strict=True)
        state = {n: t.detach().clone() for n, t in own.items()} | {n: part.view_as(own[n]) for n, part in parts}
        return F.cross_entropy(functional_call(twin, state, (pixels.double(),)) / 200, labels)

    weights = torch.cat([own[name].detach().flatten() for name in at.mask])
    gradient = torch.autograd.functional.jacobian(loss, weights)
    hessian = torch.autograd.functional.hessian(loss, weights)
    settings = {"per_class": 4, "bn": request.param, "precision": "float64"}
    return Dense(at, ctx, settings, weights, gradient, hessian)


def test_grasp_is_that_of_the_dense_hessian(dense: Dense) -> None:
    found = flat(Grasp(**dense.settings)(dense.at, dense.ctx))
    assert torch.allclose(found, dense.weights * (dense.hessian @ dense.gradient), rtol=1e-9, atol=1e-18)
    assert found.min() < 0 < found.max()


def test_keeping_the_highest_of_grasp_keeps_the_gradient_norm_up(dense: Dense) -> None:
    """The slope of |g|^2 while the weights of a set shrink is -2 times the sum of their scores: of those with the
    highest scores it falls, of those with the lowest it rises, so the lowest are removed.
    """
    score = flat(Grasp(**dense.settings)(dense.at, dense.ctx))
    for chosen, sign in ((score.topk(20).indices, -1), (score.neg().topk(20).indices, 1)):
        shrinking = torch.zeros_like(dense.weights)
        shrinking[chosen] = -dense.weights[chosen]
        slope = float(2 * dense.gradient @ (dense.hessian @ shrinking))
        assert math.copysign(1, slope) == sign
        assert slope == pytest.approx(-2 * float(score[chosen].sum()), rel=1e-9)


@pytest.mark.parametrize("score", [Snip(), Snip(bn="warm"), Gradient(), Grasp(), Grasp(absolute=True, bn="warm")])
def test_batches_add_up_to_the_whole_set(score: Saliency) -> None:
    at = view(pruner("snip"))
    ctx = context(at)
    whole, parts = (flat(replace(score, precision="float64", batch=size)(at, ctx)) for size in (500, 7))
    assert torch.allclose(whole, parts, rtol=1e-7, atol=1e-12 * float(whole.abs().max()))


@pytest.mark.parametrize("score", [Snip(), Grasp()])
def test_modes_of_batch_norm_differ_and_leave_its_statistics(score: Saliency) -> None:
    at = view(pruner("snip"))
    ctx, before = context(at), weights_of(at.model)
    assert same(at.weights, before)
    found = {bn: flat(replace(score, bn=bn)(at, ctx)) for bn in ("eval", "train", "warm")}
    assert same(weights_of(at.model), before)
    assert same(at.weights, before)
    assert not at.model.training
    assert not torch.allclose(found["eval"], found["train"], rtol=0.1)
    assert not torch.equal(found["warm"], found["train"])


def test_one_image_has_no_statistics() -> None:
    at = view(pruner("snip"))
    ctx = context(at)
    count = len(ctx.batches(10)[0][1])
    with pytest.raises(ValueError, match=f"the last batch of {count} images by {count - 1} is one image"):
        Snip(bn="train", batch=count - 1)(at, ctx)
    assert Snip(batch=count - 1)(at, ctx)


def test_warm_statistics_are_those_of_the_scoring_set() -> None:
    """In evaluation with them the network says what it says of the set in training, but for n - 1 in the place of n."""
    at = view(pruner("snip"))
    ((pixels, labels),) = context(at).batches(10, 500)
    model = network()
    model.load_state_dict(dict(_warm(at, at.weights, [(pixels, labels)])))
    warm, cold = model.eval()(pixels), at.model(pixels)
    trained = model.train()(pixels)
    assert torch.allclose(warm, trained, rtol=2e-2, atol=2e-3)
    assert not torch.allclose(cold, trained, rtol=0.2, atol=0.02)


def test_precision_is_of_the_computation_and_of_the_ranking() -> None:
    at = view(pruner("snip"))
    single, double = (Snip(precision=p)(at, context(at)) for p in ("float32", "float64"))
    assert {score.dtype for score in double.values()} == {torch.float64}
    assert torch.allclose(flat(single).double(), flat(double), rtol=1e-3, atol=1e-9)


def test_initial_gradients_are_asked_within_the_view_s_mask() -> None:
    at = view(pruner("lth"))
    ctx = context(at)
    own = Gradient(of="initial")(at, ctx)
    initial = replace(at, weights=ctx.initial)
    assert all(torch.equal(score, Gradient()(initial, ctx)[name]) for name, score in own.items())
    assert not torch.equal(flat(own), flat(Gradient()(at, ctx)))


def test_an_iteration_of_one_step_is_a_single_shot() -> None:
    at = view(pruner("snip"))
    ctx, keep = context(at), keep_of(pruner("snip"), at)
    once = replace(pruner("iter_snip"), steps=1).draw(at, keep, ctx)
    assert once == pruner("snip").draw(at, keep, ctx) == keep_top(Snip()(at, ctx), at.mask, keep)
