"""edge-popup: the mask of each step by a full sort, the gradient by hand, and learning as a plain loop."""

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
from ticketsearch.pruners.edge_popup import EdgePopup, Popup
from ticketsearch.pruners.scopes import Global, Layerwise
from ticketsearch.pruners.view import View
from ticketsearch.ticket import Ticket


def first(at: View, seed: int = 0) -> dict[str, Tensor]:
    """The scores that a search begins with: those that the ticket of a search without a single step is ranked by."""
    found: list[dict[str, Tensor]] = []

    def look(module: Popup, *_: object) -> int:
        found.append({name: score.clone() for name, score in module.learned().items()})
        return 0

    EdgePopup().draw(at, at.mask.kept // 2, replace(context(at, seed), train=look))
    return found[0]


def largest(scores: dict[str, Tensor], alive: dict[str, Tensor], shares: dict[str, int]) -> dict[str, Tensor]:
    """Of each layer as many of the living as it may keep, those of the largest |score|: by a stable sort."""
    chosen = {}
    for name, score in scores.items():
        size = np.where(alive[name].numpy(), np.abs(score.detach().numpy()), -np.inf).ravel()
        mask = torch.zeros(size.size, dtype=torch.bool)
        mask[np.argsort(-size, kind="stable")[: shares[name]].copy()] = True
        chosen[name] = mask.view(score.shape)
    return chosen


# Scores.


def test_scores_begin_uniform_within_one_over_the_root_of_the_fan_in() -> None:
    """Kolmogorov and Smirnov: the distance of a true one is above 2 / sqrt(n) once in 1500 times."""
    at = view()
    for name, score in first(at).items():
        bound = 1 / math.sqrt(at.layers[name].fan_in)
        places = np.sort(score.double().numpy().ravel()) / bound / 2 + 0.5
        assert places[0] >= 0
        assert places[-1] <= 1
        grid = np.arange(len(places) + 1) / len(places)
        assert max(np.abs(places - grid[1:]).max(), np.abs(places - grid[:-1]).max()) < 2 / math.sqrt(len(places))


def test_scores_begin_the_same_in_each_round_and_otherwise_with_each_seed_and_layer() -> None:
    at, within = view(), view(mask=half(network()))
    assert same(first(at), first(within))
    assert not any(torch.equal(a, b) for a, b in zip(first(at).values(), first(at, 1).values(), strict=True))
    twins = [score for score in first(at).values() if score.shape == (16, 16, 3, 3)] or [*first(at).values()]
    assert len({score.numpy().tobytes() for score in twins}) == len(twins)


class Watching(Popup):
    """Notes the scores and the masks of each pass."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[dict[str, Tensor], list[Tensor]]] = []

    def masks(self) -> list[Tensor]:
        drawn = super().masks()
        self.seen.append(({n: s.clone() for n, s in self.learned().items()}, [mask.detach() for mask in drawn]))
        return drawn


@pytest.mark.parametrize("share", [0.8, 0.2, 0.002])
@pytest.mark.parametrize("within", ["everything", "half"])
def test_in_every_step_the_largest_scores_of_each_layer_are_the_mask(share: float, within: str) -> None:
    at = view(mask=half(network()) if within == "half" else None)
    shares = Layerwise()(at, round(share * at.mask.kept))
    assert (share < 0.01) == (0 in shares.values())  # then nothing reaches the scores
    ctx = context(at)
    search = Watching(at, ctx.rewound, first(at), shares)
    ctx.fit(search, quick(lr=30.0), 1.0)
    assert len(search.seen) >= RECIPE.epochs * PER_EPOCH
    masks = []
    for scores, drawn in search.seen:
        wanted = largest(scores, at.mask, shares)
        masks.append(torch.cat([mask.flatten() for mask in wanted.values()]))
        assert torch.equal(torch.cat([mask.flatten() for mask in drawn]).round().bool(), masks[-1])
    assert any(not torch.equal(masks[0], mask) for mask in masks) == (share > 0.01)


def test_a_mask_is_zeros_and_ones_to_the_last_bit() -> None:
    at = view(mask=half(network()))
    search = Popup(at, at.weights, first(at), Layerwise()(at, at.mask.kept // 2))
    assert torch.cat([mask.detach().flatten() for mask in search.masks()]).unique().tolist() == [0.0, 1.0]


def test_no_more_are_kept_where_scores_are_equal() -> None:
    at = view()
    shares = Layerwise()(at, at.mask.kept // 2)
    scores = {name: score.sign() * 0.25 for name, score in first(at).items()}
    search = Popup(at, at.weights, scores, shares)
    assert [int(mask.detach().round().sum()) for mask in search.masks()] == list(shares.values())


# Learning.


def test_the_gradient_reaches_scores_outside_the_mask() -> None:
    """By hand: dL/dW = (softmax - truth)' x / B at the masked W; times W, times the sign of the score."""
    at = view(Single(), prunable="all")
    scores = {name: score.double() for name, score in first(at).items()}
    search = Popup(at, at.weights, scores, {"fc.weight": 200})
    pixels, labels = DATASET.load().train.images[:20].double() / 255, DATASET.load().train.labels[:20]
    F.cross_entropy(search(pixels), labels).backward()
    mask = largest(scores, at.mask, {"fc.weight": 200})["fc.weight"].numpy()
    x, w = pixels.flatten(1).numpy(), at.weights["fc.weight"].numpy()
    logits = x @ (w * mask).T
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = w * ((softmax - np.eye(10)[labels]).T @ x / 20) * np.sign(scores["fc.weight"].numpy())
    np.testing.assert_allclose(search.scores[0].grad.numpy(), wanted, rtol=1e-9, atol=1e-15)
    assert np.count_nonzero(search.scores[0].grad.numpy()[~mask]) > 200
    assert search.network.fc.weight.grad is None


def test_learning_is_the_plain_loop() -> None:
    """With the weight decay of the recipe, as in the authors' code."""
    model = network(dtype=torch.float64)
    at = view(model, half(model))
    shares, recipe, ctx = Layerwise()(at, at.mask.kept // 3), quick(lr=1.0), context(at)
    begun = {name: score.double() for name, score in first(at).items()}
    search = Popup(at, ctx.rewound, {name: score.clone() for name, score in begun.items()}, shares)
    ctx.fit(search, recipe, 1.0)

    def look(step: int, scores: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return largest(scores, at.mask, shares), {n: torch.where(at.mask[n], s.sign(), 0) for n, s in scores.items()}

    wanted, state = plain(at, begun, look, recipe, RECIPE.epochs * PER_EPOCH), search.state_dict()
    for name, score in search.learned().items():
        assert float((score - begun[name]).abs().max()) > 0.01
        torch.testing.assert_close(score, wanted[name], rtol=1e-9, atol=1e-12)
    for name in [n for n in state if n.startswith("network.") and n in wanted]:
        torch.testing.assert_close(state[name], wanted[name], rtol=1e-9, atol=1e-12)
    for name, frozen in ((n, t) for n, t in at.weights.items() if not n.endswith(STATISTICS)):
        assert torch.equal(state[f"network.{name}"], frozen), name


@pytest.mark.parametrize("share", [1 / 3, 1.0])
def test_the_ticket_keeps_the_largest_of_what_was_learned_and_the_weights_as_they_are(share: float) -> None:
    at = view(mask=half(network()))
    keep, ctx, before = round(share * at.mask.kept), context(at), weights_of(at.model)
    drawn = EdgePopup(search=1.0, lr=1.0).draw(at, keep, ctx)
    shares = Layerwise()(at, keep)
    search = Popup(at, ctx.rewound, first(at), shares)
    ctx.fit(search, quick(lr=1.0), 1.0)
    wanted = largest(search.learned(), at.mask, shares)
    assert all(torch.equal(drawn.mask[name], mask) for name, mask in wanted.items())
    assert drawn.mask.kept == keep
    assert all(torch.equal(drawn.start[name], before[name]) for name in at.mask)
    assert same(others(drawn.start, at.mask), others(before, at.mask))
    assert same(weights_of(at.model), before)


def test_a_scope_that_does_not_say_how_many_each_layer_keeps_is_refused() -> None:
    at = view()
    with pytest.raises(ValueError, match="its scope must say how many"):
        EdgePopup(scope=Global()).draw(at, 100, context(at))


# Whole searches.


def test_a_run_stores_the_frozen_weights_as_they_were(tmp_path: Path) -> None:
    run_here(tmp_path, "pruner=edge_popup", "pruner.search=1", "schedule.rounds=1")
    ticket = Cell(folder(tmp_path, "edge_popup"), 0, 1).ticket()
    initial = compose(["model.depth=8", "model.width=4"]).model.initial(Digits(), 0).state_dict()
    began = Ticket(ticket.mask, initial).masked(initial)
    assert same({n: ticket.start[n] for n in ticket.mask}, {n: began[n] for n in ticket.mask})
    assert same(others(ticket.start, ticket.mask), others(initial, ticket.mask))
    found = rows(tmp_path)
    told = found[(found["round"] == 1) & (found.metric == "layer_density")].value
    assert told.max() - told.min() < 1 / 36  # the smallest layer has 36 weights: equal shares, but for a rounding
    cost = found[(found["round"] == 1) & (found.family == "cost")].set_index(["metric", "variant"]).value
    assert cost["draw_images", "backward"] == 2 * 100  # two epochs of a hundred images
    assert cost["draw_images", ""] == 2 * 100 + 100  # and once more for the statistics


def test_a_learned_mask_of_random_weights_beats_a_random_one() -> None:
    """By far more than 397 images leave to chance: five standard errors of the difference of two shares."""
    dataset = Digits(subset=600)
    model, data = compose(["model.depth=8", "model.width=8"]).model.initial(dataset, 0), dataset.load()
    at = view(model)
    ctx, mask = context(at, data=data, recipe=quick(epochs=4)), half(model)
    learned = EdgePopup().draw(at, mask.kept, ctx)
    by_chance = Ticket(mask, ctx.with_statistics(model, Ticket(mask, at.weights).masked(at.weights)))
    assert right(model, learned) - right(model, by_chance) > 5 * math.sqrt(2 * 0.25 / len(data.test))


def test_the_yaml_is_the_class_and_its_budget_is_search_and_training() -> None:
    chosen = compose(["pruner=edge_popup"]).pruner
    assert chosen == EdgePopup()
    assert (chosen.epochs, chosen.budget) == (0, 3)
    assert compose(["pruner=edge_popup", "pruner.search=2", "pruner.epochs=1.5"]).pruner.budget == 3.5
