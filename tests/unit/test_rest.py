"""Mask-0 actions: what pruned weights hold, by hand and through the rounds of a search."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from commands import Child, folder, run_here, same_runs, small, wait_for

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.rest import FreezeOrZero, Zero
from ticketsearch.store import Run
from ticketsearch.ticket import Mask


def test_what_moved_toward_zero_is_zero_and_the_others_are_frozen() -> None:
    start = {"w": torch.tensor([0.5, -0.5, 0.5, -0.5, 0.5, 0.0])}
    source = {"w": torch.tensor([0.4, -0.6, -0.4, -0.5, -0.9, 0.1])}
    rest = FreezeOrZero().apply(Mask({"w": torch.zeros(6, dtype=torch.bool)}), start, source)
    assert rest["w"].tolist() == [0.0, -0.5, 0.0, -0.5, 0.5, 0.0]
    assert Zero().apply(Mask({"w": torch.zeros(6, dtype=torch.bool)}), start, source) is None


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searched") / "out"
    run_here(out, "pruner=lth", "rest=freeze_or_zero", "schedule.rounds=3")
    return out


def test_through_the_rounds_each_pruned_weight_keeps_what_its_first_round_gave_it(searched: Path) -> None:
    run, dense = folder(searched, "lth"), folder(searched, "dense")
    initial = Run(dense).rewind(0, 0).read()[0]
    tickets = [ticketsearch.load(run, 0, n)[1] for n in range(4)]
    both = set()
    for before, after in pairwise(tickets):
        for name, alive in after.mask.items():
            held, start = after.start[name], initial[name]
            was = before.mask[name] if name in before.mask else torch.ones_like(alive)
            new, old = ~alive & was, ~alive & ~was
            nearer = before.start[name].abs() < start.abs()
            assert torch.equal(held[new], torch.where(nearer, 0.0, start)[new])
            assert torch.equal(held[old], before.start[name][old])
            both |= {"frozen"} if bool(held[~alive].any()) else set()
            both |= {"zero"} if bool((held[~alive] == 0).any()) else set()
    assert both == {"frozen", "zero"}


def test_what_they_hold_is_part_of_the_id_and_of_the_file(searched: Path, tmp_path: Path) -> None:
    run_here(tmp_path, "pruner=lth")
    assert folder(tmp_path, "lth").name != folder(searched, "lth").name
    assert folder(tmp_path, "dense").name == folder(searched, "dense").name
    assert Cell(folder(searched, "lth"), 0, 1).ticket().rest is not None
    assert main(["verify", f"out={searched}"]) == 0


@pytest.mark.slow
def test_a_killed_search_goes_on_with_what_they_hold(searched: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "out", ("pruner=lth", "rest=freeze_or_zero", "schedule.rounds=3")
    child = Child(tmp_path / "log", "run", *small(*words, out=out))
    wait_for(lambda: list(out.glob("*-lth-*/seed-0/round-01")))
    child.kill()
    run_here(out, *words)
    same_runs(out, searched)
