"""Tickets of finished runs: each number is what it says, and each ticket comes from where it says."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import folder, identities, rows, run_here, sha_of, small
from safetensors.torch import load
from torch import Tensor

import ticketsearch
from ticketsearch.compose import compose
from ticketsearch.console import Display
from ticketsearch.experiment import Experiment
from ticketsearch.files import decode_state
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.state import Assignment, Checkpoint, TrainState

ROUNDS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished LTH run."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}")
    return out


@pytest.fixture(scope="module")
def combined(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs to which tests add runs, so that all of them share one dense model."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("combined") / "out")


def manifest(run: Path, round_: int) -> dict:
    return json.loads((run / "seed-0" / f"round-{round_:02d}" / "manifest.json").read_text())


def state(out: Path, step: int) -> TrainState:
    """A kept rewind point."""
    return decode_state((folder(out, "dense") / f"seed-0/rewind-{step}/state.safetensors").read_bytes())[0]


def test_every_round_keeps_exactly_what_its_schedule_says(finished: Path) -> None:
    found = rows(finished)
    found = found[found.pruner == "lth"]
    total = int(found[found["round"] == 0].kept.iloc[0])
    assert total == 4644  # the convolutions of ResNet-8 with 4 channels on one-channel images
    expected = {n: round(total * 0.8**n) for n in range(ROUNDS + 1)}
    assert found.groupby("round").kept.agg(set).to_dict() == {n: {kept} for n, kept in expected.items()}
    assert (found.sparsity == 1 - found.kept / total).all()


def test_densities_per_layer_sum_to_the_weights_kept(finished: Path) -> None:
    for n in range(ROUNDS + 1):
        mask = ticketsearch.load(folder(finished, "lth"), 0, n)[1].mask
        found = rows(finished)
        found = found[(found.pruner == "lth") & (found["round"] == n) & (found.metric == "layer_density")]
        sizes = {name: alive.numel() for name, alive in mask.items()}
        assert set(found.variant) == set(sizes)
        assert sum(row.value * sizes[row.variant] for row in found.itertuples()) == pytest.approx(mask.kept, abs=1e-6)
        assert set(found.kept) == {mask.kept}


def test_masks_are_nested(finished: Path) -> None:
    masks = [ticketsearch.load(folder(finished, "lth"), 0, n)[1].mask for n in range(ROUNDS + 1)]
    for earlier, later in pairwise(masks):
        assert later.issubset(earlier)
        assert later.kept < earlier.kept


def test_pruned_weights_are_zero_to_the_last_bit(finished: Path) -> None:
    for n in range(1, ROUNDS + 1):
        model, ticket = ticketsearch.load(folder(finished, "lth"), 0, n)
        weights = model.state_dict()
        assert sum(int((~alive).sum()) for alive in ticket.mask.values()) > 0
        assert not any(weights[name][~alive].view(torch.int32).any() for name, alive in ticket.mask.items())
        path = folder(finished, "lth") / f"seed-0/round-{n:02d}/ticket.safetensors"
        stored = load(path.read_bytes())
        assert "rest" not in stored  # nothing but survivors is kept of prunable layers
        assert len(stored["survivors"]) == ticket.mask.kept
        others = json.loads(stored["index"].numpy().tobytes())["others"]
        assert not any(name in named for named in others.values() for name in ticket.mask)


class _Passing(Checkpoint):
    """Keeps what a training passes through."""

    def __init__(self) -> None:
        self.states: dict[int, TrainState] = {}

    def snapshot(self, state: TrainState) -> None:
        self.states[state.progress.step] = state


def retrained(out: Path, mask: Mask, start: dict[str, Tensor], *overrides: str) -> tuple[dict[str, Tensor], _Passing]:
    """The weights that the recipe makes of a mask and start weights, and the states on the way."""
    experiment = Experiment.open(compose(small("pruner=dense", *overrides, out=out)), Display())
    passing = _Passing()
    job = Assignment(Ticket(mask, start), 0, 0, passing, snapshots=frozenset(range(1, 10)))
    ((_, trained),) = experiment.train([job])
    return trained.weights, passing


@pytest.mark.parametrize("round_", range(ROUNDS + 1))
def test_every_ticket_is_what_training_makes_of_init_times_mask(finished: Path, round_: int) -> None:
    """The start is stored nowhere; rebuilt from initialisation and mask, it trains to the very same bits."""
    ticket = ticketsearch.load(folder(finished, "lth"), 0, round_)[1]
    initial = state(finished, 0).weights
    start = {name: w * ticket.mask[name] if name in ticket.mask else w for name, w in initial.items()}
    weights, _ = retrained(finished, ticket.mask, start)
    assert weights.keys() == ticket.start.keys()
    assert all(torch.equal(weights[name], ticket.start[name]) for name in weights)
    about = manifest(folder(finished, "lth" if round_ else "dense"), round_)
    begins = {"artefact": "rewind-0", "action": "rewind:init", "buffers": "weights"}
    dense = folder(finished, "dense")
    points = {"0": sha_of(dense / "seed-0/rewind-0/state.safetensors")}
    assert about["start"] == begins | {"run": dense.name, "points": points}


def test_tickets_are_drawn_from_what_their_pruner_looks_at(combined: Path) -> None:
    omp, random = (run_here(combined, f"pruner={pruner}")[0] for pruner in ("omp", "random"))
    dense = folder(combined, "dense") / "seed-0"
    initial, trained = sha_of(dense / "rewind-0/state.safetensors"), sha_of(dense / "round-00/ticket.safetensors")
    for n in (1, 2):
        origin = manifest(omp, n)["source"]
        assert (origin["run"], origin["round"], origin["sha256"]) == (dense.parent.name, 0, trained)
        origin = manifest(random, n)["source"]
        assert (origin["run"], origin["rewind"], origin["sha256"]) == (dense.parent.name, 0, initial)


def test_lth_is_a_chain_of_checksums(finished: Path) -> None:
    lth, before = folder(finished, "lth"), folder(finished, "dense") / "seed-0/round-00"
    for n in range(1, ROUNDS + 1):
        about = manifest(lth, n)
        assert (about["source"]["run"], about["source"]["round"]) == (before.parent.parent.name, n - 1)
        assert about["source"]["sha256"] == sha_of(before / "ticket.safetensors")
        before = lth / f"seed-0/round-{n:02d}"
        assert about["files"] == {name: sha_of(before / name) for name in ("ticket.safetensors", "training.parquet")}


ORIGINS = {
    "init": ("rewind-0", "rewind:init"),
    "step": ("rewind-1", "rewind:step"),
    "lr": ("source", "rewind:source"),
    "keep": ("source", "rewind:source"),
    "reinit": ("seed", "rewind:fresh"),
}
SCHEDULES = {
    "geometric": ("schedule.rounds=2",),
    "one_shot": ("schedule.rounds=1", "schedule.sparsity=0.7"),
    "explicit": ("schedule.rounds=2", "schedule.sparsities=[0.3,0.6]"),
    "iterative": ("schedule.rounds=2", "schedule.sparsity=0.75"),
}
KEPT = {"geometric": (0.8, 0.64), "one_shot": (0.3,), "explicit": (0.7, 0.4), "iterative": (0.5, 0.25)}


def origin_weights(out: Path, rewind: str, parent: Ticket) -> dict[str, Tensor]:
    """Where the start weights come from, found without the code that rewinds."""
    if rewind == "reinit":
        config = compose(small())
        return config.model.initial(config.dataset, 0, "reinit").state_dict()
    return dict(parent.start) if rewind in ("lr", "keep") else state(out, 1 if rewind == "step" else 0).weights


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rewind", ORIGINS)
def test_every_rewind_runs_on_every_schedule(combined: Path, rewind: str, schedule: str) -> None:
    path, _ = run_here(combined, "pruner=lth", f"rewind={rewind}", f"schedule={schedule}", *SCHEDULES[schedule])
    parent = ticketsearch.load(path, 0, 0)[1]
    for n, density in enumerate(KEPT[schedule], 1):
        about = manifest(path, n)
        assert about["kept"] == round(about["total"] * density)
        assert (about["start"]["artefact"], about["start"]["action"]) == ORIGINS[rewind]
        model, ticket = ticketsearch.load(path, 0, n)
        start = ticket.masked(origin_weights(combined, rewind, parent))
        moved = [(p.detach() - start[name]).double().square().sum() for name, p in model.named_parameters()]
        assert distance_trained(path, n) == pytest.approx(float(torch.stack(moved).sum().sqrt()), rel=1e-12)
        parent = ticket


def distance_trained(run: Path, round_: int) -> float:
    """The distance between start and end of a training, as its own rows have it."""
    found = pd.read_parquet(run / "seed-0" / f"round-{round_:02d}" / "training.parquet")
    return found[(found.metric == "trajectory_length") & (found.variant == "net")].value.item()


def test_rewinds_make_different_tickets(combined: Path) -> None:
    """Otherwise the presets would be one."""
    for rewind in ORIGINS:
        run_here(combined, "pruner=lth", f"rewind={rewind}")
    first = [path.read_bytes() for path in combined.glob("*-lth-*/seed-0/round-01/ticket.safetensors")]
    assert len(set(first)) >= len(ORIGINS)


def test_a_rewind_point_that_was_not_kept_is_what_the_dense_training_passes_through(tmp_path: Path) -> None:
    out, longer = tmp_path / "out", ("dataset.subset=300", "recipe.epochs=3", "schedule.rounds=1")
    run_here(out, "pruner=dense", *longer)
    point = folder(out, "dense") / "seed-0/rewind-4"
    assert not point.exists()
    before = identities(out)
    assert run_here(out, "pruner=lth", "rewind=step", "rewind.at=4it", *longer)[1].cells == {("lth", 0, 1)}
    assert identities(out).items() >= before.items()
    initial = state(out, 0).weights
    ones = ticketsearch.load(folder(out, "dense"))[1].mask
    passed = retrained(out, ones, initial, *longer)[1].states[4]
    made = state(out, 4)
    assert made.progress.step == 4
    assert all(torch.equal(made.weights[name], w) for name, w in passed.weights.items())
    assert all(torch.equal(made.momentum[name], m) for name, m in passed.momentum.items())
    assert not all(torch.equal(initial[name], w) for name, w in passed.weights.items())
    assert manifest(folder(out, "lth"), 1)["start"]["artefact"] == "rewind-4"


def test_the_points_that_a_dense_training_keeps(tmp_path: Path) -> None:
    run_here(tmp_path / "out", "pruner=dense", "recipe.epochs=5")
    kept = {path.name for path in (tmp_path / "out").glob("*/seed-0/rewind-*") if path.is_dir()}
    assert kept == {"rewind-0", "rewind-1", "rewind-2", "rewind-3"}


def test_the_step_that_is_asked_for_is_kept_by_the_dense_training_itself(tmp_path: Path) -> None:
    """Training it once more would come to the same bits, later."""
    run_here(tmp_path / "out", "rewind=step", "rewind.at=3it", "recipe.batch_size=32", "schedule.rounds=1")
    dense = folder(tmp_path / "out", "dense") / "seed-0"
    kept, whole = (dense / name / "manifest.json" for name in ("rewind-3", "round-00"))
    assert kept.stat().st_mtime_ns < whole.stat().st_mtime_ns
