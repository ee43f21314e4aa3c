"""`run` end to end: what is there is shared and extended, never made again."""

import json
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from commands import FAMILIES, Child, epochs_in, folder, identities, rows, run_here, sha_of, small, tickets, wait_for

import ticketsearch
from ticketsearch.errors import CorruptStore

ROUNDS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished LTH run; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}")
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished outputs."""
    return shutil.copytree(finished, tmp_path / "out")


def test_a_second_pruner_trains_no_dense_model(out: Path) -> None:
    before = identities(out)
    path, recorder = run_here(out, "pruner=random")
    assert recorder.cells == {("random", 0, 1), ("random", 0, 2)}
    assert identities(out).items() >= before.items()
    pointer = json.loads((path / "seed-0" / "round-00.json").read_text())
    dense = folder(out, "dense")
    assert pointer["run"] == dense.name
    assert pointer["sha256"] == sha_of(dense / "seed-0/round-00/ticket.safetensors")
    assert len((dense / "invocations.jsonl").read_text().splitlines()) == 2
    assert len((path / "invocations.jsonl").read_text().splitlines()) == 1


def test_the_same_command_again_trains_and_measures_nothing(out: Path) -> None:
    before, measured = identities(out), rows(out)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet") if path.parent != out}
    assert run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}")[1].epochs == []
    assert identities(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet") if path.parent != out} == files
    pd.testing.assert_frame_equal(rows(out), measured)


def test_more_rounds_extend_a_run(out: Path) -> None:
    before, run = identities(out), folder(out, "lth")
    path, recorder = run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS + 2}")
    assert path == run
    assert recorder.cells == {("lth", 0, ROUNDS + 1), ("lth", 0, ROUNDS + 2)}
    assert identities(out).items() >= before.items()


def test_fewer_rounds_remove_nothing(out: Path) -> None:
    before = identities(out)
    assert run_here(out, "pruner=lth", "schedule.rounds=1")[1].epochs == []
    assert identities(out) == before


def test_more_seeds_extend_a_run(out: Path) -> None:
    before, run = identities(out), folder(out, "lth")
    path, recorder = run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}", "replicates=2")
    assert path == run
    assert recorder.cells == {("dense", 1, 0), *(("lth", 1, n) for n in range(1, ROUNDS + 1))}
    assert identities(out).items() >= before.items()
    stored = tickets(out)
    assert len(set(stored.values())) == len(stored) == 2 * (ROUNDS + 1)  # another seed, another ticket


@pytest.mark.slow
def test_seeds_do_not_depend_on_which_command_ran_them(out: Path, tmp_path: Path) -> None:
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}", "replicates=2")
    run_here(tmp_path / "other", "pruner=lth", f"schedule.rounds={ROUNDS}", "seed=1")
    alone = tickets(tmp_path / "other")
    assert len(alone) == ROUNDS + 1
    assert tickets(out).items() >= alone.items()


def test_metrics_asked_later_are_added_without_training(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}", "metrics=[accuracy]")
    before = identities(out)
    assert set(rows(out).family) == {"accuracy", "cost", "training"}
    assert run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}", FAMILIES)[1].epochs == []
    assert identities(out) == before
    pd.testing.assert_frame_equal(rows(out), rows(finished))


def test_a_run_without_metrics_can_be_measured_later(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}", "metrics=[]")
    assert set(rows(out).family) == {"cost", "training"}
    run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}")
    pd.testing.assert_frame_equal(rows(out), rows(finished))


def test_a_lost_metrics_file_is_measured_again(out: Path, finished: Path) -> None:
    for path in out.glob("*/seed-0/round-0[02]/metrics/calibration-*.parquet"):
        path.unlink()
    with pytest.raises(CorruptStore, match=r"calibration-\w+\.parquet is missing"):  # a table without it would not tell
        rows(out)
    assert run_here(out, "pruner=lth", f"schedule.rounds={ROUNDS}")[1].epochs == []
    pd.testing.assert_frame_equal(rows(out), rows(finished))


@pytest.mark.slow
def test_two_pruners_at_the_same_moment_share_one_dense_training(tmp_path: Path) -> None:
    out, longer = tmp_path / "out", ("dataset.subset=1200", "recipe.epochs=40", "schedule.rounds=1")
    children = [Child(tmp_path / name, "run", *small(f"pruner={name}", *longer, out=out)) for name in ("lth", "random")]
    wait_for(lambda: list(out.glob("*/seed-0/round-00.part")))
    trainer, other = sorted(children, key=lambda child: not epochs_in(child.output()))
    trainer.signal(signal.SIGSTOP)
    wait_for(lambda: "waiting for" in other.output())
    trainer.signal(signal.SIGCONT)
    assert [child.code() for child in children] == [0, 0]
    trained = [epochs_in(child.output()) for child in (trainer, other)]
    assert [epoch for pruner, _, epoch in trained[0] if pruner == "dense"] == list(range(1, 41))
    assert [epoch for pruner, _, epoch in trained[1] if pruner == "dense"] == []
    assert len(tickets(out)) == 3


@pytest.mark.parametrize(("prunable", "total"), [("default", 4644), ("conv", 4644), ("all", 4644 + 160)])
def test_prunable_says_what_counts(out: Path, prunable: str, total: int) -> None:
    path, _ = run_here(out, "pruner=lth", f"prunable={prunable}", "schedule.rounds=1")
    found = ticketsearch.load_results(out)
    found = found[(found.run == path.name) & (found["round"] <= 1)]
    assert found.groupby("round").kept.agg(set).to_dict() == {0: {total}, 1: {round(0.8 * total)}}
    assert set(found.prunable) == {prunable}
    assert ("fc.weight" in ticketsearch.load(path, 0, 1)[1].mask) == (prunable == "all")
    parameters = sum(p.numel() for p in ticketsearch.load(path, 0, 1)[0].parameters())
    pruned = total - round(0.8 * total)
    assert set(found[found["round"] == 1].sparsity_total) == {pruned / parameters}


def test_pruner_dense_has_round_0_whatever_the_schedule_says(finished: Path, tmp_path: Path) -> None:
    path, recorder = run_here(tmp_path / "out", "pruner=dense", "schedule.rounds=9", "rewind=reinit", "prunable=all")
    assert path.name == folder(finished, "dense").name
    assert recorder.cells == {("dense", 0, 0)}
    dense = {cell: content for cell, content in tickets(finished).items() if "-dense-" in cell}
    assert tickets(tmp_path / "out") == dense


def test_no_rounds_leave_the_dense_model_alone(tmp_path: Path) -> None:
    path, recorder = run_here(tmp_path / "out", "pruner=omp", "schedule.rounds=0")
    assert recorder.cells == {("dense", 0, 0)}
    found = ticketsearch.load_results(tmp_path / "out")
    assert set(found[found.run == path.name]["round"]) == {0}
    assert set(found[found.run == path.name].pruner) == {"omp"}
