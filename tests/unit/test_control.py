"""Controls drawn on views written down here: each changes one thing of its twin's ticket and nothing else."""

import textwrap
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, pairwise, permutations
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import same
from tests.unit.masks import bits, shown
from ticketsearch.compose import compose
from ticketsearch.config import Config
from ticketsearch.data.base import Data, Split
from ticketsearch.errors import UsageError
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.control import Control
from ticketsearch.pruners.scopes import Layerwise
from ticketsearch.pruners.scores import Magnitude, Random
from ticketsearch.pruners.view import Context, Twin, View
from ticketsearch.ticket import Layer, Mask, Ticket, Weights, keep_top
from ticketsearch.training.recipe import Recipe

ACTIONS = ("reinit", "shuffle", "reshuffle", "invert", "reorder")
LTH = Pruner(Magnitude())
STEP = "rewind=step rewind.at=1ep"


def view(
    weights: dict[str, list[float]], alive: dict[str, str], shapes: dict[str, tuple[int, ...]] | None = None
) -> View:
    """Layers with these weights, a mask written as zeros and ones, and a bias that cannot be pruned."""
    shapes = shapes or {name: (len(values),) for name, values in weights.items()}
    layers = {name: Layer("linear", shape, prod(shape[1:]), False) for name, shape in shapes.items()}
    tensors = {name: torch.tensor(values).view(shapes[name]) for name, values in weights.items()}
    mask = Mask({name: bits(text).view(shapes[name]) for name, text in alive.items()})
    return View(nn.Identity(), tensors | {"bias": torch.tensor([0.5, -0.0])}, mask, None, layers)


@dataclass(frozen=True)
class Asked(Context):
    """A context that notes for what fresh weights were asked."""

    purposes: list[str] = field(default_factory=list)


def context(twin: Twin | None = None, seed: int = 0) -> Asked:
    purposes: list[str] = []

    def fresh(purpose: str) -> Weights:
        purposes.append(purpose)
        return {"a": torch.full((4,), 7.0), "bias": torch.zeros(2)}

    nothing = Split(torch.zeros(0, 1, 1, 1, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    data = Data(nothing, nothing, nothing)
    return Asked(seed, {}, fresh, {}, data, Recipe(), lambda *job: 0, twin=twin, purposes=purposes)


def beside(at: View, pruner: Pruner = LTH, start: Weights | None = None) -> Twin:
    """A twin that looked at a view, and whose ticket starts from `start` within its mask."""
    return Twin(pruner.score, pruner.scope, lambda: Ticket(at.mask, at.weights if start is None else start), lambda: at)


def drawn(action: str, at: View, ctx: Context, keep: int | None = None, repeat: int = 1) -> Mask | Ticket:
    return Control(action=action, repeat=repeat).draw(at, at.mask.kept if keep is None else keep, ctx)  # type: ignore[arg-type]


ONE = view({"a": [0.0] * 4}, {"a": "1010"})


# Fresh weights.


def test_reinit_keeps_the_mask_and_takes_the_weights_of_its_purpose() -> None:
    rest = {"a": torch.ones(4)}
    for repeat, purpose in ((1, "reinit"), (2, "reinit-2")):
        ctx = context(beside(ONE))
        ticket = drawn("reinit", replace(ONE, rest=rest), ctx, repeat=repeat)
        assert isinstance(ticket, Ticket)
        assert ticket.mask == ONE.mask
        assert same(ticket.start, {"a": torch.full((4,), 7.0), "bias": torch.zeros(2)})
        assert ticket.rest is rest
        assert ctx.purposes == [purpose]


# A permuted mask.

PAIR = {"a": "110100", "b": "110100"}
"""Two layers that only their names tell apart."""


def shuffled(alive: dict[str, str], seed: int = 0, repeat: int = 1) -> dict[str, str]:
    at = view({name: [0.0] * len(text) for name, text in alive.items()}, alive)
    mask = drawn("shuffle", at, context(beside(at), seed), repeat=repeat)
    assert isinstance(mask, Mask)
    return shown(mask)


def test_shuffle_makes_every_mask_of_the_same_count_and_no_other() -> None:
    found = {shuffled({"a": "1100"}, seed)["a"] for seed in range(100)}
    assert found == {"".join("01"[i in kept] for i in range(4)) for kept in combinations(range(4), 2)}


def test_shuffle_gives_every_place_the_same_chance() -> None:
    count = 600
    kept = sum(np.array([int(c) for c in shuffled({"a": "1100000"}, seed)["a"]]) for seed in range(count))
    assert kept.sum() == 2 * count
    assert np.abs(kept / count - 2 / 7).max() < 4 * (2 / 7 * 5 / 7 / count) ** 0.5  # four standard errors


def test_shuffle_is_one_permutation_for_all_rounds() -> None:
    """Where single weights go says where those of every mask go: nested masks stay nested."""
    places = [shuffled({"a": "".join("01"[i == j] for i in range(6))})["a"].index("1") for j in range(6)]
    assert sorted(places) == list(range(6))
    for text in ("111111", "110111", "110100", "000100", "000000"):
        moved = np.zeros(6, int)
        moved[[places[j] for j in range(6) if text[j] == "1"]] = 1
        assert shuffled({"a": text})["a"] == "".join(map(str, moved))


def test_shuffle_differs_between_layers_seeds_and_repeats() -> None:
    wide = {name: text * 10 for name, text in PAIR.items()}
    first = shuffled(wide)
    assert first == shuffled(wide)
    found = [first["a"], first["b"], shuffled(wide, seed=1)["a"], shuffled(wide, repeat=2)["a"]]
    assert len({wide["a"], *found}) == 5


def test_shuffle_permutes_a_layer_of_any_shape_and_leaves_the_view_alone() -> None:
    at = view({"a": [0.0] * 12}, {"a": "110000000001"}, {"a": (2, 3, 2)})
    mask = drawn("shuffle", at, context(beside(at)))
    assert isinstance(mask, Mask)
    assert mask["a"].shape == (2, 3, 2)
    assert mask.layer_kept == {"a": 3}
    assert shown(at.mask) == {"a": "110000000001"}


# Permuted start values.

START = {"a": torch.tensor([1.0, 2.0, -0.0, 4.0, 5.0]), "b": torch.tensor([6.0, 7.0]), "bias": torch.tensor([0.5])}


def reshuffled(seed: int = 0, repeat: int = 1) -> tuple[Ticket, Weights]:
    """The ticket, and the twin's start weights, which must be as before."""
    start = {name: tensor.clone() for name, tensor in START.items()}
    at = view({"a": [9.0] * 5, "b": [9.0] * 2}, {"a": "10110", "b": "01"})
    ticket = drawn("reshuffle", at, context(beside(at, start=start), seed), repeat=repeat)
    assert isinstance(ticket, Ticket)
    assert ticket.mask == at.mask
    return ticket, start


def test_reshuffle_puts_the_kept_values_into_every_order() -> None:
    kept = [0, 2, 3]
    orders = set()
    for seed in range(100):
        ticket, start = reshuffled(seed)
        assert same(start, START)
        assert same({"b": ticket.start["b"], "bias": ticket.start["bias"]}, {"b": START["b"], "bias": START["bias"]})
        assert ticket.start["a"][[1, 4]].tolist() == [2.0, 5.0]  # what is pruned takes no part
        orders.add(tuple(ticket.start["a"][kept].view(torch.int32).tolist()))
    assert orders == set(permutations(START["a"][kept].view(torch.int32).tolist()))  # with the sign of zero


def test_reshuffle_differs_between_repeats() -> None:
    count = 50
    at = view({"a": list(map(float, range(count)))}, {"a": "1" * count})
    starts = [drawn("reshuffle", at, context(beside(at)), repeat=repeat).start["a"] for repeat in (1, 1, 2)]  # type: ignore[union-attr]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert all(sorted(start.tolist()) == list(range(count)) for start in starts)
    assert not torch.equal(starts[0], at.weights["a"])


# The lowest instead of the highest.

SEEN = view({"a": [5.0, -1.0, 0.0, 3.0], "b": [-2.0, 0.5, 4.0, 0.0]}, {"a": "1101", "b": "1110"})
"""What a twin looked at: of six living weights the smallest are 0.5, -1, -2; the zeros are dead."""
LATER = view({"a": [5.0, 0.0, 0.0, 3.0], "b": [0.0, 0.0, 4.0, 0.0]}, {"a": "1001", "b": "0010"})
"""The twin's ticket, drawn from it."""


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (1, {"a": "0000", "b": "0100"}),
        (2, {"a": "0100", "b": "0100"}),
        (3, {"a": "0100", "b": "1100"}),
        (4, {"a": "0101", "b": "1100"}),
        (6, {"a": "1101", "b": "1110"}),
    ],
)
def test_invert_keeps_the_smallest_of_what_the_twin_looked_at(keep: int, expected: dict[str, str]) -> None:
    twin = replace(beside(SEEN), ticket=lambda: Ticket(LATER.mask, LATER.weights))
    mask = drawn("invert", LATER, context(twin), keep)
    assert isinstance(mask, Mask)
    assert shown(mask) == expected


def test_invert_keeps_what_the_twin_prunes_when_half_of_it_is_kept() -> None:
    mask = drawn("invert", LATER, context(beside(SEEN)), 3)
    assert isinstance(mask, Mask)
    assert shown(mask) == shown(Mask({name: SEEN.mask[name] & ~alive for name, alive in LATER.mask.items()}))


def test_invert_spreads_over_the_layers_as_the_twin_does() -> None:
    even = view({"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 20.0, 30.0, 40.0]}, {"a": "1111", "b": "1111"})
    for scope, expected in ((None, {"a": "1111", "b": "0000"}), (Layerwise(), {"a": "1100", "b": "1100"})):
        pruner = LTH if scope is None else Pruner(Magnitude(), scope=scope)
        mask = drawn("invert", even, context(beside(even, pruner)), 4)
        assert isinstance(mask, Mask)
        assert shown(mask) == expected


def test_invert_ranks_by_the_twins_own_score() -> None:
    """The random scores of a seed, so that the twin and its control part the weights between them."""
    at = view({"a": [float(i) for i in range(30)], "b": [0.0] * 20}, {"a": "1" * 30, "b": "1" * 20})
    random = Pruner(Random(), Source.INIT)
    for seed in range(3):
        ctx = context(beside(at, random), seed)
        theirs, mine = random.draw(at, 25, ctx), drawn("invert", at, ctx, 25)
        assert isinstance(mine, Mask)
        assert isinstance(theirs, Mask)
        assert all(torch.equal(mine[name], ~alive) for name, alive in theirs.items())


def test_invert_agrees_with_a_sort() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes, alive = {"a": 40, "b": 25}, {}
        weights = {name: rng.integers(-9, 10, size).astype(np.float32) for name, size in sizes.items()}  # with ties
        alive = {name: rng.random(size) < 0.6 for name, size in sizes.items()}
        text = {name: "".join(str(int(bit)) for bit in alive[name]) for name in sizes}
        at = view({name: values.tolist() for name, values in weights.items()}, text)
        flat, living = np.abs(np.concatenate(list(weights.values()))), np.concatenate(list(alive.values()))
        keep = int(rng.integers(0, living.sum() + 1))
        places = np.flatnonzero(living)
        expected = np.zeros(65, int)
        expected[places[np.argsort(flat[places], kind="stable")[:keep]]] = 1  # ties go to the earlier
        mask = drawn("invert", at, context(beside(at)), keep)
        assert isinstance(mask, Mask)
        assert mask.flat().int().tolist() == expected.tolist()


def test_invert_refuses_scores_that_are_no_numbers() -> None:
    at = view({"a": [1.0, float("nan")]}, {"a": "11"})
    with pytest.raises(ValueError, match="scores of a are not numbers"):
        drawn("invert", at, context(beside(at)), 1)


# Another order.


def test_reorder_is_the_twins_ticket_as_it_is() -> None:
    ticket = Ticket(ONE.mask, START, {"a": torch.ones(4)})
    twin = Twin(LTH.score, LTH.scope, lambda: ticket, lambda: ONE)
    assert drawn("reorder", ONE, context(twin)) is ticket


def test_only_reorder_has_another_order_and_each_repeat_its_own() -> None:
    seeds = {action: Control(action=action).order_seed(5) for action in ACTIONS}  # type: ignore[arg-type]
    assert {action for action, seed in seeds.items() if seed != 5} == {"reorder"}
    many = {
        (repeat, seed): Control(action="reorder", repeat=repeat).order_seed(seed)
        for repeat in (1, 2)
        for seed in range(20)
    }
    assert len(set(many.values())) == 40
    assert min(many.values()) >= 20  # none is that of another seed
    assert max(many.values()) < 2**31  # what one may type, and what a column of floats holds


@pytest.mark.parametrize("action", ["reshuffle", "invert", "reorder"])
def test_a_control_without_a_twin_draws_nothing(action: str) -> None:
    with pytest.raises(ValueError, match="needs a twin"):
        drawn(action, ONE, context())


# What a configuration makes of them.


@cache
def composed(line: str) -> Config:
    """Composing takes a tenth of a second, twice that for recipe=auto; no line is composed twice."""
    return compose(["recipe=digits", "metrics=[ticket]", *line.split()])


def control(line: str = "", action: str = "shuffle") -> Config:
    return composed(f"pruner=control pruner.action={action} {line}")


def overrides(*texts: str) -> str:
    return "pruner.of_overrides=[" + ",".join(f'"{text}"' for text in texts) + "]"


def test_the_id_is_another_when_the_twins_is() -> None:
    lines = [
        "",
        "pruner.of=omp",
        "schedule.rate=0.3",
        STEP,
        "order_seed=1",
        overrides("pruner.epochs=0.5"),
    ]
    ids = {line: control(line).id for line in lines} | {"reinit": control("", "reinit").id}
    assert len(set(ids.values())) == len(ids), ids


@pytest.mark.parametrize("line", ["seed=3 replicates=2 out=elsewhere", "schedule.rounds=3", overrides("threads=2")])
def test_what_changes_no_number_of_the_twin_changes_no_id(line: str) -> None:
    assert control(line).id == control().id
    assert control(line).twin.id == control().twin.id == composed("pruner=lth").id  # type: ignore[union-attr]


def test_a_control_has_the_rounds_and_the_training_of_its_twin() -> None:
    config = control(f"schedule.rounds=7 {overrides('schedule.rounds=3', 'pruner.epochs=0.5')}")
    assert config.rounds == range(1, 4)
    assert config.pruner.epochs == 0.5
    assert control(STEP).twin.rewind == control(STEP).rewind == composed(STEP).rewind  # type: ignore[union-attr]


def test_the_label_says_of_what_it_is_a_control() -> None:
    assert control("pruner.of=omp").label == "omp shuffle"
    assert control("pruner.repeat=2").label == "lth shuffle 2"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pruner=lth", ACTIONS),
        ("pruner=omp", ACTIONS),
        ("pruner=random", ACTIONS),
        ("pruner=dense", ()),
        ("pruner=control", ()),
        ("pruner=lth schedule.rounds=0", ()),
        ("pruner=lth rewind=lr", ("reinit", "reshuffle", "invert", "reorder")),
        ("pruner=omp rewind=lr", ACTIONS),
        ("pruner=lth rewind=reinit", ("shuffle", "reshuffle", "invert", "reorder")),
    ],
)
def test_controls_are_those_that_make_sense(line: str, expected: tuple[str, ...]) -> None:
    config = composed(f"{line} controls=true")
    assert tuple(found.pruner.action for found in config.controls) == expected  # type: ignore[attr-defined]
    for found in config.controls:
        assert found.label == f"{config.names['pruner']} {found.pruner.action}"  # type: ignore[attr-defined]


def test_a_control_typed_alone_is_the_run_that_comes_with_the_search() -> None:
    config = composed(f"pruner=omp pruner.epochs=0.5 {STEP} controls=true")
    for found, action in (config.controls[0], "reinit"), (config.controls[-1], "reorder"):
        alone = control(f"pruner.of=omp {STEP} {overrides('pruner.epochs=0.5')}", action)
        assert alone.run_name == found.run_name
        assert alone.stored() == found.stored()
    assert alone.twin.run_name == config.run_name  # type: ignore[union-attr]
    assert alone.controls == ()


OWN = """
    from dataclasses import dataclass
    from ticketsearch.pruners.base import Pruner

    @dataclass(frozen=True)
    class First(Pruner):
        def draw(self, at, keep, ctx):
            return at.mask
"""


def test_a_pruner_that_draws_without_a_score_has_no_inverse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    own = [f"extensions=[{name}]", overrides(f"pruner._target_={name}.First")]
    with pytest.raises(UsageError, match="draws without a score"):
        composed(" ".join(["pruner=control", "pruner.action=invert", *own]))
    assert composed(" ".join(["pruner=control", "pruner.action=shuffle", *own])).label == "lth shuffle"
    config = composed(f"extensions=[{name}] pruner._target_={name}.First controls=true")
    assert {found.pruner.action for found in config.controls} == {*ACTIONS} - {"invert"}  # type: ignore[attr-defined]


def test_masks_of_a_shuffled_search_are_nested() -> None:
    rng = torch.Generator().manual_seed(0)
    scores: dict[str, Tensor] = {"a": torch.rand(60, generator=rng), "b": torch.rand(20, generator=rng)}
    mask, found = Mask({name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}), []
    for keep in (60, 40, 20):
        mask = keep_top(scores, mask, keep)
        found.append(Mask({name: bits(text) for name, text in shuffled(shown(mask)).items()}))
        assert found[-1].layer_kept == mask.layer_kept
    for earlier, later in pairwise(found):
        assert later.issubset(earlier)


@pytest.mark.parametrize("of", ["supermask", "edge_popup"])
@pytest.mark.parametrize("action", ["shuffle", "reorder", "invert"])
def test_what_a_ticket_that_is_not_trained_cannot_lose_is_refused(of: str, action: str) -> None:
    with pytest.raises(UsageError, match=f"pruner.of={of}"):
        compose(["pruner=control", f"pruner.of={of}", f"pruner.action={action}"])
    actions = [config.pruner.action for config in compose([f"pruner={of}", "controls=true"]).controls]  # type: ignore[attr-defined]
    assert actions == ["reinit", "reshuffle"]
