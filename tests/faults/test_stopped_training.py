"""A training that a signal stops at any step, or while it validates, goes on from there as if nothing had been."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from torch import nn

from tests.tiny import Memory, decoded, network, same, ticket, training, weights_of
from ticketsearch.files import encode_state
from ticketsearch.pruners.early_bird import EarlyBird, Settling
from ticketsearch.pruners.rigl import Moves, RigL
from ticketsearch.stopping import Stopped, deferred, second, stoppable
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training import predict
from ticketsearch.training.loop import Training
from ticketsearch.training.state import Start, TrainState

OFTEN = RigL(every=2, moves=1, until=0.8, share=0.5)
DENSE = Mask.ones(prunable_layers(network()))


class Stopping(Memory):
    """Keeps what a training hands over when it is asked to end, as bytes: what a file would hold."""

    def stop(self, state: TrainState) -> None:
        self.stopped = encode_state(state, {})


def settling() -> Settling:
    """Draws a ticket after the second epoch of three, and trains that from its start."""
    return Settling(EarlyBird(window=2, near=1.0), DENSE.total // 2, weights_of(network()))


KINDS: dict[str, tuple[Ticket, Callable[[], dict[str, Any]]]] = {
    "plain": (ticket(), dict),
    "inside an epoch": (ticket(), lambda: {"start": Start(lr_step=3, data_step=7)}),
    "adam": (ticket(), lambda: {"optimiser": "adam", "lr": 1e-3, "nesterov": False}),
    "half an epoch left": (ticket(), lambda: {"epochs": 0.5}),
    "rigl": (ticket(), lambda: {"dynamics": Moves(OFTEN)}),
    "early bird": (Ticket(DENSE, weights_of(network())), lambda: {"dynamics": settling()}),
}


def stopped_at(forward: int, run: Training) -> bool:
    """Send this process SIGTERM during a forward pass of the network; whether it ended for it."""
    left = [forward]

    def count(module: nn.Module, inputs: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    run.model.register_forward_pre_hook(count)
    try:
        with stoppable():
            run.run()
    except Stopped:
        return True
    assert left[0] > 0, "the signal was not heard"
    return False


EVERY = 1000
"""More forward passes than a training has: five steps and two batches of validation an epoch."""


@pytest.mark.parametrize(
    ("kind", "forwards"),
    [
        ("plain", [1, 4, 5, 6, 7, 8, 19, 20, 21]),
        ("inside an epoch", [2, 5, 9]),
        ("adam", [4, 13]),
        ("half an epoch left", [8, 10]),
        ("rigl", [4, 11]),
        ("early bird", [6, 12, 17]),
        *(pytest.param(kind, range(1, EVERY), marks=pytest.mark.slow) for kind in KINDS),
    ],
)
def test_a_training_stopped_at_any_step_goes_on_bit_for_bit(
    kind: str, forwards: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", 25)  # a validation of two batches can be stopped between them
    drawn, more = KINDS[kind]
    whole = training(drawn, **more())
    trained = whole.run()
    steps = list[int]()
    for forward in forwards:
        if not stopped_at(forward, training(drawn, memory := Stopping(), **more())):
            break
        state = decoded(memory.stopped)
        steps.append(state.progress.step)
        found = training(drawn, Memory(state), **more())
        resumed = found.run()
        assert same(resumed.weights, trained.weights)
        assert same(resumed.best, trained.best)
        assert same(found.state().momentum, whole.state().momentum)
        assert resumed.mask == trained.mask
        assert resumed.progress.history == trained.progress.history
        names = ("step", "best_epoch", "best_accuracy", "searched", "last_finite")
        assert [getattr(resumed.progress, n) for n in names] == [getattr(trained.progress, n) for n in names]
    assert len(steps) == len(forwards) or set(steps) >= set(range(1, whole.steps + 1))


def interrupted(number: int, done: list[str], later: bool) -> None:
    """Work that a signal comes to, in a part that is to be finished or behind it."""
    with stoppable():
        with deferred(), deferred():
            if later:
                os.kill(os.getpid(), number)
            done.append("the commit")
        if not later:
            os.kill(os.getpid(), number)
        done.append("the next cell")


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_work_at_once_or_behind_what_is_to_be_finished(name: str, later: bool) -> None:
    done = list[str]()
    with pytest.raises(Stopped, match=name):
        interrupted(signal.Signals[name], done, later)
    assert done == ["the commit"]


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Stopped):
        interrupted(signal.SIGTERM, [], later=False)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with deferred():
        pass  # it is forgotten, too


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGINT)
        with second(lambda: pytest.fail("it was heard")):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_forked_worker_leaves_ctrl_c_to_its_parent(number: int, status: int) -> None:
    """It keeps nothing and raises nothing; but whoever wants it gone, such as a pool that is closed, gets rid of it."""
    with stoppable():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), number)
            os._exit(7)
        _, code = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(code) == status
