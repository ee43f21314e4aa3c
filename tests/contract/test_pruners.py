"""What every pruner in `conf/pruner` must do, on a view written down here."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import DATASET, network, same, weights_of
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.files import decode_ticket, encode_ticket
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.view import Context, Twin, View
from ticketsearch.schedule import Geometric
from ticketsearch.ticket import Mask, Ticket, keep_top, prunable_layers

PRUNERS = OWN.choices("pruner")
SCHEDULE = Geometric(rounds=4, rate=0.4)
WITHIN = (Source.PREVIOUS, Source.TWIN)
"""Those that look at a trained ticket."""
every_pruner = pytest.mark.parametrize("name", PRUNERS)


@dataclass(frozen=True)
class Recording(Context):
    """A context that notes what randomness was asked for."""

    asked: list[str] = field(default_factory=list)

    def rng(self, purpose: str) -> torch.Generator:
        self.asked.append(purpose)
        return super().rng(purpose)


def pruner(name: str) -> Pruner:
    return compose([f"pruner={name}"]).pruner


def context(seed: int = 0, at: View | None = None) -> Recording:
    """What a draw may use; the twin, for those that have one, is magnitude pruning that has drawn what `at` shows."""
    seen = at or view(Source.TWIN)
    lth = pruner("lth")
    twin = Twin(lth.score, lth.scope, lambda: Ticket(seen.mask, weights_of(network(seed))), lambda: view(Source.DENSE))
    return Recording(seed, weights_of(network(0)), lambda purpose: weights_of(network(seed + 7)), twin)


def view(source: Source, mask: Mask | None = None, seed: int = 0) -> View:
    """A network within a mask: everything at first, for PREVIOUS and TWIN a random 70 %, of small and large alike."""
    model = network(seed)
    layers = prunable_layers(model)
    if mask is None:
        rng, mask = torch.Generator().manual_seed(1), Mask.ones(layers)
        if source in WITHIN:
            scores = {name: torch.rand(layer.shape, generator=rng) for name, layer in layers.items()}
            mask = keep_top(scores, mask, round(0.7 * mask.total))
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    return View(model.eval(), weights_of(model), mask, None, layers)


def mask_of(drawn: Mask | Ticket) -> Mask:
    return drawn.mask if isinstance(drawn, Ticket) else drawn


def draw(chosen: Pruner, at: View, keep: int, ctx: Context) -> Mask:
    return mask_of(chosen.draw(at, keep, ctx))


def count(chosen: Pruner, n: int, at: View) -> int:
    """How many weights round n keeps, within what is alive in a view: as many as the twin, for those that have one."""
    return at.mask.kept if chosen.source is Source.TWIN else min(SCHEDULE.keep(n, at.mask.total), at.mask.kept)


def last_round(chosen: Pruner) -> tuple[View, int]:
    """A view and the count of the last round that it draws, within what is alive in that view."""
    at = view(chosen.source)
    return at, count(chosen, chosen.rounds(SCHEDULE.last)[-1], at)


@every_pruner
def test_it_composes_with_its_class_and_what_it_draws(name: str) -> None:
    chosen = pruner(name)
    assert isinstance(chosen, Pruner)
    rounds = chosen.rounds(SCHEDULE.last)
    assert len(rounds) >= 1
    assert rounds[-1] <= SCHEDULE.last


def test_an_unknown_pruner_is_refused() -> None:
    with pytest.raises(UsageError, match="lht"):
        compose(["pruner=lht"])


@every_pruner
def test_it_keeps_exactly_what_it_is_told_within_what_is_alive(name: str) -> None:
    chosen = pruner(name)
    for n in chosen.rounds(SCHEDULE.last):
        at = view(chosen.source)
        keep = count(chosen, n, at)
        mask = draw(chosen, at, keep, context())
        assert {layer: tuple(alive.shape) for layer, alive in mask.items()} == {
            layer: facts.shape for layer, facts in at.layers.items()
        }
        assert mask.issubset(at.mask) or chosen.source is Source.TWIN
        if chosen.exact:
            assert mask.kept == keep


@every_pruner
def test_drawing_leaves_the_view_as_it_was(name: str) -> None:
    chosen = pruner(name)
    at, keep = last_round(chosen)
    at.model.blocks[0].train()  # modes may differ between parts of a network
    weights, alive, modes, state = weights_of(at.model), Mask(at.mask), _modes(at.model), torch.get_rng_state()
    given = {layer: tensor.clone() for layer, tensor in at.weights.items()}
    chosen.draw(at, keep, context())
    assert same(weights_of(at.model), weights)
    assert same(at.weights, given)
    assert at.mask == alive
    assert _modes(at.model) == modes
    assert all(p.grad is None and p.requires_grad for p in at.model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def _modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


@every_pruner
def test_the_same_seed_draws_the_same_mask(name: str) -> None:
    chosen = pruner(name)
    at, keep = last_round(chosen)
    masks = []
    for state in (1, 2):
        torch.manual_seed(state)
        masks.append(draw(chosen, at, keep, context()))
    assert masks[0] == masks[1]


@every_pruner
def test_another_seed_draws_another_mask_exactly_if_randomness_is_used(name: str) -> None:
    chosen = pruner(name)
    at, keep = last_round(chosen)
    first, second = context(0), context(1)
    same_mask = draw(chosen, at, keep, first) == draw(chosen, at, keep, second)
    assert first.asked == second.asked
    assert same_mask == (not first.asked)


@every_pruner
def test_the_ticket_survives_its_file(name: str) -> None:
    chosen = pruner(name)
    at, keep = last_round(chosen)
    ticket = Ticket(draw(chosen, at, keep, context()), at.weights)
    weights = ticket.masked(at.weights)
    stored = decode_ticket(encode_ticket(weights, ticket.mask, None))
    assert stored.mask == ticket.mask
    assert same(stored.start, weights)
    assert stored.rest is None


def looking_further(chosen: Pruner) -> Iterator[tuple[View, int]]:
    """The views of successive rounds: fixed for INIT and DENSE; for the others the last mask with moved weights."""
    mask = Mask.ones(prunable_layers(network()))
    for n in chosen.rounds(SCHEDULE.last):
        if chosen.source is Source.TWIN:
            mask = keep_top(weights_of(network(0)), mask, SCHEDULE.keep(n, mask.total))
        at = view(chosen.source, mask, seed=n if chosen.source in WITHIN else 0)
        keep = SCHEDULE.keep(n, at.mask.total)
        yield at, keep
        if chosen.source is Source.PREVIOUS:
            mask = draw(chosen, at, keep, context())


@every_pruner
def test_masks_are_nested_over_the_rounds(name: str) -> None:
    chosen = pruner(name)
    masks = [draw(chosen, at, keep, context(at=at)) for at, keep in looking_further(chosen)]
    for earlier, later in pairwise(masks):
        assert later.issubset(earlier)
        assert later != earlier or later.kept == later.total  # all of it: the ticket is drawn while it trains


def numbered_view() -> View:
    """A view whose weights are 1, 2, 3, ... with alternating signs, layer after layer."""
    at = view(Source.INIT)
    weights, first = dict(at.weights), 1
    for layer, facts in at.layers.items():
        numbers = torch.arange(first, first + facts.weights, dtype=torch.float32)
        weights[layer] = (numbers * (-1) ** numbers).view(facts.shape)
        first += facts.weights
    return replace(at, weights=weights)


@pytest.mark.parametrize("name", ["lth", "omp"])
def test_magnitude_pruning_keeps_the_largest_of_both_signs(name: str) -> None:
    at = numbered_view()
    mask = pruner(name).draw(at, 100, context())
    kept: Tensor = torch.cat([at.weights[layer][alive] for layer, alive in mask.items()])
    assert sorted(kept.abs().tolist()) == list(range(at.mask.total - 99, at.mask.total + 1))
    assert int((kept < 0).sum()) == 50


def test_random_pruning_has_the_same_density_in_every_layer() -> None:
    model = compose(["model=resnet20"]).model.initial(DATASET, 0)
    layers = prunable_layers(model)
    at = View(model, weights_of(model), Mask.ones(layers), None, layers)
    mask = pruner("random").draw(at, round(0.3 * at.mask.total), context())
    for layer, facts in layers.items():
        error = (0.3 * 0.7 / facts.weights) ** 0.5
        assert abs(mask.layer_kept[layer] / facts.weights - 0.3) < 4 * error
