"""Pruning in steps: how many weights each leaves, which may return, and the published loops written plainly."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.three import context, network, pruner, view
from tests.tiny import RECIPE, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.pruners.iterative import Iterative
from ticketsearch.pruners.saliency import Snip
from ticketsearch.pruners.scopes import Layerwise
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask, Scores, keep_top, prunable_layers


@dataclass(frozen=True)
class Told(Score):
    """Notes the masks that it is asked about, and answers with the next of its lists, or else with magnitudes."""

    answers: Sequence[Sequence[float]] = ()
    asked: list[Mask] = field(default_factory=list)
    held: list[object] = field(default_factory=list)

    def __call__(self, at: View, ctx: Context) -> Scores:
        self.asked.append(at.mask)
        self.held.append(at.rest)
        if not self.answers:
            return Magnitude()(at, ctx)
        return {name: torch.tensor(self.answers[len(self.asked) - 1]) for name in at.mask}


def flat(alive: int) -> View:
    """One layer with the weights 1, 2, 3, ..."""
    return View(nn.Identity(), {"a": torch.arange(1.0, alive + 1)}, Mask({"a": torch.ones(alive) > 0}), None, {})


def counts(alive: int, keep: int, steps: int, **fields: object) -> list[int]:
    """How many weights are left after each step, as the scores see them, and at the end."""
    told = Told()
    mask = Iterative(told, steps=steps, **fields).draw(flat(alive), keep, None)  # type: ignore[arg-type]
    assert [float(value) for value in mask["a"]] == [0.0] * (alive - keep) + [1.0] * keep
    assert told.asked[0].kept == alive
    return [*(asked.kept for asked in told.asked[1:]), mask.kept]


# How many.


def test_exponential_and_linear_counts_by_hand() -> None:
    assert counts(1000, 1, 3) == [100, 10, 1]
    assert counts(81, 16, 4) == [54, 36, 24, 16]
    assert counts(100, 20, 4, towards="linear") == [80, 60, 40, 20]
    assert counts(10, 3, 2, towards="linear") == [6, 3], "6.5 is rounded to the even one"


@pytest.mark.parametrize(("alive", "keep", "steps"), [(4752, 48, 100), (4752, 5, 60), (997, 499, 7), (300, 299, 100)])
def test_step_e_of_n_leaves_the_density_to_the_power_of_e_over_n(alive: int, keep: int, steps: int) -> None:
    """In integers: count / alive lies nearer to s^(e / n) than half a weight, both sides to the power of n."""
    found = counts(alive, keep, steps)
    assert len(found) == steps
    for step, count in enumerate(found, start=1):
        power = Fraction(keep, alive) ** step * Fraction(alive) ** steps
        assert (count - Fraction(1, 2)) ** steps <= power <= (count + Fraction(1, 2)) ** steps


@pytest.mark.parametrize("towards", ["exponential", "linear"])
@pytest.mark.parametrize(("alive", "keep"), [(5, 4), (5, 5), (5, 1), (5, 0), (1, 1), (2, 1)])
def test_the_last_count_is_exact_where_those_before_collide(alive: int, keep: int, towards: str) -> None:
    found = counts(alive, keep, 100, towards=towards)
    assert found[-1] == keep
    assert all(alive >= one >= other >= keep for one, other in pairwise(found))


def test_one_step_is_one_shot() -> None:
    at = view(pruner("snip"))
    ctx = context(at)
    for recover in (False, True):
        chosen = Iterative(Snip(), steps=1, recover=recover)
        assert chosen.draw(at, 200, ctx) == keep_top(Snip()(at, ctx), at.mask, 200)


def test_the_published_numbers_of_steps() -> None:
    assert [pruner(name).steps for name in ("synflow", "iter_snip", "force")] == [100, 60, 60]  # type: ignore[attr-defined]


# Which.


def test_what_is_removed_is_gone_unless_it_may_recover() -> None:
    """Four weights, then two, then one: the second answer prefers what the first has removed."""
    answers = [[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 9.0, 0.0]]
    at = flat(4)
    gone = Iterative(Told(answers), steps=2).draw(at, 1, None)  # type: ignore[arg-type]
    back = Iterative(Told(answers), steps=2, recover=True).draw(at, 1, None)  # type: ignore[arg-type]
    assert (gone["a"].tolist(), back["a"].tolist()) == ([False, True, False, False], [False, False, True, False])


def test_nothing_recovers_that_is_dead_in_the_view() -> None:
    at = replace(flat(4), mask=Mask({"a": torch.tensor([True, True, False, True])}))
    answers = [[4.0, 3.0, 9.0, 1.0], [1.0, 2.0, 9.0, 0.0]]
    assert Iterative(Told(answers), steps=2, recover=True).draw(at, 1, None)["a"].tolist() == [
        False,
        True,
        False,
        False,
    ]  # type: ignore[arg-type]


@dataclass(frozen=True)
class Noting(Snip):
    """SNIP that notes the masks that it is asked about."""

    asked: list[Mask] = field(default_factory=list)

    def __call__(self, at: View, ctx: Context) -> Scores:
        self.asked.append(at.mask)
        return super().__call__(at, ctx)


@pytest.mark.parametrize("recover", [False, True])
def test_masks_are_nested_from_step_to_step_unless_weights_recover(recover: bool) -> None:
    at, score = view(pruner("force")), Noting()
    last = Iterative(score, steps=12, recover=recover).draw(at, 100, context(at))
    masks = [*score.asked, last]
    assert all(other.issubset(one) for one, other in pairwise(masks)) != recover
    assert all(mask.issubset(at.mask) for mask in masks)


def test_counts_are_spread_by_the_scope_in_each_step() -> None:
    at = view(pruner("snip"))
    for recover in (False, True):
        mask = Iterative(Snip(), scope=Layerwise(), steps=5, recover=recover).draw(at, 300, context(at))
        shares = {name: mask.layer_kept[name] / count for name, count in at.mask.layer_kept.items()}
        assert mask.kept == 300
        assert max(shares.values()) - min(shares.values()) < 0.02


def test_every_step_sees_what_pruned_weights_hold() -> None:
    at = replace(flat(8), rest={"a": torch.full((8,), 0.5)})
    told = Told()
    Iterative(told, steps=3).draw(at, 2, None)  # type: ignore[arg-type]
    assert told.held == [at.rest] * 3


# FORCE, by hand and as its loop is published.


class Sum(nn.Module):
    """One output of two pixels, w1 x1 + w2 x2, and 0 beside it."""

    classifier = "fc"

    def __init__(self) -> None:
        super().__init__()
        self.one, self.fc = nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False)
        self.one.weight.data, self.fc.weight.data = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0], [0.0]])

    def forward(self, pixels: Tensor) -> Tensor:
        return self.fc(self.one(pixels.flatten(1)))


def test_a_dead_weight_has_its_own_value_times_the_gradient_of_the_network_without_it() -> None:
    """One image (1, 1) of class 0: L = softplus(-z), dL/dz = sigmoid(z) - 1, z = 1 where w1 is dead."""
    model = Sum()
    layers = prunable_layers(model)
    train = Split(torch.full((1, 1, 1, 2), 255, dtype=torch.uint8), torch.tensor([0]))
    at = View(model.eval(), weights_of(model), Mask({"one.weight": torch.tensor([[False, True]])}), None, layers)
    ctx = Context(
        0, at.weights, lambda _: at.weights, at.weights, Data(train, train[:0], train[:0]), RECIPE, lambda *_: 0
    )
    slope = 1 - 1 / (1 + math.exp(-1))
    assert Snip()(at, ctx)["one.weight"].tolist() == [[pytest.approx(3 * slope), pytest.approx(1 * slope)]]
    held = replace(at, rest={"one.weight": torch.tensor([[-2.0, 0.0]])})
    slope = 1 - 1 / (1 + math.exp(1))
    assert Snip()(held, ctx)["one.weight"].tolist() == [[pytest.approx(3 * slope), pytest.approx(1 * slope)]]


def published(model: nn.Module, pixels: Tensor, labels: Tensor, kept: Sequence[int], recover: bool) -> Tensor:
    """The loop as de Jorge et al. write it: zero what is pruned in a copy, |w0 g| or |w g|, a full sort, the best."""
    names = list(prunable_layers(model))
    start = torch.cat([dict(model.named_parameters())[n].detach().double().flatten() for n in names])
    alive = torch.ones_like(start, dtype=torch.bool)
    for count in kept:
        twin = deepcopy(model).double().eval()
        own = dict(twin.named_parameters())
        sizes = [own[n].numel() for n in names]
        with torch.no_grad():
            for n, part in zip(names, (start * alive).split(sizes), strict=True):
                own[n].copy_(part.view_as(own[n]))
        F.cross_entropy(twin(pixels.double()), labels).backward()
        score = (start * torch.cat([own[n].grad.flatten() for n in names])).abs()
        score = score if recover else score.masked_fill(~alive, -1)
        best = score.argsort(descending=True, stable=True)[:count]
        alive = torch.zeros_like(alive).index_fill(0, best, True)
    return alive


@pytest.mark.parametrize("recover", [False, True])
def test_iter_snip_and_force_are_their_published_loops(recover: bool) -> None:
    model = network()
    layers = prunable_layers(model)
    at = View(model.eval(), weights_of(model), Mask.ones(layers), None, layers)
    ctx = context(at)
    ((pixels, labels),) = ctx.batches(10)
    total = at.mask.total
    kept = [round(total * (237 / total) ** (step / 15)) for step in range(1, 16)]
    chosen = Iterative(Snip(precision="float64"), steps=15, recover=recover)
    assert torch.equal(chosen.draw(at, 237, ctx).flat(), published(model, pixels, labels, kept, recover))


def test_force_and_iter_snip_differ() -> None:
    at = view(pruner("force"))
    force, gone = pruner("force"), pruner("iter_snip")
    assert isinstance(force, Iterative)
    assert force.recover
    assert replace(force, recover=False) == gone
    assert force.draw(at, 150, context(at)) != gone.draw(at, 150, context(at))
