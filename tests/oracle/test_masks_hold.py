"""Pruned weights stay where they are put: after every step, bit for bit, whatever the optimiser carries along."""

import math

import pytest
import torch
from torch import Tensor

from tests.tiny import PER_EPOCH, Memory, network, same, ticket, training
from ticketsearch.ticket import Ticket, prunable_layers
from ticketsearch.training.adam import SQUARE
from ticketsearch.training.state import Start, TrainState

STEPS = 3 * PER_EPOCH
ALL = frozenset(range(STEPS + 1))
NAMES = [name for name, _ in network().named_parameters()]


def noise(names: list[str], seed: int = 0) -> dict[str, Tensor]:
    rng, weights = torch.Generator().manual_seed(seed), network().state_dict()
    return {name: torch.randn(weights[name].shape, generator=rng) for name in names}


def signed_rest() -> dict[str, Tensor]:
    """Numbers of both signs, and -0.0, whose bits differ from those of 0.0."""
    rest = noise(list(prunable_layers(network())), 1)
    for tensor in rest.values():
        tensor.flatten()[::3] = -0.0
    return rest


def raw(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()


class Watch(Memory):
    """Looks at the state after each step, before anything at the end of training can."""

    def __init__(self, drawn: Ticket) -> None:
        super().__init__()
        self.ticket = drawn

    def snapshot(self, state: TrainState) -> None:
        super().snapshot(state)
        for name, alive in self.ticket.mask.items():
            assert 0 < int(alive.sum()) < alive.numel()
            zeros = torch.zeros(alive.shape)
            wanted = zeros if self.ticket.rest is None else self.ticket.rest[name]
            assert raw(state.weights[name][~alive]) == raw(wanted[~alive])
            for kept in (name, name + SQUARE):
                if kept in state.momentum:
                    assert raw(state.momentum[kept][~alive]) == raw(zeros[~alive])


SETTINGS = {
    "plain": {},
    "nesterov": {"nesterov": True},
    "channels-last": {"channels_last": True},
    "bfloat16": {"precision": "bfloat16"},
    "strong weight decay": {"weight_decay": 0.1},
    "adam": {"optimiser": "adam", "lr": 3e-3, "weight_decay": 0.1},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("resting", [False, True])
def test_pruned_weights_and_their_momentum_never_move(resting: bool, setting: str) -> None:
    drawn = ticket(rest=signed_rest() if resting else None)
    watch = Watch(drawn)
    taken_over = {} if setting == "adam" else noise(NAMES)  # the dense model's, say
    start = Start(momentum=taken_over)
    training(drawn, watch, snapshots=ALL, start=start, **SETTINGS[setting]).run()
    assert sorted(watch.snapshots) == sorted(ALL)


@pytest.mark.parametrize("sign", [-1, 1])
def test_kept_weights_move_whatever_their_sign(sign: int) -> None:
    drawn = ticket()
    trained = training(drawn).run()
    for name, alive in drawn.mask.items():
        chosen = alive & (drawn.start[name].sign() == sign)
        assert chosen.any()
        assert (trained.weights[name] != drawn.start[name])[chosen].all()


def test_weights_that_are_not_prunable_move() -> None:
    drawn = ticket()
    trained = training(drawn).run()
    for name in set(NAMES) - set(drawn.mask):
        assert (trained.weights[name] != drawn.start[name]).any()


@pytest.mark.parametrize("under", [math.nan, math.inf, -1e30])
def test_what_the_start_holds_under_the_mask_does_not_matter(under: float) -> None:
    drawn = ticket()
    spoiled = {name: tensor.clone() for name, tensor in drawn.start.items()}
    for name, alive in drawn.mask.items():
        spoiled[name][~alive] = under
    trained = training(drawn).run()
    assert same(training(Ticket(drawn.mask, spoiled)).run().weights, trained.weights)


def test_training_does_not_write_to_the_ticket() -> None:
    drawn, before = ticket(rest=signed_rest()), ticket(rest=signed_rest())
    training(drawn).run()
    assert same(drawn.start, before.start)
    assert same(drawn.rest, before.rest)
    assert drawn.mask == before.mask


def test_the_same_ticket_trains_the_same_and_another_order_does_not() -> None:
    first, again, other = (training(ticket(), order_seed=seed).run() for seed in (5, 5, 6))
    assert same(first.weights, again.weights)
    assert not same(first.weights, other.weights)
