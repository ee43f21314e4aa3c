"""What a draw may use: scoring sets, losses, trainings and statistics, and the images that are counted meanwhile."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tests.oracle.searches import context, half, quick, view
from tests.tiny import DATASET, network, same, weights_of
from ticketsearch.compose import compose
from ticketsearch.console import Display
from ticketsearch.cost import Cost
from ticketsearch.data.base import Data, Split
from ticketsearch.data.digits import Digits
from ticketsearch.drawing import Drawing
from ticketsearch.estimate import estimate
from ticketsearch.experiment import Experiment
from ticketsearch.pruners.supermask import Bernoulli
from ticketsearch.seal import digest
from ticketsearch.ticket import Ticket
from ticketsearch.training.statistics import with_statistics

DATA = DATASET.load()
MORE = Digits(subset=400).load()

# Scoring sets.


def places(batches: list[tuple[Tensor, Tensor]], split: Split) -> list[int]:
    """Where in a split the images of a scoring set are; each image of the digits is there once."""
    known = {image.numpy().tobytes(): i for i, image in enumerate(split.images)}
    assert len(known) == len(split)
    pixels, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    assert pixels.dtype == torch.float32
    images = (pixels * 255).round().to(torch.uint8)
    assert torch.equal(images.float() / 255, pixels)
    found = [known[image.numpy().tobytes()] for image in images]
    assert torch.equal(split.labels[found], labels)
    return found


@pytest.mark.parametrize("per_class", [1, 4, 9])
def test_a_scoring_set_is_as_many_training_images_of_each_class(per_class: int) -> None:
    ctx = context(view(), data=MORE)
    found = places(ctx.batches(per_class), MORE.train)
    assert len(set(found)) == len(found) == 10 * per_class
    labels = MORE.train.labels[found]
    assert labels.bincount().tolist() == [per_class] * 10
    assert all(sorted(part.tolist()) == list(range(10)) for part in labels.split(10))  # classes alternate
    assert ctx.cost.scoring == {str(per_class): digest(found)}


def test_more_images_contain_the_fewer_and_another_seed_has_others() -> None:
    asked = ((0, 3), (0, 8), (1, 8))
    few, more, others = (places(context(view(), seed, MORE).batches(count), MORE.train) for seed, count in asked)
    assert set(few) < set(more)
    assert 0 < len(set(more) & set(others)) < 40  # a fifth of them is in common by chance
    assert places(context(view(network(2)), 0, MORE).batches(3), MORE.train) == few  # whatever is looked at


def test_a_class_with_fewer_images_limits_all() -> None:
    counts = DATA.train.labels.bincount()
    least = int(counts.min())
    assert least < counts.max()
    ctx = context(view())
    found = places(ctx.batches(1000), DATA.train)
    assert DATA.train.labels[found].bincount().tolist() == [least] * 10
    assert list(ctx.cost.scoring) == [str(least)]


def test_a_class_that_is_not_there_is_left_out() -> None:
    rest = DATA.train.labels != 3
    without = Data(Split(DATA.train.images[rest], DATA.train.labels[rest]), DATA.val, DATA.test)
    found = torch.cat([labels for _, labels in context(view(), data=without).batches(5)])
    assert found.bincount().tolist() == [5, 5, 5, 0, 5, 5, 5, 5, 5, 5]


def test_batches_are_cut_from_one_order() -> None:
    ctx = context(view(), data=MORE)
    whole, parts = ctx.batches(8), ctx.batches(8, size=30)
    assert [len(labels) for _, labels in parts] == [30, 30, 20]
    for n in (0, 1):
        assert torch.equal(torch.cat([part[n] for part in parts]), whole[0][n])


def test_the_loss_is_that_of_the_scoring_set_within_the_mask() -> None:
    """In float64, a class at a time; what the network holds outside the mask does not matter."""
    model = network(3)
    at, ctx = view(model), context(view(model))
    mask, exact = half(model), deepcopy(model).double()
    exact.load_state_dict(Ticket(mask, {}).masked(exact.state_dict()))
    found = places(context(at).batches(6), DATA.train)
    with torch.no_grad():
        logits = exact.eval()(DATA.train.images[found].double() / 255)
    chosen = logits.softmax(1)[torch.arange(60), DATA.train.labels[found]]
    wanted, before = float(-chosen.log().mean()), weights_of(model)
    assert ctx.loss(at, mask, 6) == pytest.approx(wanted, rel=1e-5)
    assert ctx.loss(at, mask, 6) != pytest.approx(ctx.loss(at, at.mask, 6), rel=1e-3)
    assert same(weights_of(model), before)


# What is counted.

PIXELS, LABELS = DATA.train.images[:7].float() / 255, DATA.train.labels[:7]


def loss_of(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, LABELS)


def forward(model: nn.Module) -> None:
    with torch.no_grad():
        model(PIXELS)


def backward(model: nn.Module) -> None:
    loss_of(model(PIXELS)).backward()


def copied(model: nn.Module) -> None:
    backward(deepcopy(deepcopy(model)))


def functional(model: nn.Module) -> None:
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    torch.autograd.grad(loss_of(functional_call(model, weights, (PIXELS,))), list(weights.values()))


def twice(model: nn.Module) -> None:
    """A product with the Hessian."""
    (weight, *_) = model.parameters()
    (grad,) = torch.autograd.grad(loss_of(model(PIXELS)), weight, create_graph=True)
    torch.autograd.grad(grad.square().sum(), weight)


def of_the_input(model: nn.Module) -> None:
    pixels = PIXELS.clone().requires_grad_()
    loss_of(model(pixels)).backward()


def statistics(model: nn.Module) -> None:
    with_statistics(model, weights_of(model), DATA.train[:20])


PASSES = {
    "forward": (forward, 7, 0),
    "backward": (backward, 7, 7),
    "a copy of a copy": (copied, 7, 7),
    "functional_call": (functional, 7, 7),
    "twice through the gradient": (twice, 7, 14),
    "by the pixels": (of_the_input, 7, 7),
    "statistics": (statistics, 20, 0),
}


@pytest.mark.parametrize("name", PASSES)
def test_images_are_counted_as_they_go_through_the_network(name: str) -> None:
    passing, forwards, backwards = PASSES[name]
    cost, model = Cost(), network().eval()
    with cost.counting(model):
        passing(model)
        passing(model)
    assert (cost.forwards, cost.backwards) == (2 * forwards, 2 * backwards)
    passing(model)
    assert (cost.forwards, cost.backwards) == (2 * forwards, 2 * backwards)  # no longer
    work = [value.value for value in cost.values(1000)]
    assert work == [2 * forwards, 2 * backwards, 1000 * (2 * forwards + 4 * backwards)]


def test_a_fit_is_counted_once() -> None:
    """Nothing is counted of validation, of which the loop shows the network as many images as it likes."""
    at = view()
    ctx = context(at)
    with ctx.cost.counting(at.model):
        ctx.fit(Bernoulli(at, at.weights, 500, ctx), quick(lr=1.0), 1.4)
        assert ctx.cost.forwards == ctx.cost.backwards == 4 * 150 + 32  # 21 of 5 updates an epoch
        before = ctx.cost.forwards
        ctx.loss(at, at.mask, 2)
        assert (ctx.cost.forwards, ctx.cost.backwards) == (before + 20, before)


def test_the_network_has_no_hooks_left_even_if_a_pruner_fails() -> None:
    model = network()
    with pytest.raises(ValueError, match="no scores"), Cost().counting(model):
        raise ValueError("no scores")
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]


# Statistics.


def by_hand(model: nn.Module, weights: dict[str, Tensor], split: Split, sizes: list[int]) -> dict[str, Tensor]:
    """In float64: of each batch norm's input the mean and the unbiased variance of each batch; their averages."""
    exact, seen = deepcopy(model).double(), dict[str, list[tuple[Tensor, Tensor]]]()
    exact.load_state_dict(weights)
    norms = {name: module for name, module in exact.named_modules() if isinstance(module, nn.BatchNorm2d)}

    def noting(name: str) -> Callable[..., Tensor]:
        def normalised(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0].transpose(0, 1).flatten(1)
            mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
            seen.setdefault(name, []).append((mean.squeeze(1), x.var(1, unbiased=True)))
            out = (x - mean) / (variance + module.eps).sqrt() * module.weight[:, None] + module.bias[:, None]
            return out.view(inputs[0].transpose(0, 1).shape).transpose(0, 1)

        return normalised

    for name, module in norms.items():
        module.eval().register_forward_hook(noting(name))  # its own output is replaced
    with torch.no_grad():
        for images in split.images.split(sizes):
            exact(images.double() / 255)
    average = {name: [torch.stack(part).mean(0) for part in zip(*found, strict=True)] for name, found in seen.items()}
    return {f"{n}.running_mean": a[0] for n, a in average.items()} | {
        f"{n}.running_var": a[1] for n, a in average.items()
    }


@pytest.mark.parametrize(("images", "sizes"), [(150, [150]), (1100, [367, 367, 366])])
def test_statistics_are_the_averages_over_the_batches_of_one_pass(images: int, sizes: list[int]) -> None:
    model, train = network(), Digits(subset=images).load().train
    weights = weights_of(network(4))
    weights["bn.running_mean"] += 100  # what was there before has no part in it
    found = with_statistics(model, weights, train)
    wanted = by_hand(model, weights, train, sizes)
    assert len(wanted) == 14
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-4, atol=1e-5)
    for name in found.keys() - wanted.keys():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name], weights[name]), name


def test_the_model_is_left_as_it_was() -> None:
    model = network().train()
    model.blocks[1].eval()
    before, modes = weights_of(model), [module.training for module in model.modules()]
    context(view(deepcopy(model)), data=DATA).with_statistics(model, weights_of(network(4)))
    assert same(weights_of(model), before)
    assert [module.training for module in model.modules()] == modes
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_without_batch_norms_the_weights_are_as_they_were() -> None:
    model, other = (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2))
    assert same(with_statistics(model, weights_of(other), DATA.train), weights_of(other))


# In a search.


def opened(*overrides: str) -> Experiment:
    small = ["model.depth=8", "model.width=4", "dataset.subset=100", "recipe.epochs=5", "schedule.rounds=2"]
    return Experiment.open(compose([*small, *overrides]), Display())


def test_a_draw_that_fails_leaves_no_hooks() -> None:
    search = opened("pruner=edge_popup")
    at = view(search.model)
    with pytest.raises(ValueError, match="cannot keep"):
        Drawing(search, search.run.cell(0, 1), {}).draw(at, at.mask.total + 1, context(at))
    assert not [module for module in search.model.modules() if module._forward_hooks]


@pytest.mark.parametrize(
    ("pruner", "epochs"),
    [
        (["pruner=lth"], 5),
        (["pruner=supermask"], 15),
        (["pruner=supermask", "pruner.search=2", "pruner.epochs=0.5"], 12.5),
        (["pruner=edge_popup"], 15),
        (["pruner=early_bird"], 10),
        (["pruner=early_bird", "pruner.epochs=2"], 20),
        (["pruner=anneal"], 5),
    ],
)
def test_the_estimate_counts_searches(pruner: list[str], epochs: float, tmp_path: object) -> None:
    search = opened(*pruner, f"out={tmp_path}")
    found = estimate(search, {search.dense.run.name: 2.0}).cells  # two seconds an epoch
    wanted = {search.dense.run.cell(0, 0).path: 10.0}
    assert found == wanted | {search.run.cell(0, n).path: 2 * epochs for n in (1, 2)}
