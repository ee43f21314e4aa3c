"""What every yaml of `conf/schedule`, `conf/rewind`, `conf/rest` and `conf/recipe` must be; what each class computes is
tested by itself.
"""

from dataclasses import fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import folder, rows
from torch import Tensor

from tests.three import ThreeLayers, Told, network, run
from tests.tiny import DATASET, same, weights_of
from ticketsearch.build import build
from ticketsearch.cell import Cell
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.part import read_part
from ticketsearch.rewind import Rewind
from ticketsearch.schedule import Schedule
from ticketsearch.store import Run
from ticketsearch.ticket import Mask, Weights, keep_top, prunable_layers

TOTALS = (4752, 267_408, 23_454_912, 10**9)


def chosen(group: str, name: str) -> Any:
    return build(OWN.load(group, name), group, (), PARTS[group])


def every(group: str) -> Any:
    names = [name for name in OWN.choices(group) if "_target_" in OWN.load(group, name)]
    assert set(OWN.choices(group)) - set(names) <= {"auto"}  # which means another one
    return pytest.mark.parametrize("name", names)


# Schedules.


@every("schedule")
def test_densities_fall_and_counts_are_taken_from_the_total(name: str) -> None:
    """Rounding each round's count to the nearest whole number, with no memory of the round before."""
    schedule: Schedule = chosen("schedule", name)
    densities = [schedule.density(n) for n in range(1, schedule.last + 1)]
    assert schedule.last >= 1
    assert all(earlier > later for earlier, later in pairwise([1.0, *densities, 0.0]))
    for total in TOTALS:
        assert schedule.keep(0, total) == total
        for n, density in enumerate(densities, 1):
            exact = total * Fraction(density)
            assert abs(schedule.keep(n, total) - exact) <= Fraction(1, 2) + exact / 2**52
            assert type(schedule.keep(n, total)) is int


def _lasts(schedule: Schedule) -> bool:
    """Whether the number of rounds is no part of what the run is, so that more of them extend it."""
    return not next(field for field in fields(schedule) if field.name == "rounds").metadata.get("identity", True)


@every("schedule")
def test_more_rounds_extend_a_run_exactly_where_they_change_no_count(name: str) -> None:
    schedule: Any = chosen("schedule", name)
    longest = [replace(schedule, rounds=n) for n in (1, schedule.last)]
    assert [found.last for found in longest] == [1, schedule.last]
    keep = [[found.keep(n, TOTALS[1]) for n in (0, 1)] for found in longest]
    ids = {compose([f"schedule={name}", f"schedule.rounds={found.last}"]).id for found in longest}
    assert (len(ids) == 1) == _lasts(schedule)
    assert (keep[0] == keep[1]) == _lasts(schedule)


# Rewinding.


class Past:
    """A dense model whose whole state tells after which step it is: k + 1 after k updates; its momentum, k + 0.5."""

    def at(self, step: int) -> tuple[Weights, Weights]:
        return filled(step + 1), {name: torch.full(p.shape, step + 0.5) for name, p in network().named_parameters()}

    def fresh(self) -> Weights:
        return filled(77)


def filled(value: int) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in weights_of(network()).items()}


@every("rewind")
def test_every_part_of_the_start_comes_from_where_the_manifest_says(name: str) -> None:
    rewind: Rewind = chosen("rewind", name)
    source, step = filled(55), rewind.step(10)
    weights, start = rewind.apply(source, Past(), 10)
    origin = rewind.origin(10)
    value = {"source": 55, "seed": 77, f"rewind-{step}": step + 1, "rewind-0": 1}[origin["artefact"]]
    parameters = {entry for entry, _ in network().named_parameters()}
    held = {entry: set(tensor.flatten().tolist()) for entry, tensor in weights.items()}
    assert held == {
        entry: {value if entry in parameters or origin["buffers"] == "weights" else 1}
        for entry in weights_of(network())
    }
    assert start.momentum is None or same(start.momentum, Past().at(step)[1])
    assert (start.momentum is None) == (rewind.optimiser == "fresh")
    assert (start.lr_step, start.data_step) == (step * (rewind.lr == "resume"), step * (rewind.data == "resume"))
    assert start.last_lr == (rewind.lr == "last")
    assert same(source, filled(55))


def begun(cell: Cell, dense: Run, before: Weights) -> Weights:
    """What the manifest of a cell says that its training started from."""
    artefact = cell.manifest["start"]["artefact"]
    if artefact == "seed":
        return ThreeLayers().initial(DATASET, 0, "reinit").state_dict()
    return before if artefact == "source" else dense.rewind(0, int(artefact.removeprefix("rewind-"))).read()[0]


@every("rewind")
def test_training_starts_where_the_manifest_says(name: str, tmp_path: Path) -> None:
    """The row of how far it went in all is the distance between what is stored and that start, within the mask."""
    out = tmp_path / "out"
    path = run(out, "pruner=lth", f"rewind={name}", "schedule.rounds=2")
    dense = Run(folder(out, "dense"))
    before, parameters = dense.cells()[0].ticket().start, dict(network().named_parameters())
    gone = rows(out).query("metric == 'trajectory_length' and variant == 'net' and run == @path.name")
    for cell in Run(path).cells():
        ticket = cell.ticket()
        start = ticket.masked(begun(cell, dense, before))
        moved = torch.cat([(ticket.start[entry] - start[entry]).double().flatten() for entry in parameters])
        assert gone[gone["round"] == cell.round].value.tolist() == pytest.approx([float(moved.norm())], rel=1e-9)
        before = ticket.start


# Pruned weights.


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


@every("rest")
def test_what_pruned_weights_hold_is_a_number_for_each_and_never_minus_zero(name: str) -> None:
    model = network()
    layers = prunable_layers(model)
    start, source = weights_of(model), weights_of(network(1))
    for weights in (start, source):
        for layer in layers:
            weights[layer].view(-1)[:40:2] = 0.0
            weights[layer].view(-1)[1:40:4] = -0.0  # a kept weight may be that, and may be pruned next
    mask = keep_top({layer: start[layer].abs() for layer in layers}, Mask.ones(layers), 2000)
    given = {entry: _bits(tensor) for entry, tensor in [*start.items(), *((f"s.{k}", t) for k, t in source.items())]}
    rest = chosen("rest", name).apply(mask, start, source)
    after = {entry: _bits(tensor) for entry, tensor in [*start.items(), *((f"s.{k}", t) for k, t in source.items())]}
    assert after == given
    for layer, values in (rest or {}).items():
        pruned = values[~mask[layer]]
        assert values.shape == layers[layer].shape
        assert bool(pruned.isfinite().all())
        assert not bool(((pruned == 0) & pruned.signbit()).any()), layer
    assert rest is None or rest.keys() == mask.keys()


@every("rest")
def test_they_hold_it_in_training_and_in_the_file(name: str, tmp_path: Path) -> None:
    """Bit for bit: in the middle of round 1, of which the stored state has every number, and at its end."""
    out, words = tmp_path / "out", ("pruner=lth", f"rest={name}", "schedule.rounds=1")
    with pytest.raises(KeyboardInterrupt):
        run(out, *words, display=Told("lth", 1, 2))
    dense, cell = Run(folder(out, "dense")), Run(folder(out, "lth")).cell(0, 1)
    within = read_part(cell.part)[0].weights
    run(out, *words)
    ticket = cell.ticket()
    held = chosen("rest", name).apply(ticket.mask, dense.rewind(0, 0).read()[0], dense.cells()[0].ticket().start)
    for layer, alive in ticket.mask.items():
        wanted = torch.zeros(alive.shape) if held is None else held[layer]
        assert _bits(within[layer][~alive]) == _bits(ticket.start[layer][~alive]) == _bits(wanted[~alive])
        assert not torch.equal(within[layer][alive], ticket.start[layer][alive])
        assert 0 < int(alive.sum()) < alive.numel()


# Recipes.


@every("recipe")
@pytest.mark.parametrize("per_epoch", [1, 7, 40])
def test_learning_rates_are_finite_and_as_many_as_there_are_updates(name: str, per_epoch: int) -> None:
    recipe = chosen("recipe", name)
    for steps in {0, 1, per_epoch, recipe.epochs * per_epoch, recipe.epochs * per_epoch // 2}:
        rates = recipe.learning_rates(steps, per_epoch)
        assert len(rates) == steps
        assert all(0 <= rate <= recipe.lr for rate in rates)  # and no NaN is
    whole = recipe.learning_rates(recipe.epochs * per_epoch, per_epoch)
    assert max(whole) == pytest.approx(recipe.lr, rel=0.05)  # a course that is warm only when it falls is none
    assert recipe.warmup < recipe.epochs


@pytest.mark.parametrize("group", ["dataset", "model"])
def test_auto_is_a_recipe_for_every_choice(group: str) -> None:
    for name in OWN.choices(group):
        config = compose([f"{group}={name}", "recipe=auto"])
        assert config.names["recipe"] in set(OWN.choices("recipe")) - {"auto"}
        assert config.recipe == chosen("recipe", config.names["recipe"])
