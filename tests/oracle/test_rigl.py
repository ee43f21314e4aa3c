"""RigL against a plain loop, its moves against hand-computed ones, and what must hold while the mask moves."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny import DATASET, PER_EPOCH, RECIPE, Memory, decoded, network, same, ticket, training, weights_of
from ticketsearch.compose import compose
from ticketsearch.data.batches import Batches
from ticketsearch.pruners.rigl import Moves, RigL
from ticketsearch.ticket import Mask
from ticketsearch.training.dynamics import Moment

OFTEN = RigL(every=2, moves=1, until=0.8, share=0.5)
STEPS = RECIPE.epochs * PER_EPOCH


class Watching(Moves):
    """Notes the masks that come out of each move."""

    def __init__(self, rigl: RigL) -> None:
        super().__init__(rigl)
        self.masks: list[Mask] = []

    def update(self, now: Moment) -> Mask:
        self.masks.append(super().update(now))
        return self.masks[-1]


def moment(weights: list[float], grads: list[float], alive: list[int], step: int = 0, total: int = 100) -> Moment:
    tensors = [{"w": torch.tensor(numbers)} for numbers in (weights, grads)]
    return Moment(torch.nn.Identity(), *tensors, {}, Mask({"w": torch.tensor(alive).bool()}), step, total, 10)


@pytest.mark.parametrize(
    ("step", "alive"),
    [
        (0, [0, 0, 1, 1, 1, 1, 0, 0]),  # two of four go (the smallest), the two largest gradients come
        (40, [0, 1, 1, 1, 0, 1, 0, 0]),  # half of the cosine: one goes, one comes
        (79, [1, 1, 1, 1, 0, 0, 0, 0]),  # next to nothing is left of the share
    ],
)
def test_the_smallest_go_and_the_largest_gradients_come(step: int, alive: list[int]) -> None:
    now = moment([0.1, -0.2, 0.4, -0.8, 0, 0, 0, 0], [1, 2, 9, 9, -6, 7, 3, 0.0], [1, 1, 1, 1, 0, 0, 0, 0], step)
    assert Moves(OFTEN).update(now)["w"].int().tolist() == alive


def test_a_weight_that_has_just_gone_may_come_back() -> None:
    now = moment([0.1, 0.2, 0.4, 0.8, 0, 0], [50, 1, 0, 0, 3, 2.0], [1, 1, 1, 1, 0, 0])
    assert Moves(OFTEN).update(now)["w"].int().tolist() == [1, 0, 1, 1, 1, 0]


def test_a_full_layer_stays_full() -> None:
    assert Moves(OFTEN).update(moment([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1, 1, 1]))["w"].all()


@pytest.mark.parametrize(
    ("total", "every", "first", "last"), [(97656, 100, 100, 73200), (120, 4, 4, 88), (4, 1, 1, 2), (1, 1, None, None)]
)
def test_moves_are_every_hundred_updates_or_twenty_in_a_short_training(
    total: int, every: int, first: int | None, last: int | None
) -> None:
    steps = list(Moves(RigL()).steps(total, 10))
    assert ([steps[0], steps[-1]] if steps else [None, None]) == [first, last]
    assert all(b - a == every for a, b in pairwise(steps))


def test_training_is_the_plain_loop() -> None:
    start = ticket(0.4, dtype=torch.float64)
    done = training(start, dynamics=Moves(OFTEN)).run()
    weights, mask = plain(start.start, dict(start.mask))
    assert all(torch.equal(mask[name], done.mask[name]) for name in mask)
    for name, tensor in weights.items():
        torch.testing.assert_close(done.weights[name], tensor, rtol=1e-9, atol=1e-12)


def plain(start: Any, mask: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """RigL as the paper's algorithm 1 says it, with torch.optim.SGD."""
    model = network(99, torch.float64)
    model.load_state_dict({k: torch.where(mask[k], v, 0) if k in mask else v for k, v in start.items()})
    parameters = dict(model.named_parameters())
    optimiser = torch.optim.SGD(parameters.values(), 1.0, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    batches, end = Batches(DATASET.load().train, DATASET, RECIPE.batch_size, 5), math.floor(0.8 * STEPS)
    for step, rate in enumerate(RECIPE.learning_rates(STEPS, PER_EPOCH)):
        if step % PER_EPOCH == 0:
            stream = batches.epoch(step // PER_EPOCH)
        model.train()
        pixels, labels = next(stream)
        optimiser.zero_grad()
        F.cross_entropy(model(pixels).float(), labels).backward()  # as the loop does
        if step and step % 2 == 0 and step < end:
            share = 0.5 * (1 + math.cos(math.pi * step / (0.8 * STEPS))) / 2
            mask = {name: _moved(parameters[name], alive, share) for name, alive in mask.items()}
        else:
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
        for name, alive in mask.items():
            parameters[name].data[~alive] = 0
            if "momentum_buffer" in optimiser.state[parameters[name]]:
                optimiser.state[parameters[name]]["momentum_buffer"][~alive] = 0
    return weights_of(model), mask


def _moved(weight: Tensor, alive: Tensor, share: float) -> Tensor:
    size, old = weight.detach().abs().flatten(), alive.flatten()
    count = int(share * int(old.sum()))
    order = sorted(old.nonzero().flatten().tolist(), key=lambda i: (-float(size[i]), i))
    stays = order[: len(order) - count]
    grads = weight.grad.abs().flatten()
    others = sorted(set(range(old.numel())) - set(stays), key=lambda i: (-float(grads[i]), i))
    new = torch.zeros_like(old)
    new[stays + others[:count]] = True
    return new.view_as(alive)


def test_every_layer_keeps_its_number_throughout() -> None:
    watching = Watching(OFTEN)
    start = ticket(0.4)
    done = training(start, dynamics=watching).run()
    assert len(watching.masks) >= 5
    assert {tuple(m.layer_kept.items()) for m in [start.mask, *watching.masks]} == {tuple(done.mask.layer_kept.items())}
    assert done.mask == watching.masks[-1]
    assert all(a != b for a, b in pairwise([start.mask, *watching.masks[:3]]))
    assert all(not done.weights[name][~alive].any() for name, alive in done.mask.items())


def test_what_comes_starts_at_zero_without_momentum() -> None:
    run = training(ticket(0.4), dynamics=Moves(OFTEN))
    list_of = list(run._batches(0, 0))
    for pixels, labels in list_of[:3]:
        before = run.alive
        run._step(pixels, labels, run.rates[run.progress.step])
        run.progress.step += 1
    assert run.alive != before  # the third step was a move
    for name, alive in run.alive.items():
        came = alive & ~before[name]
        assert not run.parameters[name][came].any()
        assert not run.optimiser.momentum[name][came].any()
        stayed = alive & before[name]
        assert run.parameters[name][stayed].all()


def test_a_training_that_is_resumed_has_the_mask_that_it_had() -> None:
    memory = Memory()
    whole = training(ticket(0.4), memory, dynamics=Moves(OFTEN)).run()
    state = decoded(memory.saved[1])
    assert state.mask.layer_kept == whole.mask.layer_kept
    assert state.mask not in (ticket(0.4).mask, whole.mask)
    resumed = training(ticket(0.4), Memory(state), dynamics=Moves(OFTEN)).run()
    assert same(resumed.weights, whole.weights)
    assert resumed.mask == whole.mask


def test_the_yaml_is_rigl_with_erk_densities() -> None:
    chosen = compose(["pruner=rigl"]).pruner
    assert chosen == RigL()
    assert replace(chosen, every=50) != chosen
