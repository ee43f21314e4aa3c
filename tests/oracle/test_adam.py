"""Adam: the formula by hand, torch's own optimiser, and what masks, resumes and rewinds do to its moments."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import (
    DATASET,
    PER_EPOCH,
    RECIPE,
    network,
    same,
    ticket,
    training,
    weights_of,
)
from ticketsearch.cli import main
from ticketsearch.data.batches import Batches
from ticketsearch.ticket import Ticket
from ticketsearch.training.adam import SQUARE, STEPS, Adam
from ticketsearch.training.recipe import Recipe

SETTINGS = [(0.9, 0.999, 1e-8, 0.0), (0.9, 0.999, 1e-8, 5e-4), (0.0, 0.9, 1e-3, 1e-2), (0.5, 0.0, 1e-8, 0.0)]
"""beta1, beta2, eps, weight decay."""
RATES = [0.1, 0.1, 0.05, 0.2, 0.1, 0.01]
ADAM = {"optimiser": "adam", "lr": 0.01}
ALL = frozenset(range(3 * PER_EPOCH + 1))


def recipe(beta1: float, beta2: float, eps: float, decay: float) -> Recipe:
    return Recipe(optimiser="adam", momentum=beta1, beta2=beta2, eps=eps, weight_decay=decay)


def parameters(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    numbers = [torch.randn(size, generator=rng) for size in (3, 64, 1001)]
    return {f"p{i}": nn.Parameter(tensor.to(dtype)) for i, tensor in enumerate(numbers)}


def with_gradients(named: dict[str, nn.Parameter]) -> Iterator[float]:
    """Sets the gradients of one update after another; the learning rate of each."""
    rng = torch.Generator().manual_seed(1)
    for rate in RATES:
        for parameter in named.values():
            parameter.grad = torch.randn(parameter.shape, generator=rng).to(parameter.dtype)
        yield rate


def ours(chosen: Recipe, dtype: torch.dtype = torch.float32) -> tuple[dict[str, nn.Parameter], Adam]:
    named = parameters(dtype)
    optimiser = Adam(named, chosen)
    for rate in with_gradients(named):
        optimiser.step(rate, torch.tensor(1.0))
    return named, optimiser


def moments(optimiser: Adam) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in optimiser.momentum.items()}


# The update.


def test_two_updates_by_hand() -> None:
    # lr 0.5, betas 0.5 and 0.75, eps 0.1, weight decay 0.1, gradient 1, from w = 2:
    # g = 1.2,    m = 0.6,     v = 0.36:     m / (1 - 0.5)  = 1.2, v / (1 - 0.75) = 1.44, w = 2 - 0.5 x 1.2 / 1.3
    # g = 1.1538, m = 0.87692, v = 0.602840: m / (1 - 0.25) = 1.16923, v / (1 - 0.5625) = 1.377920
    named = {"w": nn.Parameter(torch.tensor([2.0], dtype=torch.float64))}
    optimiser = Adam(named, recipe(0.5, 0.75, 0.1, 0.1))
    first = 2 - 0.5 * 1.2 / 1.3
    grad = 1 + 0.1 * first
    second = first - 0.5 * ((0.3 + 0.5 * grad) / 0.75) / (math.sqrt((0.27 + 0.25 * grad**2) / 0.4375) + 0.1)
    assert (first, grad, second) == pytest.approx((1.538462, 1.153846, 1.079525), abs=1e-6)
    for value in (first, second):
        named["w"].grad = torch.ones(1, dtype=torch.float64)
        optimiser.step(0.5, torch.tensor(0.0))
        assert named["w"].item() == pytest.approx(value, rel=1e-14)
    assert optimiser.momentum["w"].item() == pytest.approx(0.3 + 0.5 * grad, rel=1e-14)
    assert optimiser.momentum["w" + SQUARE].item() == pytest.approx(0.27 + 0.25 * grad**2, rel=1e-14)
    assert optimiser.momentum[STEPS].item() == 2


class Formula:
    """Algorithm 1 of Kingma & Ba (2015), weight decay added to the gradient."""

    def __init__(self, named: dict[str, nn.Parameter], chosen: Recipe) -> None:
        self.named, self.recipe, self.steps = named, chosen, 0
        self.first = {name: torch.zeros_like(p.detach()) for name, p in named.items()}
        self.second = {name: torch.zeros_like(p.detach()) for name, p in named.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.steps += 1
        beta1, beta2 = self.recipe.momentum, self.recipe.beta2
        for name, parameter in self.named.items():
            grad = parameter.grad + self.recipe.weight_decay * parameter
            self.first[name] = beta1 * self.first[name] + (1 - beta1) * grad
            self.second[name] = beta2 * self.second[name] + (1 - beta2) * grad**2
            mean = self.first[name] / (1 - beta1**self.steps)
            root = (self.second[name] / (1 - beta2**self.steps)).sqrt()
            parameter.sub_(rate * mean / (root + self.recipe.eps))

    def moments(self) -> dict[str, Tensor]:
        found = self.first | {name + SQUARE: tensor for name, tensor in self.second.items()}
        return found | {STEPS: torch.tensor(float(self.steps))}


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_the_formula_in_double_precision(setting: tuple[float, ...]) -> None:
    # Six updates of a dozen operations each: an error of 1e-16 in any of them stays below 1e-12, also where a
    # second moment without memory (beta2 = 0) is divided by.
    named, optimiser = ours(recipe(*setting), torch.float64)
    formula = Formula(parameters(torch.float64), recipe(*setting))
    for rate in with_gradients(formula.named):
        formula.step(rate)
    for name, parameter in named.items():
        torch.testing.assert_close(parameter, formula.named[name], rtol=0, atol=1e-12)
    for name, tensor in formula.moments().items():
        torch.testing.assert_close(optimiser.momentum[name], tensor, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("how", ["fused", "foreach", "plain"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_torchs_adam(setting: tuple[float, ...], how: str) -> None:
    # Fused: the same kernel with the same arguments, bit for bit in float32. The others compute the same in another
    # order: in float64, where that is no more than 1e-12.
    dtype = torch.float32 if how == "fused" else torch.float64
    named, optimiser = ours(recipe(*setting), dtype)
    beta1, beta2, eps, decay = setting
    others = parameters(dtype)
    chosen = {"fused": how == "fused", "foreach": how == "foreach"}
    theirs = torch.optim.Adam(others.values(), 1.0, (beta1, beta2), eps, decay, **chosen)
    for rate in with_gradients(others):
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
    slack = 0 if how == "fused" else 1e-12
    for name, parameter in named.items():
        torch.testing.assert_close(parameter, others[name], rtol=0, atol=slack)
        state = theirs.state[others[name]]
        torch.testing.assert_close(optimiser.momentum[name], state["exp_avg"], rtol=0, atol=slack)
        torch.testing.assert_close(optimiser.momentum[name + SQUARE], state["exp_avg_sq"], rtol=0, atol=slack)
        assert optimiser.momentum[STEPS] == state["step"] == len(RATES)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_loss_that_is_not_finite_changes_nothing(setting: tuple[float, ...], first: bool, loss: float) -> None:
    named = parameters()
    optimiser = Adam(named, recipe(*setting))
    if not first:
        named, optimiser = ours(recipe(*setting))
    before, its_moments = {name: p.detach().clone() for name, p in named.items()}, moments(optimiser)
    for parameter in named.values():
        parameter.grad = torch.full_like(parameter, loss)
    optimiser.step(0.1, torch.tensor(loss))
    assert same({name: p.detach() for name, p in named.items()}, before)
    assert same(moments(optimiser), its_moments)
    assert its_moments[STEPS] == (0 if first else 6)


def test_after_a_step_that_was_skipped_the_next_is_as_if_it_had_not_been() -> None:
    chosen = recipe(*SETTINGS[1])
    named = parameters()
    optimiser = Adam(named, chosen)
    for number, rate in enumerate(with_gradients(named)):
        if number in (0, 3):
            kept = {name: p.grad for name, p in named.items()}
            for parameter in named.values():
                parameter.grad = torch.full_like(parameter, math.nan)
            optimiser.step(rate, torch.tensor(math.nan))
            for name, grad in kept.items():
                named[name].grad = grad
        optimiser.step(rate, torch.tensor(1.0))
    straight, its = ours(chosen)
    assert same({name: p.detach() for name, p in named.items()}, {name: p.detach() for name, p in straight.items()})
    assert same(moments(optimiser), moments(its))


def test_parameters_without_a_gradient_stay_and_do_not_decay() -> None:
    named = parameters()
    optimiser = Adam(named, recipe(0.9, 0.999, 1e-8, 0.1))
    named["p1"].grad = torch.ones(64)
    before = {name: p.detach().clone() for name, p in named.items()}
    optimiser.step(0.1, torch.tensor(1.0))
    assert [not torch.equal(p, before[name]) for name, p in named.items()] == [False, True, False]


def test_loading_copies_and_what_is_not_given_is_zero() -> None:
    named, optimiser = ours(recipe(*SETTINGS[0]))
    given = {"p0": torch.ones(3), "p0" + SQUARE: torch.full((3,), 2.0), STEPS: torch.tensor(7.0)}
    optimiser.load(given)
    given["p0"].zero_()
    assert [tensor.tolist() for tensor in optimiser.buffers("p0")] == [[1, 1, 1], [2, 2, 2]]
    assert optimiser.momentum[STEPS] == 7
    assert not any(tensor.any() for name in ("p1", "p2") for tensor in optimiser.buffers(name))
    optimiser.load({})
    assert not any(tensor.any() for tensor in optimiser.momentum.values())
    assert set(optimiser.momentum) == {*named, *(name + SQUARE for name in named), STEPS}


def test_nesterov_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="optimiser=sgd"):
        Recipe(optimiser="adam", nesterov=True)
    out = tmp_path / "out"
    assert main(["run", "recipe.optimiser=adam", "recipe.nesterov=true", f"out={out}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), "nesterov" in lines[0], out.exists()) == (3, True, False)


# Training.


def plain(drawn: Ticket, chosen: Recipe) -> tuple[dict[str, Tensor], Formula]:
    """Masked training as a textbook writes it: the formula, and products with the mask."""
    model = network(77, torch.float64)
    model.load_state_dict(dict(drawn.start))
    formula = Formula(dict(model.named_parameters()), chosen)
    batches = Batches(DATASET.load().train, DATASET, chosen.batch_size, 5)
    rates = iter(chosen.learning_rates(3 * PER_EPOCH, PER_EPOCH))
    hold(formula, drawn)
    model.train()
    for epoch in range(3):
        for pixels, labels in batches.epoch(epoch):
            model.zero_grad()
            F.cross_entropy(model(pixels).float(), labels).backward()  # as the loop does
            formula.step(next(rates))
            hold(formula, drawn)
    return weights_of(model), formula


@torch.no_grad()
def hold(formula: Formula, drawn: Ticket) -> None:
    for name, alive in drawn.mask.items():
        for tensor in (formula.named[name], formula.first[name], formula.second[name]):
            tensor.mul_(alive)


@pytest.mark.parametrize("density", [0.4, 1.0])
@pytest.mark.parametrize("decay", [0.0, 5e-4])
def test_training_is_masked_adam(decay: float, density: float) -> None:
    # Adam divides by the size of the gradient, so that rounding in it, 1e-16 of it, moves a weight by as much of the
    # learning rate. Where the gradient is below eps it moves it by at most lr / eps = 1e6 times the rounding of a sum
    # of products of order 1e-2, 1e-18: 1e-12 in each of 15 updates.
    drawn = ticket(density, dtype=torch.float64)
    found = training(drawn, weight_decay=decay, **ADAM)
    trained = found.run()
    weights, formula = plain(drawn, replace(RECIPE, weight_decay=decay, **ADAM))
    for name, tensor in weights.items():
        torch.testing.assert_close(trained.weights[name], tensor, rtol=0, atol=1e-10, msg=name)
    for name, tensor in formula.moments().items():
        torch.testing.assert_close(found.state().momentum[name], tensor, rtol=0, atol=1e-10, msg=name)
