"""What every pruner in `conf/pruner` does when it draws, on a network of three layers without a search around it."""

import random
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.contract.draws import drawn, ticket_of
from tests.contract.table import PRUNERS, every_pruner
from tests.three import context, data, keep_of, network, pruner, view
from tests.tiny import DATASET, RECIPE, Memory, decoded, same, weights_of
from ticketsearch.compose import compose
from ticketsearch.errors import RunFailed, UsageError
from ticketsearch.files import decode_ticket, encode_ticket
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask, Scores, Ticket, Weights, prunable_layers
from ticketsearch.training.loop import Training
from ticketsearch.training.state import Assignment, Trained, TrainState


@dataclass(frozen=True)
class OneIsNone(Score):
    """Scores of which the last is not a number."""

    calls: list[str] = field(default_factory=list)

    def __call__(self, at: View, ctx: Context) -> Scores:
        self.calls.append("called")
        scores = {name: torch.rand(layer.shape, generator=ctx.rng(name)) for name, layer in at.layers.items()}
        last = at.mask["two.weight"].flatten().nonzero()[-1]
        scores["two.weight"].view(-1)[last] = torch.nan
        return scores


def _generators() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


def _counts(chosen: Pruner) -> bool:
    """Whether a draw keeps what it is told: not the dense model, which keeps everything, nor a twin's ticket."""
    return chosen.exact and 0 not in chosen.rounds(1) and chosen.source is not Source.TWIN


def test_an_unknown_pruner_is_refused() -> None:
    with pytest.raises(UsageError, match="lht"):
        compose(["pruner=lht"])


@every_pruner("counts", [name for name in PRUNERS if _counts(pruner(name))])
@pytest.mark.parametrize("sparsity", [0.5, 0.999])
def test_counts_are_exact_where_most_weights_are_of_the_same_size(name: str, sparsity: float) -> None:
    """A threshold keeps all of them, or none."""
    chosen = pruner(name)
    at = view(chosen)
    weights = {entry: t.round(decimals=1) if entry in at.mask else t for entry, t in at.weights.items()}
    at.model.load_state_dict(weights)
    keep = round(at.mask.total * (1 - sparsity))
    found = chosen.draw(replace(at, weights=weights), keep, context(at, rewound=weights))
    assert ticket_of(found, context(at)).mask.kept == keep


@every_pruner("within")
def test_a_mask_lies_within_what_is_alive(name: str) -> None:
    """Of a view in which some weights are dead already, whatever the pruner looks at."""
    at, mask = drawn(name).at, drawn(name).ticket.mask
    assert {layer: tuple(a.shape) for layer, a in mask.items()} == {n: layer.shape for n, layer in at.layers.items()}
    assert 0 < at.mask.kept < at.mask.total
    assert mask.issubset(at.mask)


# What a draw leaves as it was.


def _state(at: View, ctx: Context) -> dict[str, object]:
    """Everything that somebody else may look at after a draw; tensors as bytes, so that not one bit may differ."""
    modules, parameters = dict(at.model.named_modules()), dict(at.model.named_parameters())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "weights": _bytes(at.model.state_dict()),
        "given": [_bytes(weights) for weights in (at.weights, ctx.initial, ctx.rewound)],
        "mask": [_bytes(at.mask), _bytes(at.mask.held)],
        "images": _bytes({"images": ctx.data.train.images, "labels": ctx.data.train.labels}),
        "modes": {name: module.training for name, module in modules.items()},
        "grads": _bytes({name: p.grad for name, p in parameters.items() if p.grad is not None}),
        "asked for": {name: p.requires_grad for name, p in parameters.items()},
        "hooks": {name: [len(getattr(module, kind)) for kind in hooks] for name, module in modules.items()},
        "hooks of tensors": {name: p._backward_hooks for name, p in parameters.items()},
        "same objects": {name: id(p) for name, p in parameters.items()},
        "generators": _generators(),
        "torch": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
    }


def _bytes(tensors: object) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in dict(tensors).items()}  # type: ignore[call-overload]


@every_pruner("pure")
def test_a_draw_leaves_everything_as_it_was(name: str) -> None:
    chosen = pruner(name)
    at = view(chosen)
    ctx = context(at)
    at.model.fc.train()  # modes may differ between parts of a network
    at.model.fc.bias.grad = torch.full((10,), 0.25)  # and gradients may be there
    at.model.fc.register_forward_hook(lambda *_: None)
    before = _state(at, ctx)
    chosen.draw(at, keep_of(chosen, at), ctx)
    after = _state(at, ctx)
    assert [what for what, was in before.items() if after[what] != was] == []


# Functions of the seed.


@every_pruner("seed")
def test_the_same_seed_draws_the_same_ticket_whatever_the_global_generators(name: str) -> None:
    one, two = drawn(name, state=1).ticket, drawn(name, state=2).ticket
    assert one.mask == two.mask
    assert same(one.start, two.start)
    assert (one.rest is None) == (two.rest is None)
    assert one.rest is None or same(one.rest, two.rest or {})


@every_pruner("seed")
def test_another_seed_draws_another_mask_exactly_if_randomness_was_asked_for(name: str) -> None:
    one, two = drawn(name), drawn(name, seed=1)
    assert (one.ticket.mask != two.ticket.mask) == bool(one.ctx.asked)
    assert one.ctx.asked == two.ctx.asked


# Zeros and numbers.


def _train(name: str, resumed: TrainState | None = None) -> tuple[Trained, Memory]:
    """Train what a pruner draws, from where it is kept, or from its start."""
    chosen, found, memory = pruner(name), drawn(name), Memory(resumed)
    during = chosen.during(keep_of(chosen, found.at), found.ctx)
    job = Assignment(found.ticket, 0, 0, memory, epochs=chosen.epochs, dynamics=during)
    return Training(network(99), job, RECIPE, DATASET, data()).run(), memory


def _check_held(ticket: Ticket, weights: Weights) -> None:
    """Assert that what is pruned is +0.0 bit for bit, or at the ticket's `rest`, in which no -0.0 is either."""
    wanted = ticket.masked(weights)
    dead = [(layer, ~alive) for layer, alive in ticket.mask.items()] + list(ticket.mask.held.items())
    for name, where in dead:
        found = weights[name][where]
        assert found.numpy().tobytes() == wanted[name][where].numpy().tobytes(), name
        assert not bool(((found == 0) & found.signbit()).any()), name


@every_pruner("zeros")
def test_what_is_pruned_is_at_rest_after_every_epoch_of_training(name: str) -> None:
    """-1 x 0 is -0.0: a mask that is multiplied shows here. What goes with a removed channel is zero as well."""
    trained, memory = _train(name)
    _check_held(replace(trained.began, mask=trained.mask), trained.weights)
    assert bool(memory.saved) == (pruner(name).epochs > 0)
    for state in map(decoded, memory.saved):
        ticket = state.began or drawn(name).ticket
        ticket = replace(ticket, mask=state.mask or ticket.mask)
        _check_held(ticket, state.weights)
        assert not any(bool(state.momentum[layer][~alive].any()) for layer, alive in ticket.mask.items())


@every_pruner("resume", [name for name in PRUNERS if pruner(name).epochs > 0])
def test_training_goes_on_from_any_epoch_bit_for_bit(name: str) -> None:
    """Whatever a pruner does meanwhile: what it remembers, and a ticket that it has drawn, are kept with the state."""
    whole, memory = _train(name)
    for state in map(decoded, memory.saved):
        trained, _ = _train(name, state)
        assert same(trained.weights, whole.weights)
        assert same(trained.best, whole.best)
        assert trained.mask == whole.mask
        began = [encode_ticket(found.began.start, found.began.mask, found.began.rest) for found in (trained, whole)]
        assert began[0] == began[1]
        told = [vars(found.progress) | {"seconds": 0, "made": 0} for found in (trained, whole)]
        assert told[0] == told[1]


def _refused(chosen: Pruner, at: View, ctx: Context) -> tuple[str, Ticket | None]:
    """Why a draw is refused, or what is drawn."""
    try:
        return "", ticket_of(chosen.draw(at, keep_of(chosen, at), ctx), ctx)
    except (ValueError, RunFailed) as error:
        return str(error), None


@every_pruner("nan")
def test_a_score_that_is_no_number_is_refused_or_not_looked_at(name: str) -> None:
    if name == "same_sign":  # it looks at no score, and takes none
        with pytest.raises(ValueError, match="would have no say"):
            replace(pruner(name), score=OneIsNone())
        return
    chosen = replace(pruner(name), score=(score := OneIsNone()))
    at = view(chosen)
    told, found = _refused(chosen, at, context(at))
    assert ("not numbers" in told) if score.calls else found is not None


@every_pruner("nan")
def test_a_weight_that_is_no_number_is_refused_or_not_looked_at(name: str) -> None:
    """Where it is not refused, the mask is the one that is drawn without it."""
    chosen = pruner(name)
    at = view(chosen)
    last = at.mask["two.weight"].flatten().nonzero()[-1]
    broken = weights_of(network())
    for weights in (dict(at.weights), at.model.state_dict(), broken):
        weights["two.weight"].detach().view(-1)[last] = torch.nan
    told, found = _refused(chosen, at, context(at, rewound=broken))
    assert ("not numbers" in told or "nan" in told) if found is None else found.mask == drawn(name).ticket.mask


# Files and cost.


@every_pruner("file")
def test_a_ticket_survives_its_file_bit_for_bit(name: str) -> None:
    ticket = drawn(name).ticket
    stored = decode_ticket(content := encode_ticket(ticket.start, ticket.mask, ticket.rest))
    assert stored.mask == ticket.mask
    assert stored.mask.held.keys() == ticket.mask.held.keys()
    assert same(
        stored.start, {**ticket.masked(ticket.start), **{name: ticket.start[name] for name in ticket.mask.held}}
    )
    assert (stored.rest is None) == (ticket.rest is None)
    assert encode_ticket(stored.start, stored.mask, stored.rest) == content


@every_pruner("cost")
def test_what_a_draw_computes_is_counted(name: str) -> None:
    """Against a count of its own, at the network's class: nothing where weights alone are looked at."""
    for found in (drawn(name, state=1), drawn(name, state=2)):
        cost = found.ctx.cost
        assert (cost.forwards, cost.backwards) == (found.passes.forwards, found.passes.backwards)
    one, two = drawn(name, state=1).ctx.cost, drawn(name, state=2).ctx.cost
    assert one == two
    assert [value.value > 0 for value in one.values(macs=3)] == [one.forwards > 0, one.backwards > 0, one.forwards > 0]


# What the pruners of magnitude and chance are.


def numbered_view() -> View:
    """A view whose weights are 1, 2, 3, ... with alternating signs, layer after layer."""
    at, first = view(pruner("random")), 1
    weights = dict(at.weights)
    for layer, facts in at.layers.items():
        numbers = torch.arange(first, first + facts.weights, dtype=torch.float32)
        weights[layer] = (numbers * (-1) ** numbers).view(facts.shape)
        first += facts.weights
    return replace(at, weights=weights, mask=Mask.ones(at.layers))


@pytest.mark.parametrize("name", ["lth", "omp"])
def test_magnitude_pruning_keeps_the_largest_of_both_signs(name: str) -> None:
    at = numbered_view()
    mask = pruner(name).draw(at, 100, context(at))
    kept: Tensor = torch.cat([at.weights[layer][alive] for layer, alive in mask.items()])
    assert sorted(kept.abs().tolist()) == list(range(at.mask.total - 99, at.mask.total + 1))
    assert int((kept < 0).sum()) == 50


def test_random_pruning_has_the_same_density_in_every_layer() -> None:
    model = compose(["model=resnet20"]).model.initial(DATASET, 0)
    layers = prunable_layers(model)
    at = View(model, weights_of(model), Mask.ones(layers), None, layers)
    mask = pruner("random").draw(at, round(0.3 * at.mask.total), context(at))
    for layer, facts in layers.items():
        error = (0.3 * 0.7 / facts.weights) ** 0.5
        assert abs(mask.layer_kept[layer] / facts.weights - 0.3) < 4 * error


def test_every_yaml_is_tested() -> None:
    assert {"lth", "dense", "control"} <= set(PRUNERS)
