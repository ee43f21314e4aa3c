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


class Exploding:
    """A training whose logits are multiplied by `factor` at update number `at`, and only there.

    Attributes:
        seen: parameters and momentum before each update.
    """

    def __init__(self, at: int, factor: float, memory: Memory | None = None, **job: object) -> None:
        self.seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
        self._at, self._factor = at, factor
        self.training: Training = training(
            ticket(), memory, batch_size=BATCH, lr=LR, decay="constant", warmup=0.0, **job
        )
        self.training.model.register_forward_hook(self._spoil)

    def _spoil(self, model: nn.Module, _: object, logits: Tensor) -> Tensor:
        if not model.training:
            return logits
        named = (self.training.parameters, self.training.optimiser.momentum)
        self.seen.append(tuple({name: t.detach().clone() for name, t in tensors.items()} for tensors in named))
        return logits * self._factor if len(self.seen) == self._at + 1 else logits

    def fail(self) -> RunFailed:
        with pytest.raises(RunFailed) as error:
            self.training.run()
        return error.value


@pytest.mark.parametrize(("at", "noticed"), [(0, 50), (7, 50), (49, 50), (50, 75), (74, 75), (75, 100)])
@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_it_is_noticed_within_fifty_steps_and_by_the_epochs_end(at: int, noticed: int, factor: float) -> None:
    run = Exploding(at, factor)
    assert f"at step {at} " in run.fail().what
    assert run.training.progress.step == noticed
    assert noticed - at <= WINDOW == 50


def loss_at(weights: dict[str, Tensor], number: int) -> float:
    """The training loss of update `number` at these weights, in one plain forward pass."""
    model = network()
    model.load_state_dict(weights)
    pixels, labels = list(Batches(DATASET.load().train, DATASET, BATCH, 5).epoch(0))[number]
    return F.cross_entropy(model.train()(pixels), labels).item()


def test_the_error_names_seed_step_learning_rate_and_the_last_finite_loss() -> None:
    memory = Memory()
    error = Exploding(7, math.nan, memory, snapshots=frozenset({6})).fail()
    last = loss_at(memory.snapshots[6].weights, 6)
    for part in ("seed 5", "became nan", "at step 7", "lr 0.001", f"last finite loss was {last:g}"):
        assert part in error.what
    assert error.attempt == "ticketsearch run recipe.lr=0.0001"


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 7])
def test_the_step_changes_no_parameter_and_no_momentum(at: int, factor: float, nesterov: bool) -> None:
    run = Exploding(at, factor, nesterov=nesterov)
    run.fail()
    (weights, momentum), (after, its_momentum), (_, later) = run.seen[at : at + 3]
    assert same(weights, after)
    assert same(momentum, its_momentum)
    assert not same(momentum, later)  # the steps after it are taken again


def test_a_learning_rate_that_is_far_too_high_stops_the_training() -> None:
    with pytest.raises(RunFailed) as error:
        training(ticket(), lr=1e9, decay="constant", warmup=0.0, epochs=20).run()
    number = int(error.value.what.split("at step ")[1].split()[0])
    assert 1 <= number <= WINDOW  # the first update sees the start, which is sound
    assert "last finite loss was nan" not in error.value.what
    assert "lr 1e+09" in error.value.what


def test_nothing_is_saved_once_the_loss_was_not_finite() -> None:
    memory = Memory()
    Exploding(80, math.nan, memory).fail()
    assert len(memory.saved) == 1  # the end of the first epoch, update 75
    assert len(memory.epochs) == 1


def test_finite_losses_pass() -> None:
    trained = Exploding(7, 1.0).training.run()
    assert all(torch.isfinite(tensor).all() for tensor in trained.weights.values())


def test_weights_that_are_not_finite_are_not_handed_over() -> None:
    # Update 2 has a loss of 6e29 and a gradient that overflows; no later loss tells.
    run = training(ticket(), lr=1e9, decay="constant", warmup=0.0, stop=3)
    with pytest.raises(RunFailed):
        run.run()


def test_no_snapshot_is_taken_once_the_loss_was_not_finite() -> None:
    memory = Memory()
    Exploding(7, math.nan, memory, snapshots=frozenset({7, 8})).fail()
    assert sorted(memory.snapshots) == [7]
