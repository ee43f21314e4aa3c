"""Early-Bird: when the ranking settles, what is trained then, and what is remembered in between."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from commands import folder, rows, run_here

import ticketsearch
from tests.tiny import DATASET, PER_EPOCH, RECIPE, Memory, decoded, network, same, training, weights_of
from ticketsearch import channels
from ticketsearch.cell import Cell
from ticketsearch.data.batches import Batches
from ticketsearch.pruners.early_bird import EarlyBird, Settling
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.dynamics import Moment

MODEL = network()
ONES = Mask.ones(prunable_layers(MODEL))
HALF = ONES.total // 2
NAMES = list(channels.alive(MODEL, ONES))
TOTAL = sum(len(stays) for stays in channels.alive(MODEL, ONES).values())


def moment(scales: torch.Tensor, step: int = 10, total: int = 1000) -> Moment:
    """A network whose inner batch norms have these scales, channel after channel."""
    weights = weights_of(MODEL)
    sizes = [len(stays) for stays in channels.alive(MODEL, ONES).values()]
    for group, part in zip(MODEL.channels, scales.split(sizes), strict=True):
        weights[f"{group.norm}.weight"] = part
    return Moment(MODEL, weights, {}, {}, ONES, step, total, 10)


def searching(**fields: Any) -> Settling:
    return Settling(EarlyBird(**fields), HALF, weights_of(MODEL))


RISING = torch.arange(1.0, TOTAL + 1) / TOTAL


def test_the_fifth_marking_that_stays_the_same_gives_the_ticket() -> None:
    search = searching()
    assert [search.update(moment(RISING)) for _ in range(4)] == [None] * 4
    drawn = search.update(moment(RISING))
    scores = {name: part for name, part in zip(NAMES, RISING.split([4, 8, 16]), strict=True)}
    assert drawn.mask == channels.lowest_removed(MODEL, ONES, scores, HALF)
    assert HALF <= drawn.mask.kept < HALF + 16 * 16 * 18
    assert search.remark() == ""


def test_the_sign_of_a_scale_does_not_matter() -> None:
    search, other = searching(window=2), searching(window=2)
    drawn = [[s.update(moment(sign * RISING)) for _ in range(2)][1] for s, sign in ((search, 1), (other, -1))]
    assert drawn[0].mask == drawn[1].mask


def test_the_last_marking_is_compared_with_each_of_the_earlier_ones() -> None:
    """Markings that creep are near their neighbours and far from the first: not settled, as in the authors' code."""
    creeping = torch.stack([torch.arange(TOTAL) < 10 + 2 * n for n in range(5)])
    search = searching(near=0.1)
    shares = {}
    for name, markings in {
        "creeping": creeping,
        "still": creeping[[3, 4, 4, 4, 4]],
        "four": creeping[:1].repeat(4, 1),
    }.items():
        search.load_state_dict({"markings": markings})
        shares[name] = (search.settled, max(float((a ^ b).float().mean()) for a, b in pairwise(markings)) <= 0.1)
    assert shares == {"creeping": (False, True), "still": (True, True), "four": (False, True)}


def test_a_ranking_that_never_settles_gives_the_last_marking_and_says_so() -> None:
    search = searching(near=0.0)
    for shift in (0, 9, 18):
        assert search.update(moment(RISING.roll(shift))) is None
    drawn = search.update(moment(RISING.roll(5), step=999))
    assert isinstance(drawn, Ticket)
    assert "has not settled" in search.remark()


@pytest.mark.parametrize(("begin", "same_as"), [("continue", "now"), ("init", "initial")])
def test_the_ticket_starts_where_it_is_told(begin: str, same_as: str) -> None:
    initial = {name: tensor + 1 for name, tensor in weights_of(MODEL).items()}
    search = Settling(EarlyBird(begin=begin, window=2), HALF, initial)
    now = moment(RISING)
    search.update(now)
    drawn = search.update(now)
    assert same(drawn.start, {"now": dict(now.weights), "initial": initial}[same_as])


def test_it_looks_after_each_epoch_and_before_the_last_update() -> None:
    assert list(searching().steps(40, 10)) == [10, 20, 30, 39]
    assert list(searching().steps(2, 1)) == [1]


def whole() -> Ticket:
    return Ticket(ONES, weights_of(network()))


def test_the_penalty_is_in_the_gradient_and_not_in_the_loss() -> None:
    """The first update against torch.optim.SGD on the sum of both."""
    run = training(whole(), dynamics=searching(slimming=0.05))
    pixels, labels = next(iter(Batches(DATASET.load().train, DATASET, RECIPE.batch_size, 5).epoch(0)))
    model = network()
    loss = F.cross_entropy(model.train()(pixels), labels)
    scales = [module.weight for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    optimiser = torch.optim.SGD(model.parameters(), 0.3, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    (loss + 0.05 * sum(scale.abs().sum() for scale in scales)).backward()
    optimiser.step()
    run._step(pixels, labels, 0.3)
    assert float(run.unread[-1]) == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(run.parameters[name].detach(), parameter.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [2, 9], ids=["settles", "never settles"])
def test_the_ticket_is_trained_for_the_whole_course_from_its_own_start(window: int) -> None:
    memory = Memory()
    done = training(whole(), memory, dynamics=searching(window=window, near=1.0)).run()
    spent = {2: 2 * PER_EPOCH, 9: 3 * PER_EPOCH - 1}[window]
    assert (done.progress.searched, done.progress.step) == (spent, 3 * PER_EPOCH)
    assert [int(record["epoch"]) for record in done.progress.history] == [1, 2, 3]
    assert HALF <= done.mask.kept < ONES.total
    assert done.mask == done.began.mask
    assert all(not done.weights[name][zero].any() for name, zero in done.mask.held.items())
    alone = training(done.began).run()  # what was drawn, trained by itself
    assert same(alone.weights, done.weights)


@pytest.mark.parametrize("saved", [0, 1, 2, 3], ids=["searching", "still searching", "drawn", "training"])
def test_a_search_that_is_resumed_is_the_uninterrupted_one(saved: int) -> None:
    memory = Memory()
    done = training(whole(), memory, dynamics=searching(window=2, near=1.0)).run()
    state = decoded(memory.saved[saved])
    assert (state.began is None) == (saved < 2)
    assert len(state.dynamics) == (saved == 1)
    resumed = training(whole(), Memory(state), dynamics=searching(window=2, near=1.0)).run()
    assert same(resumed.weights, done.weights)
    assert resumed.mask == done.mask
    assert same(resumed.began.masked(resumed.began.start), done.began.masked(done.began.start))
    assert replace(resumed.progress, seconds=0) == replace(done.progress, seconds=0)


def test_a_run_keeps_the_start_of_the_ticket_and_tells_of_the_search(tmp_path: Path) -> None:
    _, recorder = run_here(tmp_path, "pruner=early_bird", "schedule.rate=0.4")
    run = folder(tmp_path, "early_bird")
    assert [text for text in recorder.notices if "has not settled" in text] == [
        f"{run.name} round {n} of seed 0: the ranking of the channels has not settled: "
        "the ticket is the one of the last epoch"
        for n in (1, 2)
    ]
    for n, target in ((1, 0.4), (2, 0.64)):
        cell = Cell(run, 0, n)
        _, ticket = ticketsearch.load(run, 0, n)
        assert 0 <= ticket.mask.kept - round((1 - target) * ticket.mask.total) < 700
        assert cell.manifest["start"] == {"artefact": "start.safetensors"}
        assert cell.start().mask == ticket.mask
        assert cell.manifest["kept"] == ticket.mask.kept
    found = rows(tmp_path)
    told = found[(found.metric == "search_steps") & (found.pruner == "early_bird")]
    assert told.value.tolist() == [1.0, 1.0]
    _, recorder = run_here(tmp_path, "pruner=early_bird", "schedule.rate=0.4")
    assert recorder.epochs == []
