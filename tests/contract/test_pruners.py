"""What every pruner in `conf/pruner` does in a search of five rounds, from 20 to 99.9 %: what is stored of it, and that
an interruption changes nothing.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from commands import folder, manifests, rows, run_here, wrong
from filelock import FileLock
from safetensors.torch import load

import ticketsearch
from tests.contract.draws import drawn
from tests.contract.table import PRUNERS, every_pruner
from tests.three import SPARSITIES, Told, network, pruner, run
from tests.tiny import same, weights_of
from ticketsearch import channels
from ticketsearch.cell import Cell
from ticketsearch.files import decode_ticket, encode_ticket
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.scopes import Global
from ticketsearch.store import Run
from ticketsearch.ticket import Mask, Ticket

TOTAL = 4752


@dataclass(frozen=True)
class Search:
    """A search that ran to its end, and the epochs that were told of its first round."""

    out: Path
    name: str
    epochs: list[int]

    @property
    def run(self) -> Path:
        return folder(self.out, self.name)

    def cells(self, name: str | None = None) -> dict[int, Cell]:
        """By round; of another run that it made, if that is named."""
        return {cell.round: cell for cell in Run(folder(self.out, name or self.name)).cells()}

    def masks(self, name: str | None = None) -> dict[int, Mask]:
        return {n: cell.ticket().mask for n, cell in self.cells(name).items()}

    def files(self) -> Iterator[tuple[bytes, Ticket]]:
        """Every stored ticket, and the starts that pruners gave themselves."""
        for path in sorted(self.run.glob("seed-0/round-*/*.safetensors")):
            yield path.read_bytes(), decode_ticket(path.read_bytes())


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str], Search]:
    """The search of a pruner; each is made once, by whichever of the processes that share the tests needs it first."""
    here = tmp_path_factory.getbasetemp()
    shared = here if worker_id == "master" else here.parent

    def search(name: str) -> Search:
        out, done = shared / f"searched-{name}", shared / f"searched-{name}.json"
        with FileLock(done.with_suffix(".lock")):
            if not done.exists():
                told = Told(name, first_round(name))
                run(out, f"pruner={name}", display=told)
                done.write_text(json.dumps(told.here))
        return Search(out, name, json.loads(done.read_text()))

    return search


def first_round(name: str) -> int:
    return pruner(name).rounds(len(SPARSITIES))[0]


# Counts.


def near(mask: Mask, keep: int) -> bool:
    """Whether a mask of whole channels is within one channel of a count, or has one channel a layer and more than it is
    to keep.
    """
    model, sizes = network(), [0]
    for layer, stays in channels.alive(model, mask).items():
        for channel in stays.nonzero().flatten() if int(stays.sum()) > 1 else []:
            without = {layer: stays & (torch.arange(len(stays)) != channel)}
            sizes.append(mask.kept - channels.without(model, mask, without).kept)
    return abs(mask.kept - keep) < max(sizes) or (channels.narrowest(model, mask) and mask.kept >= keep)


def right(chosen: Pruner, mask: Mask, keep: int, twin: Mask | None) -> bool:
    """Whether a mask keeps as many weights as it should."""
    if twin is not None:
        return mask.kept == twin.kept
    if chosen.unit == "channel":
        return near(mask, keep)
    return mask.kept == keep if chosen.exact else 0 < mask.kept < mask.total


@every_pruner("counts")
def test_it_keeps_what_the_schedule_says_to_the_end_of_the_training(
    name: str, searched: Callable[[str], Search]
) -> None:
    chosen, search = pruner(name), searched(name)
    twin = search.masks(chosen.of) if chosen.source is Source.TWIN else {}
    assert list(search.masks()) == list(chosen.rounds(len(SPARSITIES)))
    for n, mask in search.masks().items():
        keep = round(TOTAL * (1 - Fraction(str(SPARSITIES[n - 1])))) if n else TOTAL
        assert mask.total == TOTAL
        assert right(chosen, mask, keep, twin.get(n)), f"round {n} keeps {mask.kept}, not {keep}"
        assert search.cells()[n].manifest["kept"] == mask.kept


def is_nested(chosen: Pruner) -> bool:
    """Whether its rounds must be nested: it looks at the round before, or cuts one ranking of all weights at different
    places and leaves the mask alone afterwards. Shares of layers are rounded, and need not shrink in every layer.
    """
    ranks = (type(chosen).draw, type(chosen).during) == (Pruner.draw, Pruner.during) and chosen.scope == Global()
    return chosen.source is Source.PREVIOUS or (ranks and chosen.source is not Source.TWIN)


@every_pruner("nested", [name for name in PRUNERS if is_nested(pruner(name))])
def test_masks_are_nested_over_the_rounds(name: str, searched: Callable[[str], Search]) -> None:
    masks = searched(name).masks()
    assert len(masks) == len(SPARSITIES)
    for earlier, later in pairwise(masks.values()):
        assert later.issubset(earlier)
        assert later.kept < earlier.kept


# What is stored.


def negative_zeros(ticket: Ticket) -> int:
    """How many of the numbers that pruned weights hold are -0.0."""
    found = [ticket.start[layer][~alive] for layer, alive in ticket.mask.items()]
    return sum(int(((held == 0) & held.signbit()).sum()) for held in found)


@every_pruner("zeros")
def test_what_is_stored_is_finite_and_plus_zero_where_it_is_pruned(
    name: str, searched: Callable[[str], Search]
) -> None:
    for content, ticket in searched(name).files():
        for key, tensor in load(content).items():
            assert not tensor.is_floating_point() or bool(tensor.isfinite().all()), key
        assert negative_zeros(ticket) == 0
    for cell in searched(name).cells().values():
        ticket = cell.ticket()
        held = torch.cat([ticket.start[other][dead] for other, dead in ticket.mask.held.items()] or [torch.zeros(0)])
        assert not bool(held.view(torch.int32).any())
        assert bool(ticket.mask.held) == (pruner(name).unit == "channel" and ticket.mask.kept < TOTAL)


@every_pruner("file")
def test_stored_tickets_are_read_bit_for_bit(name: str, searched: Callable[[str], Search]) -> None:
    search = searched(name)
    for content, ticket in search.files():
        assert encode_ticket(ticket.start, ticket.mask, ticket.rest) == content
    for n, cell in search.cells().items():
        model, ticket = ticketsearch.load(search.run, 0, n, extensions=["tests"])
        assert same(weights_of(model), cell.ticket().start)
        assert ticket.mask == cell.ticket().mask


@every_pruner("cost")
def test_rows_say_what_each_draw_computed(name: str, searched: Callable[[str], Search]) -> None:
    search = searched(name)
    found = rows(search.out).query(f"pruner == {name!r} and metric == 'draw_images' and variant == ''")
    assert found["round"].tolist() == [n for n in search.cells() if n]
    assert set(found.family) <= {"cost"}
    assert set(found.value > 0) <= {drawn(name).passes.forwards > 0}


# An interruption.


def stored(out: Path) -> dict[str, bytes]:
    """The bytes of every ticket and start up to round 2."""
    paths = sorted(out.glob("*/seed-*/round-0[012]/*.safetensors"))
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def told(out: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Manifests and rows up to round 2, without what depends on the machine."""
    about = {cell: text for cell, text in manifests(out).items() if cell[-1] in "012"}
    return about, rows(out).query("round <= 2").reset_index(drop=True)


@every_pruner("resume")
def test_a_search_that_is_interrupted_twice_is_the_same_bit_for_bit(
    name: str, searched: Callable[[str], Search], tmp_path: Path
) -> None:
    """In the work for its first round: after an epoch of it, whichever training or search that is of, and before the
    end.
    """
    whole, n, out = searched(name), first_round(name), tmp_path / "out"
    epochs, words = whole.epochs, (f"pruner={name}", "schedule.rounds=2")
    for moment in (min(2, len(epochs)), max(0, len(epochs) - 1)):
        display = Told(name, n, moment)
        with pytest.raises(KeyboardInterrupt):
            run(out, *words, display=display)
        assert Run(folder(out, name)).cells() == []
    last = Told(name, n)
    run(out, *words, display=last)
    if epochs[:2] == [1, 2]:  # the first epoch was kept
        assert display.here == epochs[1:]
    assert last.here == epochs[len(epochs) - len(last.here) :]
    assert stored(out) == stored(whole.out)
    mine, theirs = told(out), told(whole.out)
    assert mine[0] == theirs[0]
    pd.testing.assert_frame_equal(mine[1], theirs[1], check_exact=True)


# The network that it was made for.


@every_pruner("resnet")
def test_a_resnet20_is_pruned_and_trained(name: str, tmp_path: Path) -> None:
    words = ("model.depth=20", "recipe.epochs=1", "schedule.rounds=1", "metrics=[accuracy]")
    path, _ = run_here(tmp_path / "out", f"pruner={name}", *words)
    assert wrong(tmp_path / "out") == []
    found = rows(tmp_path / "out").query(f"run == {path.name!r} and metric == 'accuracy' and split == 'test'")
    assert set(found.status) == {"ok"}
    assert set(found["round"]) == {0, *pruner(name).rounds(1)}
