"""SynFlow beside numbers worked out by hand, the plain recipe in float64 and the law that it is built on."""

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tests.three import context, network, pruner, trained, view
from tests.tiny import same, weights_of
from ticketsearch.models.base import Normalise
from ticketsearch.pruners.iterative import Iterative
from ticketsearch.pruners.synflow import Synflow
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Mask, keep_top, prunable_layers

NORMALISE = Normalise([0.5], [0.25])


class Linears(nn.Module):
    """Linear layers without biases, one after the other; the last is the classifier."""

    classifier = "fc"

    def __init__(self, *weights: Tensor, normalise: nn.Module = NORMALISE) -> None:
        super().__init__()
        self.normalise, self.inner = normalise, nn.ModuleList()
        for weight in weights:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight.data = weight.clone()
            self.inner.append(layer)
        self.fc = self.inner.pop(-1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels).flatten(1)
        for layer in self.inner:
            x = torch.relu(layer(x))
        return self.fc(x)


def of(model: nn.Module, mask: Mask | None = None) -> View:
    layers = prunable_layers(model, "all")
    return View(model.eval(), weights_of(model), mask or Mask.ones(layers), None, layers)


def sums(scores: dict[str, Tensor]) -> list[float]:
    return [float(score.double().sum()) for score in scores.values()]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# By hand.


def test_two_linear_layers_by_hand() -> None:
    """64 pixels: the first two weigh 1 and -2 for the first unit and 3 and 0 for the second. Of 64 ones the units are
    1 + 2 = 3 and 3, the output 3 x 1/2 + 3 x 4 = 13.5, and each weight's score is the flow that goes through it.
    """
    first = torch.zeros(2, 64)
    first[:, :2] = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    at = of(Linears(first, torch.tensor([[-0.5, 4.0]])))
    found = Synflow()(at, context(at))
    assert found["inner.0.weight"][:, :2].tolist() == [[0.5, 1.0], [12.0, 0.0]]
    assert float(found["inner.0.weight"][:, 2:].abs().max()) == 0
    assert found["fc.weight"].tolist() == [[1.5, 12.0]]


def test_pruned_weights_let_nothing_through() -> None:
    first, last = torch.ones(2, 64), torch.tensor([[1.0, 10.0]])
    mask = {"inner.0.weight": torch.arange(64).expand(2, 64) < 3, "fc.weight": torch.tensor([[True, False]])}
    at = of(Linears(first, last), Mask(mask))
    found = Synflow()(at, context(at))
    assert found["fc.weight"].tolist() == [[3.0, 0.0]]
    assert found["inner.0.weight"].sum(1).tolist() == [3.0, 0.0]


def test_what_pruned_weights_hold_lets_something_through() -> None:
    mask = {"inner.0.weight": torch.arange(64).view(1, 64) < 60, "fc.weight": torch.ones(1, 1, dtype=torch.bool)}
    at = of(Linears(torch.ones(1, 64), torch.ones(1, 1)), Mask(mask))
    rest = {"inner.0.weight": torch.full((1, 64), -0.5), "fc.weight": torch.zeros(1, 1)}
    assert Synflow()(replace(at, rest=rest), context(at))["fc.weight"].item() == 62.0


# The law: what flows into a layer flows out of it.


def test_consecutive_layers_have_the_same_sum() -> None:
    rng = torch.Generator().manual_seed(0)
    sizes = (64, 30, 7, 50, 10)
    at = of(Linears(*(torch.randn(o, i, generator=rng) for i, o in pairwise(sizes))))
    mask = keep_top({n: torch.rand(layer.shape, generator=rng) for n, layer in at.layers.items()}, at.mask, 900)
    for now in (at, replace(at, mask=mask)):
        first, *others = sums(Synflow()(now, context(at)))
        assert others == pytest.approx([first] * 3, rel=1e-12)


def test_layers_with_batch_norm_have_the_same_sum_where_it_adds_nothing() -> None:
    """At initialisation running means and shifts are zero, so that flow is scaled and conserved; the classifier's bias
    adds a flow of its own, and is zero here.
    """
    model = network()
    model.fc.bias.data.zero_()
    first, *others = sums(Synflow()(of(model), context(of(model))))
    assert others == pytest.approx([first] * 2, rel=1e-9)


# Beside the recipe as it is published.


def plain(model: nn.Module, mask: Mask) -> dict[str, Tensor]:
    """Everything of a copy made positive and double, ones through it in evaluation mode, weight times gradient."""
    twin = deepcopy(model).double().eval()
    twin.normalise = nn.Identity()
    with torch.no_grad():
        for name, tensor in twin.state_dict().items():
            tensor.abs_()
            if name in mask:
                tensor.mul_(mask[name])
    twin(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum().backward()
    own = dict(twin.named_parameters())
    return {name: (own[name] * own[name].grad).detach() for name in mask}


def test_running_statistics_that_are_not_fresh_are_used_as_they_are() -> None:
    model = network()
    model.load_state_dict(dict(trained()))
    at = of(model, view(pruner("lth")).mask)
    at = replace(at, layers=prunable_layers(model))
    assert float(model.norm_one.running_mean.min()) < 0, "else there is nothing to make positive"
    found, wanted = Synflow()(at, context(at)), plain(model, at.mask)
    assert all(torch.allclose(found[name], wanted[name], rtol=1e-12, atol=0) for name in wanted)
    fresh = deepcopy(model)
    fresh.norm_one.reset_running_stats()
    fresh.norm_two.reset_running_stats()
    other = plain(fresh, at.mask)
    assert not torch.allclose(found["one.weight"], other["one.weight"], rtol=0.1)


# What it does not look at.


def test_neither_images_nor_seed_nor_mode_nor_normalisation_matter() -> None:
    at = of(network())
    ctx = context(at)
    wanted = Synflow()(at, ctx)
    images = ctx.data.train.images.flip(0)
    dark = replace(ctx.data, train=replace(ctx.data.train, images=images // 2))
    assert equal(Synflow()(at, replace(ctx, seed=5, data=dark)), wanted)
    at.model.normalise.mean.fill_(0.9)
    at.model.normalise.std.fill_(1e-3)
    assert equal(Synflow()(at, ctx), wanted)
    before = weights_of(at.model.train())
    assert equal(Synflow()(at, ctx), wanted)
    assert at.model.training
    assert same(weights_of(at.model), before), "running statistics are not updated"
    assert ctx.cost.scoring == {}


def test_pixels_are_normalised_again_afterwards() -> None:
    at = of(network())
    pixels = torch.rand(3, 1, 8, 8)
    before = at.model(pixels)
    Synflow()(at, context(at))
    assert torch.equal(at.model(pixels), before)


def test_a_failure_leaves_no_hooks() -> None:
    at = of(network())
    broken = replace(at, weights={name: tensor for name, tensor in at.weights.items() if name in at.mask})
    at.model.fc.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Synflow()(broken, context(at))
    assert not at.model.normalise._forward_hooks


# Precision.


@pytest.mark.parametrize(("scale", "single"), [(1e-3, 0.0), (1e3, torch.inf)])
def test_in_deep_networks_float32_is_not_enough(scale: float, single: float) -> None:
    """Twenty layers of four units and a classifier: R is a product that float32 does not hold and float64 does."""
    at = of(Linears(torch.full((4, 64), scale), *[torch.full((4, 4), scale)] * 19, torch.full((10, 4), scale)))
    double = Synflow()(at, context(at))
    through = 64 * 4.0**20 * 10 * float(torch.tensor(scale)) ** 21
    assert sums(double) == pytest.approx([through] * 21, rel=1e-12)
    assert {score.dtype for score in double.values()} == {torch.float64}
    if single == torch.inf:  # by places, were they ranked
        with pytest.raises(ValueError, match="is beyond float32"):
            Synflow(precision="float32")(at, context(at))
        return
    found = Synflow(precision="float32")(at, context(at))
    assert {float(value) for score in found.values() for value in score.flatten()} == {single}


def test_a_layer_that_nothing_goes_through_has_no_flow() -> None:
    model = Linears(torch.ones(2, 64), torch.ones(1, 2))
    model.unused = nn.Linear(2, 2, bias=False)
    found = Synflow()(of(model), context(of(model)))
    assert (float(found["unused.weight"].sum()), float(found["fc.weight"].sum())) == (0.0, 128.0)


# Steps.


def test_a_hundred_steps_keep_every_layer_where_one_step_loses_one() -> None:
    at = of(network())
    steps = pruner("synflow")
    assert isinstance(steps, Iterative)
    assert (steps.steps, steps.score) == (100, Synflow())
    kept = {n: replace(steps, steps=n).draw(at, 40, context(at)).layer_kept for n in (1, 100)}
    assert min(kept[1].values()) == 0
    assert min(kept[100].values()) > 0


def test_the_last_mask_lets_something_through() -> None:
    """At every sparsity: no layer is lost before it has to be, and what is left is connected."""
    at = of(network())
    ctx = context(at)
    for keep in (2000, 400, 60, 12):
        mask = pruner("synflow").draw(at, keep, ctx)
        assert mask.kept == keep
        assert min(sums(Synflow()(replace(at, mask=mask), ctx))) > 0
