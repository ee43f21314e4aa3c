"""Supermasks: the probabilities, the masks drawn by them and their gradient by hand, and learning as a plain loop."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import folder, rows, run_here
from torch import Tensor

from tests.oracle.searches import STATISTICS, Single, context, half, others, plain, quick, right, view
from tests.tiny import DATASET, PER_EPOCH, RECIPE, network, same, weights_of
from ticketsearch.cell import Cell
from ticketsearch.compose import compose
from ticketsearch.data.digits import Digits
from ticketsearch.errors import RunFailed
from ticketsearch.pruners.supermask import Bernoulli, Supermask
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Ticket


class Watching(Bernoulli):
    """Notes of each pass the mask, what the probabilities were, and the shift."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[Tensor, Tensor, float]] = []

    def masks(self) -> list[Tensor]:
        logits, drawn = torch.cat([score.detach().flatten() for score in self.scores]), super().masks()
        living = torch.cat([alive.flatten() for alive in self.alive])
        probabilities = torch.sigmoid(logits.double() + self.shift.double()) * living
        mask = torch.cat([mask.detach().flatten() for mask in drawn])
        self.seen.append((mask, probabilities, float(self.shift)))
        return drawn


def watched(at: View, keep: int, ctx: Context) -> Watching:
    return Watching(at, ctx.rewound, keep, ctx)


def scattered(network: Bernoulli, seed: int = 1) -> None:
    """Scores from everywhere."""
    rng = torch.Generator().manual_seed(seed)
    for score in network.scores:
        score.data.copy_(torch.randn(score.shape, generator=rng) * 2)


def solved(logits: np.ndarray, living: np.ndarray, keep: int) -> np.ndarray:
    """The probabilities sigmoid(logit + shift) of the living that sum to `keep`, by bisection."""
    low, high = -200.0 - np.abs(logits).max(), 200.0 + np.abs(logits).max()
    for _ in range(200):
        shift = (low + high) / 2
        with np.errstate(over="ignore"):
            found = living / (1 + np.exp(-(logits + shift)))
        low, high = (shift, high) if found.sum() < keep else (low, shift)
    return found


# Probabilities.


@pytest.mark.parametrize(("lr", "share"), [(100, 0.8), (100, 0.2), (100, 0.01), (100, 0.05)])
@pytest.mark.parametrize("within", ["everything", "half"])
def test_the_probabilities_sum_to_the_count_in_every_step(lr: float, share: float, within: str) -> None:
    """As far as float32 can say it. Each probability is off by a rounding of its logit and of itself; the sum, in
    whichever order, by a rounding of each of its log2(n) levels.
    """
    at = view(mask=half(network()) if within == "half" else None)
    keep = round(share * at.mask.kept)
    ctx = context(at)
    search = watched(at, keep, ctx)
    ctx.fit(search, quick(lr=lr, weight_decay=0.0), 2.0)
    assert len(search.seen) >= 2 * RECIPE.epochs * PER_EPOCH
    largest = max(float(score.abs().max()) for score in search.learned().values())
    assert largest > 1  # they have gone far from where they began
    largest += max(abs(shift) for _, _, shift in search.seen)
    for _, probabilities, _ in search.seen:
        rounding = torch.finfo(torch.float32).eps
        sway = float((probabilities * (1 - probabilities)).sum()) * largest
        assert abs(float(probabilities.sum()) - keep) <= rounding * (sway + keep * math.log2(len(probabilities)))


def test_masks_are_drawn_with_these_probabilities() -> None:
    """The frequencies of 400 draws, each in units of its own binomial standard error."""
    at = view(mask=half(network()))
    keep, draws = at.mask.kept // 3, 400
    ctx = context(at)
    search = watched(at, keep, ctx)
    scattered(search)
    with torch.no_grad():
        masks = torch.stack([torch.cat([m.flatten() for m in search.train().masks()]) for _ in range(draws)]).round()
    logits = torch.cat([score.detach().flatten() for score in search.scores]).double().numpy()
    p = solved(logits, at.mask.flat().numpy(), keep)
    assert not masks[:, ~at.mask.flat()].any()
    inside = (p > 0.02) & (p < 0.98)  # at least 8 of each kind are expected
    z = (masks.mean(0).double().numpy() - p)[inside] / np.sqrt(p * (1 - p) / draws)[inside]
    assert len(z) > 1000
    assert np.abs(z).max() < 6
    assert abs(np.square(z).mean() - 1) < 5 * np.sqrt(2 / len(z))
    assert abs(float(masks.sum(1).mean()) - keep) < 5 * math.sqrt((p * (1 - p)).sum() / draws)
    pairs = torch.corrcoef(masks[:, torch.from_numpy(inside)][:, :50].T).numpy()  # one weight knows nothing of another
    assert np.abs(pairs[np.triu_indices(50, 1)]).max() < 6 / math.sqrt(draws)


def test_each_step_draws_another_mask_and_each_seed_others() -> None:
    at = view()
    drawn = []
    for seed in (0, 0, 1):
        search = watched(at, at.mask.kept // 2, context(at, seed))
        with torch.no_grad():
            drawn.append([torch.cat([m.flatten() for m in search.train().masks()]) for _ in range(2)])
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0][0], drawn[2][0])


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_is_zeros_and_ones_to_the_last_bit(training: bool) -> None:
    at = view()
    search = Bernoulli(at, at.weights, at.mask.kept // 2, context(at)).train(training)
    scattered(search)
    found = torch.cat([mask.detach().flatten() for mask in search.masks()])
    assert sorted(found.unique().tolist()) == [0.0, 1.0]


def test_in_evaluation_the_mask_is_always_the_same_one_that_was_drawn() -> None:
    """As large as one that is drawn for a step, and another; a look at it moves nothing."""
    at = view(mask=half(network()))
    keep = at.mask.kept // 3
    search = Bernoulli(at, at.weights, keep, context(at)).eval()
    scattered(search)
    first, second = (torch.cat([m.detach().flatten() for m in search.masks()]) for _ in range(2))
    step = torch.cat([m.detach().flatten() for m in search.train().masks()])
    assert torch.equal(first, second)
    assert not torch.equal(first, step)
    assert not first[~at.mask.flat()].any()
    assert abs(float(first.sum()) - keep) < 5 * math.sqrt(keep)
    assert int(search.draws) == 1


# Learning.


def test_the_gradient_passes_the_mask_straight_through() -> None:
    """By hand: dL/dW = (softmax - truth)' x / B at the masked W; times W, times p (1 - p)."""
    at = view(Single(), prunable="all")
    search = watched(at, 200, context(at)).double().train()
    scattered(search)
    pixels, labels = DATASET.load().train.images[:20].double() / 255, DATASET.load().train.labels[:20]
    F.cross_entropy(search(pixels), labels).backward()
    drawn = search.seen[0][0].round().view(10, 64).numpy()
    x, w = pixels.flatten(1).numpy(), at.weights["fc.weight"].numpy()
    logits = x @ (w * drawn).T
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = solved(search.scores[0].detach().numpy(), np.ones((10, 64)), 200)
    wanted = w * ((softmax - np.eye(10)[labels]).T @ x / 20) * p * (1 - p)
    np.testing.assert_allclose(search.scores[0].grad.numpy(), wanted, rtol=1e-9, atol=1e-15)
    outside = search.scores[0].grad.numpy()[drawn == 0]
    assert np.count_nonzero(outside) > 200  # weights outside the mask learn as well
    assert search.network.fc.weight.grad is None


def test_learning_is_the_plain_loop() -> None:
    model = network(dtype=torch.float64)
    at = view(model, half(model))
    keep, recipe, ctx = at.mask.kept // 3, quick(lr=20.0, weight_decay=0.0), context(at)
    search = Bernoulli(at, ctx.rewound, keep, ctx).double()
    ctx.fit(search, recipe, 1.0)

    def look(step: int, scores: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        living = at.mask.flat()
        p = torch.from_numpy(solved(torch.cat([s.flatten() for s in scores.values()]).numpy(), living.numpy(), keep))
        drawn = torch.rand(len(p), generator=ctx.rng(f"supermask/{step}")) < p
        parts = [t.split([s.numel() for s in scores.values()]) for t in (drawn, p * (1 - p))]
        mask, slope = ({n: t.view(at.mask[n].shape) for n, t in zip(scores, part, strict=True)} for part in parts)
        return mask, slope

    first = {name: torch.zeros(layer.shape, dtype=torch.float64) for name, layer in at.layers.items()}
    wanted, state = plain(at, first, look, recipe, RECIPE.epochs * PER_EPOCH), search.state_dict()
    assert max(float(score.abs().max()) for score in search.learned().values()) > 1
    for name, score in search.learned().items():
        torch.testing.assert_close(score, wanted[name], rtol=1e-9, atol=1e-12)
    for name in [n for n in state if n.startswith("network.") and n in wanted]:
        torch.testing.assert_close(state[name], wanted[name], rtol=1e-9, atol=1e-12)
    for name, frozen in ((n, t) for n, t in at.weights.items() if not n.endswith(STATISTICS)):
        assert torch.equal(state[f"network.{name}"], frozen), name


@pytest.mark.parametrize("share", [1 / 3, 1.0])
def test_the_ticket_keeps_the_highest_of_what_was_learned_and_the_weights_as_they_are(share: float) -> None:
    at = view(mask=half(network()))
    keep, ctx = round(share * at.mask.kept), context(at)
    before = weights_of(at.model)
    drawn = Supermask(search=1.0).draw(at, keep, ctx)
    search = Bernoulli(at, ctx.rewound, keep, ctx)
    ctx.fit(search, replace(RECIPE, lr=100.0, weight_decay=0.0), 1.0)
    scores, alive = (np.concatenate([t.numpy().ravel() for t in d.values()]) for d in (search.learned(), at.mask))
    order = sorted(np.flatnonzero(alive), key=lambda i: (-scores[i], i))[:keep]
    assert sorted(order) == np.flatnonzero(drawn.mask.flat().numpy()).tolist()
    for name in at.mask:
        assert torch.equal(drawn.start[name], before[name]), name
    assert same(others(drawn.start, at.mask), others(before, at.mask))
    assert same(weights_of(at.model), before)


def test_where_all_are_equal_the_earlier_ones_are_kept() -> None:
    """A search too short for a single step."""
    at = view(mask=half(network()))
    drawn = Supermask(search=0.01).draw(at, 100, context(at))
    assert drawn.mask.flat().nonzero().flatten().tolist() == at.mask.flat().nonzero().flatten().tolist()[:100]


# Whole searches.


def test_a_run_stores_the_frozen_weights_as_they_were(tmp_path: Path) -> None:
    run_here(tmp_path, "pruner=supermask", "pruner.search=1", "schedule.rounds=1")
    cell = Cell(folder(tmp_path, "supermask"), 0, 1)
    ticket, dense = cell.ticket(), Cell(folder(tmp_path, "dense"), 0, 0)
    initial = compose(["model.depth=8", "model.width=4"]).model.initial(Digits(), 0).state_dict()
    began = Ticket(ticket.mask, initial).masked(initial)
    assert same({n: ticket.start[n] for n in ticket.mask}, {n: began[n] for n in ticket.mask})
    assert same(others(ticket.start, ticket.mask), others(initial, ticket.mask))
    assert same(ticket.start, cell.start().start)
    assert not same(ticket.start, dense.ticket().start)
    assert any(not torch.equal(ticket.start[n], initial[n]) for n in initial if n.endswith("running_var"))
    assert ticket.mask.kept == round(0.8 * ticket.mask.total) == cell.manifest["kept"]
    found = rows(tmp_path)
    found = found[(found["round"] == 1) & (found.family == "training")].set_index(["metric", "variant"]).value
    assert found.to_dict() == {("steps", ""): 0, ("trajectory_length", ""): 0, ("trajectory_length", "net"): 0}


def test_a_learned_mask_of_random_weights_beats_a_random_one() -> None:
    """By far more than 397 images leave to chance: five standard errors of the difference of two shares."""
    dataset = Digits(subset=600)
    model, data = compose(["model.depth=8", "model.width=8"]).model.initial(dataset, 0), dataset.load()
    at = view(model)
    keep, ctx = at.mask.kept // 2, context(at, data=data, recipe=quick(epochs=4))
    learned = Supermask().draw(at, keep, ctx)
    mask = half(model)
    assert mask.kept == keep
    by_chance = Ticket(mask, ctx.with_statistics(model, Ticket(mask, at.weights).masked(at.weights)))
    assert right(model, learned) - right(model, by_chance) > 5 * math.sqrt(2 * 0.25 / len(data.test))


def test_the_yaml_is_the_class_and_its_budget_is_search_and_training() -> None:
    chosen = compose(["pruner=supermask"]).pruner
    assert chosen == Supermask()
    assert (chosen.epochs, chosen.budget) == (0, 3)
    assert compose(["pruner=supermask", "pruner.search=2", "pruner.epochs=1.5"]).pruner.budget == 3.5


def test_the_search_is_sgd_whatever_the_recipe_of_the_tickets() -> None:
    """At Adam's steps of about the learning rate, 100, nothing would be learned."""
    at, seen = view(), []
    ctx = context(at)
    spy = replace(ctx, recipe=replace(ctx.recipe, optimiser="adam"), train=lambda *job: seen.append(job) or 1)
    Supermask().draw(at, at.mask.kept // 2, spy)
    ((_, recipe, _),) = seen
    assert (recipe.optimiser, recipe.momentum, recipe.lr, recipe.weight_decay) == ("sgd", 0.9, 100.0, 0.0)


def test_a_search_of_no_update_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="less than one update"):
        run_here(tmp_path, "pruner=supermask", "pruner.search=0.001", "schedule.rounds=1")
