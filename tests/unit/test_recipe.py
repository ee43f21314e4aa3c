"""Learning rates: against torch's own schedulers where they mean the same, by hand for the rest."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR

from ticketsearch.training.recipe import Recipe


def torch_rates(steps: int, lr: float, make: Callable[[torch.optim.SGD], LRScheduler], every: int = 1) -> list[float]:
    """The learning rate at each of `steps` updates, with the scheduler stepped after `every` of them."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler, rates = make(optimiser), []
    for step in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return rates


def close(rates: list[float]) -> object:
    """Torch computes each rate from the one before; 1e-9 is far above its rounding, far below any other schedule."""
    return pytest.approx(rates, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("per_epoch", [1, 7, 40])
@pytest.mark.parametrize(
    ("epochs", "shares", "milestones"),
    [(160, (0.5, 0.75), [80, 120]), (10, (0.3, 0.6, 0.9), [3, 6, 9]), (182, (0.5, 0.75), [91, 136.5])],
)
def test_steps_are_multi_step_lr(
    epochs: int, shares: tuple[float, ...], milestones: list[float], per_epoch: int
) -> None:
    recipe = Recipe(epochs=epochs, lr=0.1, decay="steps", decay_at=shares, gamma=0.2)
    steps = epochs * per_epoch
    at = [math.ceil(milestone * per_epoch) for milestone in milestones]  # counted in updates
    wanted = torch_rates(steps, 0.1, lambda o: MultiStepLR(o, at, 0.2))
    assert recipe.learning_rates(steps, per_epoch) == close(wanted)


def test_whole_milestones_are_multi_step_lr_stepped_each_epoch() -> None:
    wanted = torch_rates(160 * 5, 0.1, lambda o: MultiStepLR(o, [80, 120], 0.1), every=5)
    assert Recipe().learning_rates(160 * 5, 5) == close(wanted)


@pytest.mark.parametrize("steps", [1, 2, 120, 999])
def test_cosine_is_cosine_annealing_stepped_each_update(steps: int) -> None:
    wanted = torch_rates(steps, 0.3, lambda o: CosineAnnealingLR(o, steps))
    assert Recipe(lr=0.3, decay="cosine").learning_rates(steps, 10) == close(wanted)


@pytest.mark.parametrize("warmup", [1.0, 2.0, 5.0])
def test_warm_up_is_linear_lr(warmup: float) -> None:
    rise = round(10 * warmup)
    wanted = torch_rates(100, 0.1, lambda o: LinearLR(o, 1 / rise, total_iters=rise - 1))
    assert Recipe(warmup=warmup, decay="constant").learning_rates(100, 10) == close(wanted)


def test_warm_up_multiplies_the_decay() -> None:
    def chained(optimiser: torch.optim.SGD) -> ChainedScheduler:
        return ChainedScheduler([LinearLR(optimiser, 1 / 10, total_iters=9), CosineAnnealingLR(optimiser, 120)])

    recipe = Recipe(warmup=1.0, decay="cosine")
    assert recipe.learning_rates(120, 10) == close(torch_rates(120, 0.1, chained))


def test_warm_up_by_hand() -> None:
    # Two epochs of two updates: quarters of 0.8.
    rates = Recipe(lr=0.8, warmup=2.0, decay="constant").learning_rates(6, 2)
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], abs=1e-15)


def test_a_fraction_of_an_epoch_of_warm_up_by_hand() -> None:
    # 0.5 epochs of 5 updates: 2.5 updates, so 0.4 and 0.8 of the rate, then all of it.
    rates = Recipe(lr=1.0, warmup=0.5, decay="constant").learning_rates(5, 5)
    assert rates == pytest.approx([0.4, 0.8, 1, 1, 1], abs=1e-15)


def test_cosine_by_hand() -> None:
    # cos(0), cos(pi/4), cos(pi/2), cos(3 pi/4): 1, (1 + 0.70710678) / 2, 1/2, (1 - 0.70710678) / 2.
    rates = Recipe(lr=1.0, decay="cosine").learning_rates(4, 1)
    assert rates == pytest.approx([1, 0.853553391, 0.5, 0.146446609], abs=1e-9)


def test_steps_by_hand() -> None:
    rates = Recipe(lr=1.0, decay="steps", decay_at=(0.5, 0.75), gamma=0.1).learning_rates(8, 2)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01], rel=1e-12)


def test_a_milestone_inside_an_epoch_falls_at_the_next_update() -> None:
    # Half of 3 epochs of 3 updates is after 4.5 updates.
    rates = Recipe(lr=1.0, decay="steps", decay_at=(0.5,), gamma=0.1).learning_rates(9, 3)
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 4, rel=1e-12)


def test_shares_scale_with_the_training() -> None:
    # A pruner that trains half as long falls at half and three quarters of what it trains.
    rates = Recipe(lr=1.0).learning_rates(80, 1)
    assert [rates[i] for i in (39, 40, 59, 60)] == pytest.approx([1, 0.1, 0.1, 0.01], rel=1e-12)


def test_constant_does_not_fall() -> None:
    assert Recipe(lr=0.05, decay="constant").learning_rates(7, 2) == [0.05] * 7


def test_no_steps_have_no_rates() -> None:
    assert Recipe().learning_rates(0, 10) == []


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov"):
        Recipe(nesterov=True, momentum=0)
