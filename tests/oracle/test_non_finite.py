"""A loss that is not finite stops the training, and the step that had it changes no parameter."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import DATASET, Memory, network, same, ticket, training
from ticketsearch.data.batches import Batches
from ticketsearch.errors import RunFailed
from ticketsearch.training.loop import WINDOW, Training

BATCH = 2  # 75 updates an epoch, so that the check every 50 comes before the epoch's end
LR = 1e-3


def exploding(at: int, factor: float, memory: Memory | None = None, **recipe: object) -> Training:
    """A training whose logits are multiplied by `factor` at update number `at`, and only there."""
    run = training(ticket(), memory or Memory(), batch_size=BATCH, lr=LR, decay="constant", warmup=0.0, **recipe)
    calls = 0

    def spoil(model: nn.Module, _: object, logits: Tensor) -> Tensor:
        nonlocal calls
        calls += model.training
        return logits * factor if model.training and calls == at + 1 else logits

    run.model.register_forward_hook(spoil)
    return run


@pytest.mark.parametrize(("at", "noticed"), [(0, 50), (7, 50), (49, 50), (50, 75), (74, 75), (75, 100)])
@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_it_is_noticed_within_fifty_steps_and_by_the_epochs_end(at: int, noticed: int, factor: float) -> None:
    run = exploding(at, factor)
    with pytest.raises(RunFailed, match=rf"at step {at} "):
        run.run()
    assert run.progress.step == noticed
    assert noticed - at <= WINDOW == 50


def loss_at(weights: dict[str, Tensor], number: int) -> float:
    """The training loss of update `number` at these weights, in one plain forward pass."""
    model = network()
    model.load_state_dict(weights)
    pixels, labels = list(Batches(DATASET.load().train, DATASET, BATCH, 5).epoch(0))[number]
    return F.cross_entropy(model.train()(pixels), labels).item()


def test_the_error_names_seed_step_learning_rate_and_the_last_finite_loss() -> None:
    memory = Memory()
    with pytest.raises(RunFailed) as error:
        exploding(7, math.nan, memory, snapshots=frozenset({6})).run()
    last = loss_at(memory.snapshots[6].weights, 6)
    for part in ("seed 5", "became nan", "at step 7", "lr 0.001", f"last finite loss was {last:g}"):
        assert part in error.value.what
    assert error.value.attempt == "recipe.lr=0.0001"


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 7])
def test_the_step_changes_no_parameter_and_no_momentum(at: int, factor: float, nesterov: bool) -> None:
    memory = Memory()
    with pytest.raises(RunFailed):
        exploding(at, factor, memory, nesterov=nesterov, snapshots=frozenset(range(12))).run()
    before, after, later = (memory.snapshots[step] for step in (at, at + 1, at + 2))
    parameters = [name for name, _ in network().named_parameters()]
    assert same(only(before.weights, parameters), only(after.weights, parameters))
    assert same(before.momentum, after.momentum)
    assert not same(before.momentum, later.momentum)  # the steps after it are taken again


def only(weights: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    return {name: weights[name] for name in names}


def test_a_learning_rate_that_is_far_too_high_stops_the_training() -> None:
    with pytest.raises(RunFailed) as error:
        training(ticket(), lr=1e9, decay="constant", warmup=0.0, epochs=20).run()
    number = int(error.value.what.split("at step ")[1].split()[0])
    assert 1 <= number <= WINDOW  # the first update sees the start, which is sound
    assert "last finite loss was nan" not in error.value.what
    assert "lr 1e+09" in error.value.what


def test_nothing_is_saved_once_the_loss_was_not_finite() -> None:
    memory = Memory()
    with pytest.raises(RunFailed):
        exploding(80, math.nan, memory).run()
    assert len(memory.saved) == 1  # the end of the first epoch, update 75
    assert len(memory.epochs) == 1


def test_finite_losses_pass() -> None:
    run = exploding(7, 1.0)
    run.run()
    assert torch.isfinite(torch.cat([p.flatten() for p in run.parameters.values()])).all()
