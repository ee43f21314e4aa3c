"""Annealing: what an exchange does, and the search against every mask of a network that is small enough to try all."""

import math
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.oracle.searches import context, half, view
from tests.tiny import DATASET, network
from tests.unit.masks import bits, shown
from ticketsearch.compose import compose
from ticketsearch.errors import UsageError
from ticketsearch.pruners.anneal import Anneal, exchanged
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask

# An exchange.


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(first: str, second: str) -> Mask:
    return Mask({"a": bits(first), "b": bits(second)})


@given(st.integers(0, 2**12 - 1), st.integers(0, 2**12 - 1), st.integers(0, 15), st.integers(0, 99))
def test_an_exchange_keeps_the_number_and_stays_within(alive: int, kept: int, count: int, seed: int) -> None:
    within, mask = (f"{number:012b}" for number in (alive, alive & kept))
    before, inside = pair(mask[:5], mask[5:]), pair(within[:5], within[5:])
    after = exchanged(before, inside, count, rng(seed))
    assert shown(before) == {"a": mask[:5], "b": mask[5:]}  # masks never change
    assert after.kept == before.kept
    assert after.issubset(inside)
    assert after.hamming(before) == 2 * min(count, before.kept, inside.kept - before.kept)


def test_every_exchange_is_as_likely_as_any_other() -> None:
    """Three kept, two others alive: six exchanges of one weight; their numbers in 6,000 tries, by chi-squared with five
    degrees of freedom, which is above 25.7 once in ten thousand.
    """
    before, inside, chance = pair("1100", "100"), pair("1110", "101"), rng(3)
    found: dict[tuple[str, ...], int] = {}
    for _ in range(6000):
        after = tuple(shown(exchanged(before, inside, 1, chance)).values())
        found[after] = found.get(after, 0) + 1
    assert found.keys() == {(a, b) for a, b in SIX}
    assert sum((number - 1000) ** 2 / 1000 for number in found.values()) < 25.7


SIX = [("0110", "100"), ("0100", "101"), ("1010", "100"), ("1000", "101"), ("1110", "000"), ("1100", "001")]


# The loss.


class Few(nn.Module):
    """Twelve weights that can be pruned: the four quarters of a digit into three units, and those into ten classes."""

    classifier = "out"

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 3), nn.Linear(3, 10)
        chance = rng(1)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=chance) * 2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(F.avg_pool2d(pixels, 4).flatten(1))))


FEW, KEEP, PER_CLASS = view(Few()), 5, 3
ALL = list(combinations(range(12), KEEP))
Places = tuple[int, ...]


def mask_of(places: Places) -> Mask:
    flat = torch.zeros(12, dtype=torch.bool)
    flat[list(places)] = True
    return Mask({"hidden.weight": flat.view(3, 4)})


def places_of(mask: Mask) -> Places:
    return tuple(mask.flat().nonzero().flatten().tolist())


@cache
def losses(seed: int) -> dict[Places, float]:
    """The mean cross-entropy of every mask in float64, on the first images of each class in the seed's order."""
    train, ctx, chosen = DATASET.load().train, context(FEW, seed), list[int]()
    for label in range(10):
        own = (train.labels == label).nonzero().flatten()
        chosen += own[torch.randperm(len(own), generator=ctx.rng(f"scoring/{label}"))[:PER_CLASS]].tolist()
    pixels, truth = train.images[chosen].numpy().astype(float) / 255, train.labels[chosen].numpy()
    quarters = pixels.reshape(-1, 2, 4, 2, 4).mean((2, 4)).reshape(-1, 4)
    w = {name: tensor.double().numpy() for name, tensor in FEW.weights.items()}
    found = {}
    for places in ALL:
        alive = mask_of(places)["hidden.weight"].numpy()
        units = np.maximum(quarters @ (w["hidden.weight"] * alive).T + w["hidden.bias"], 0)
        logits = units @ w["out.weight"].T + w["out.bias"]
        found[places] = float((np.log(np.exp(logits).sum(1)) - logits[np.arange(len(truth)), truth]).mean())
    return found


def test_the_loss_is_that_of_the_masked_network() -> None:
    ctx = context(FEW)
    for places in ALL[::50]:
        assert ctx.loss(FEW, mask_of(places), PER_CLASS) == pytest.approx(losses(0)[places], rel=1e-5)


# The search.


@dataclass(frozen=True)
class Noting(Context):
    """Notes what is tried, in its order."""

    tried: list[Places] = field(default_factory=list)

    def loss(self, at: View, mask: Mask, per_class: int) -> float:
        self.tried.append(places_of(mask))
        return super().loss(at, mask, per_class)


def noting(seed: int) -> Noting:
    return Noting(**{name: value for name, value in vars(context(FEW, seed)).items() if name != "_sets"})


@pytest.mark.parametrize("seed", range(4))
def test_the_best_that_was_seen_is_the_ticket(seed: int) -> None:
    """Also where the search has left it: hot as this, it wanders everywhere."""
    ctx = noting(seed)
    drawn = Anneal(proposals=100, hot=9.0, cold=9.0, per_class=PER_CLASS).draw(FEW, KEEP, ctx)
    seen = [losses(seed)[places] for places in ctx.tried]
    assert len(seen) == 101
    assert losses(seed)[places_of(drawn)] == pytest.approx(min(seen), rel=1e-5)
    assert seen[-1] > min(seen) * 1.01


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_masks_is_found(seed: int) -> None:
    """From magnitudes, which are far from it, through 400 of 792 masks at most."""
    ctx = noting(seed)
    drawn = Anneal(proposals=400, hot=0.5, cold=1e-3, per_class=PER_CLASS).draw(FEW, KEEP, ctx)
    order, first = sorted(losses(seed).values()), FEW.weights["hidden.weight"].abs().flatten().topk(KEEP).indices
    assert ctx.tried[0] == tuple(sorted(first.tolist()))
    assert order.index(losses(seed)[ctx.tried[0]]) > 40
    assert losses(seed)[places_of(drawn)] == pytest.approx(order[0], rel=1e-5)


@pytest.mark.slow
def test_at_one_temperature_masks_are_visited_as_boltzmann_says() -> None:
    """What Metropolis et al. (1953) is for: exchanges are as likely one way as the other, so that masks are visited in
    proportion to exp(-loss / T), and what is tried is an exchange away from that. The mean loss of what is tried,
    against the sum over all masks; its standard error is that of the means of twenty stretches.
    """
    temperature, ctx = 0.3, noting(0)
    Anneal(proposals=6000, swap=0.01, hot=temperature, cold=temperature, per_class=PER_CLASS).draw(FEW, KEEP, ctx)
    loss = np.array(list(losses(0).values()))
    near = np.array([[len(set(a) & set(b)) == KEEP - 1 for b in ALL] for a in ALL]) / (KEEP * (12 - KEEP))
    boltzmann = np.exp(-(loss - loss.min()) / temperature)
    expected = float(boltzmann / boltzmann.sum() @ near @ loss)
    tried = np.array([losses(0)[places] for places in ctx.tried[1:]])
    stretches = tried.reshape(20, -1).mean(1)
    error = stretches.std(ddof=1) / math.sqrt(len(stretches))
    assert abs(tried.mean() - expected) < 4 * error
    assert loss.mean() - expected > 10 * error  # where everything is taken
    greedy = near[loss.argmin()] @ loss
    assert expected - greedy > 10 * error  # where only what falls is taken


def test_fewer_and_fewer_are_exchanged() -> None:
    """Among the tickets tried one after the other: from a tenth of what is kept to a single one."""
    at, steps = view(), list[Mask]()

    @dataclass(frozen=True)
    class Falling(Context):
        def loss(self, at: View, mask: Mask, per_class: int) -> float:
            steps.append(mask)
            return -float(len(steps))  # each is taken

    fields = {name: value for name, value in vars(context(at)).items() if name != "_sets"}
    Anneal(proposals=40, swap=0.1, hot=1.0, cold=1e-3).draw(at, 1000, Falling(**fields))
    exchanged_now = [a.hamming(b) // 2 for a, b in pairwise(steps)]
    assert exchanged_now == [math.ceil(100 * 1e-3 ** (n / 40)) for n in range(40)]
    assert (exchanged_now[0], exchanged_now[-1]) == (100, 1)


def test_within_a_mask_only_its_weights_are_exchanged() -> None:
    model = network()
    at = view(model, half(model))
    drawn = Anneal(proposals=30, swap=0.5, hot=9.0, cold=9.0).draw(at, at.mask.kept // 2, context(at))
    assert drawn.issubset(at.mask)
    assert drawn.kept == at.mask.kept // 2
    assert Anneal(proposals=5).draw(at, at.mask.kept, context(at)) == at.mask  # there is nothing to exchange


def test_what_heats_up_is_refused() -> None:
    with pytest.raises(ValueError, match="annealing cools"):
        Anneal(hot=1e-3, cold=1e-2)
    with pytest.raises(UsageError, match="annealing cools"):
        compose(["pruner=anneal", "pruner.cold=1"])
    assert compose(["pruner=anneal", "pruner.cold=0.01"]).pruner == Anneal(cold=0.01)
