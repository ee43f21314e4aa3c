"""The update: the formula by hand, and torch's own optimiser."""

import math

import pytest
import torch
from torch import Tensor, nn

from ticketsearch.training.recipe import Recipe
from ticketsearch.training.sgd import SGD

SETTINGS = [(0.9, False, 5e-4), (0.9, True, 5e-4), (0.9, False, 0.0), (0.0, False, 1e-2)]


def parameters() -> dict[str, nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    return {f"p{i}": nn.Parameter(torch.randn(size, generator=rng)) for i, size in enumerate((3, 64, 1001))}


def gradients(steps: int) -> list[list[Tensor]]:
    rng = torch.Generator().manual_seed(1)
    return [[torch.randn(p.shape, generator=rng) for p in parameters().values()] for _ in range(steps)]


def ours(recipe: Recipe, grads: list[list[Tensor]], rates: list[float]) -> tuple[dict[str, nn.Parameter], SGD]:
    named = parameters()
    optimiser = SGD(named, recipe)
    for step, rate in zip(grads, rates, strict=True):
        for parameter, grad in zip(named.values(), step, strict=True):
            parameter.grad = grad.clone()
        optimiser.step(rate, torch.tensor(1.0))
    return named, optimiser


def recipe(momentum: float, nesterov: bool, decay: float) -> Recipe:
    return Recipe(momentum=momentum, nesterov=nesterov, weight_decay=decay)


def test_two_updates_by_hand() -> None:
    # lr 0.5, momentum 0.5, weight decay 0.1, gradient 1, from w = 2:
    # g = 1.2, v = 1.2, w = 1.4; then g = 1.14, v = 0.6 + 1.14 = 1.74, w = 1.4 - 0.87 = 0.53.
    named = {"w": nn.Parameter(torch.tensor([2.0]))}
    optimiser = SGD(named, recipe(0.5, False, 0.1))
    for value in (1.4, 0.53):
        named["w"].grad = torch.ones(1)
        optimiser.step(0.5, torch.tensor(0.0))
        assert named["w"].item() == pytest.approx(value, abs=1e-6)
    assert optimiser.momentum["w"].item() == pytest.approx(1.74, abs=1e-6)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_torchs_fused_sgd_bit_for_bit(setting: tuple[float, bool, float]) -> None:
    # The same kernel with the same arguments; torch's learning rate is set before each step, as schedulers do.
    grads, rates = gradients(6), [0.1, 0.1, 0.05, 0.2, 0.1, 0.01]
    named, optimiser = ours(recipe(*setting), grads, rates)
    momentum, nesterov, decay = setting
    others = list(parameters().values())
    theirs = torch.optim.SGD(others, 1.0, momentum, 0, decay, nesterov, fused=True)
    for step, rate in zip(grads, rates, strict=True):
        for parameter, grad in zip(others, step, strict=True):
            parameter.grad = grad.clone()
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
    for (name, parameter), other in zip(named.items(), others, strict=True):
        assert torch.equal(parameter, other)
        if momentum:
            assert torch.equal(optimiser.momentum[name], theirs.state[other]["momentum_buffer"])


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_loss_that_is_not_finite_changes_nothing(setting: tuple[float, bool, float], loss: float) -> None:
    named, optimiser = ours(recipe(*setting), gradients(2), [0.1, 0.1])
    before = {name: (p.detach().clone(), optimiser.momentum[name].clone()) for name, p in named.items()}
    for parameter in named.values():
        parameter.grad = torch.full_like(parameter, loss)
    optimiser.step(0.1, torch.tensor(loss))
    for name, parameter in named.items():
        assert torch.equal(parameter, before[name][0])
        assert torch.equal(optimiser.momentum[name], before[name][1])


def test_parameters_without_a_gradient_stay_and_do_not_decay() -> None:
    named = parameters()
    optimiser = SGD(named, recipe(0.9, False, 0.1))
    named["p1"].grad = torch.ones(64)
    before = {name: p.detach().clone() for name, p in named.items()}
    optimiser.step(0.1, torch.tensor(1.0))
    assert [not torch.equal(p, before[name]) for name, p in named.items()] == [False, True, False]
    optimiser.zero_grad()
    assert all(p.grad is None for p in named.values())


def test_loading_copies() -> None:
    named = parameters()
    optimiser = SGD(named, recipe(0.9, False, 0.1))
    given = {name: torch.ones_like(p.detach()) for name, p in named.items()}
    optimiser.load(given)
    ours_before = {name: tensor.clone() for name, tensor in optimiser.momentum.items()}
    given["p0"].zero_()
    assert all(torch.equal(optimiser.momentum[name], ours_before[name]) for name in named)
    assert optimiser.momentum["p0"].tolist() == [1, 1, 1]
