"""Runs that are killed and started again with the same command: nothing is lost, nothing is done twice, and not one
bit of the result differs.
"""

import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import (
    Child,
    Recorder,
    epochs_in,
    identities,
    killed_at,
    rows,
    run_here,
    same_runs,
    small,
    tickets,
    typed,
    wait_for,
)

from ticketsearch.cell import Cell
from ticketsearch.files import decode_state
from ticketsearch.part import save_part
from ticketsearch.points import CellCheckpoint
from ticketsearch.training.state import Progress, TrainState

LONGER = ("pruner=lth", "dataset.subset=1200", "recipe.epochs=12")
"""Ten updates an epoch and twelve epochs: rounds with a middle."""
PER_EPOCH = 10
ONE_ROUND = ("pruner=lth", "schedule.rounds=1", "metrics=[accuracy,ticket]")


def command(out: Path, *overrides: str) -> list[str]:
    return ["run", *small(*overrides, out=out)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The longer run without interruption."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finished = typed(*command(out, *LONGER))
    assert finished.returncode == 0, finished.stderr
    return out


@pytest.fixture(scope="module")
def whole_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small round without interruption."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert Child(out.parent / "log", *command(out, *ONE_ROUND)).code() == 0
    return out


def kill_in_the_middle(out: Path, round_: int) -> tuple[int, str]:
    """Start the longer run, kill it while it trains a round of which some epochs are stored; the step that is stored
    and the output.

    It is stopped first and only then looked at, so that what is seen is what the kill leaves.
    """
    child = Child(out.parent / "log", *command(out, *LONGER))

    def stopped_within_the_round() -> bool:
        assert child.process.is_alive(), child.output()
        if not list(out.glob(f"*/seed-0/round-{round_:02d}.part")):
            return False
        child.signal(signal.SIGSTOP)
        within = stored_step(out, round_) >= 2 * PER_EPOCH
        if not within:
            child.signal(signal.SIGCONT)
        return within

    wait_for(stopped_within_the_round)
    child.kill()
    return stored_step(out, round_), child.output()


def stored_step(out: Path, round_: int) -> int:
    """The number of updates in the file of the round in progress; 0 without one."""
    found = list(out.glob(f"*/seed-0/round-{round_:02d}.part"))
    return decode_state(found[0].read_bytes()[32:])[0].progress.step if found else 0


def test_a_run_killed_in_the_middle_of_every_round_continues_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    out, resumed_at, made = tmp_path / "out", {}, {}
    for round_ in range(3):
        resumed_at[round_], output = kill_in_the_middle(out, round_)
        assert 0 < resumed_at[round_] < 12 * PER_EPOCH
        assert not list(out.glob(f"*/seed-0/round-{round_:02d}/manifest.json"))
        again = [epoch for _, r, epoch in epochs_in(output) if r == round_ - 1]
        first = resumed_at.get(round_ - 1, 0) // PER_EPOCH
        assert again == (list(range(first + 1, 13)) if round_ else [])
        made = identities(out)
    finished = typed(*command(out, *LONGER))
    last = epochs_in(finished.stdout)
    assert last == [("lth", 2, epoch) for epoch in range(resumed_at[2] // PER_EPOCH + 1, 13)]
    assert identities(out).items() >= made.items()
    assert not list(out.glob("*/seed-0/*.part"))
    same_runs(out, whole)


def test_the_tickets_of_the_uninterrupted_run_differ_from_one_another(whole: Path) -> None:
    """Otherwise the comparisons above would show nothing."""
    stored = tickets(whole)
    assert len(stored) == len(set(stored.values())) == 3
    assert set(rows(whole).metric) >= {"accuracy", "ece", "macs", "trajectory_length"}


@pytest.mark.slow
def test_kills_at_random_moments_leave_no_trace(whole: Path, tmp_path: Path) -> None:
    out, moments, seen = tmp_path / "out", random.Random(20), {}
    for _ in range(10):
        child = Child(tmp_path / "log", *command(out, *LONGER))
        time.sleep(moments.uniform(0.1, 1.0))
        child.kill()
        now = identities(out)
        assert now.items() >= seen.items()  # what is committed stays as it is
        seen = now
    assert Child(tmp_path / "log", *command(out, *LONGER)).code() == 0
    assert identities(out).items() >= seen.items()
    same_runs(out, whole)


def killed_at_every(out: Path, call: int) -> int:
    """Start the one-round run again and again, each time killed at its `call`-th write, until it is done; how often."""
    for kills in range(200):
        child = Child(out.parent / "log", *command(out, *ONE_ROUND), prepare=partial(killed_at, call))
        code = child.code()
        assert code in (0, -signal.SIGKILL), child.output()
        if code == 0:
            return kills
    raise AssertionError(f"a run killed at every write {call} gets nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("call", [11, 17, 26])
def test_a_run_that_dies_again_and_again_arrives(whole_round: Path, tmp_path: Path, call: int) -> None:
    assert killed_at_every(tmp_path / "out", call) > 1
    same_runs(tmp_path / "out", whole_round)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # two processes for each of some hundred writes
def test_a_kill_at_any_write_leaves_no_trace(whole_round: Path, tmp_path: Path) -> None:
    traces, finished, call = {}, False, 0
    while not finished:
        call += 1
        out = tmp_path / str(call) / "out"
        child = Child(out.parent / "log", *command(out, *ONE_ROUND), prepare=partial(killed_at, call))
        finished = child.code() == 0
        again = Child(out.parent / "log", *command(out, *ONE_ROUND))
        if again.code() or tickets(out) != tickets(whole_round) or not rows(out).equals(rows(whole_round)):
            traces[call] = again.output()
    assert call > 40  # a run of two cells writes more often than that
    assert traces == {}


@pytest.mark.slow
def test_what_a_kill_between_metrics_and_logits_leaves_is_completed(whole_round: Path, tmp_path: Path) -> None:
    """The dense model's logits are written last; other cells cannot be compared with it without them."""
    out = tmp_path / "out"
    assert Child(tmp_path / "log", *command(out, "pruner=dense", ONE_ROUND[-1])).code() == 0
    for path in out.glob("*/seed-0/round-00/metrics/logits-*"):
        path.unlink()
    assert Child(tmp_path / "log", *command(out, *ONE_ROUND)).code() == 0
    same_runs(out, whole_round)


def no_more_than(size: int) -> None:
    """From here on, writing beyond this size fails for this process, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [5_000, 50_000])  # a rewind point has no room, or the round in progress
def test_a_full_disk_is_told_and_what_was_there_is_kept(whole_round: Path, tmp_path: Path, size: int) -> None:
    out = tmp_path / "out"
    child = Child(tmp_path / "log", *command(out, *ONE_ROUND), prepare=partial(no_more_than, size))
    code, told = child.code(), child.output()
    assert Child(tmp_path / "log", *command(out, *ONE_ROUND)).code() == 0
    same_runs(out, whole_round)
    assert code in (2, 4), told
    assert re.search(
        r"^error: .*/\S+: File too large; [\d,]+ bytes are needed, [\d,]+ are free on this disk$", told, re.M
    )
    assert "Traceback" not in told


def test_a_note_that_was_torn_off_stops_nothing(whole_round: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole_round, tmp_path / "out")
    for path in out.glob("*/invocations.jsonl"):
        path.write_bytes(path.read_bytes()[:50])
    for _ in range(3):  # the first of them writes behind what is left of the line
        assert run_here(out, *ONE_ROUND)[1].epochs == []


@pytest.mark.slow
def test_a_killed_writer_leaves_no_litter_for_good(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for call in (4, 16, 20, 30, 45, 60):
        Child(tmp_path / "log", *command(out, *ONE_ROUND), prepare=partial(killed_at, call)).code()
    assert Child(tmp_path / "log", *command(out, *ONE_ROUND)).code() == 0
    assert [path.name for path in out.rglob(".*")] == []


def test_the_round_in_progress_of_another_ticket_is_not_continued(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "run", 0, 1)
    cell.part.parent.mkdir(parents=True)
    state = TrainState({"w": torch.ones(3)}, {"w": torch.zeros(3)}, {}, Progress(step=7))
    save_part(cell.part, state, {"source": "one"})
    search = SimpleNamespace(run=None, display=(display := Recorder()))
    assert CellCheckpoint(search, cell, {"source": "another"}).load() is None
    assert CellCheckpoint(search, cell, {"source": "another", "threads": 2}).load() is None
    assert CellCheckpoint(search, cell, {"source": "one"}).load().progress == state.progress
    assert display.notices == []  # the ticket is another one: nothing of this one was in progress


def test_the_round_in_progress_of_other_circumstances_begins_anew_which_is_told(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "run", 0, 1)
    cell.part.parent.mkdir(parents=True)
    save_part(cell.part, TrainState({}, {}, {}, Progress(step=7)), {"source": "one", "threads": 2, "device": "cpu"})
    search = SimpleNamespace(run=None, display=(display := Recorder()))
    now = {"source": "one", "threads": 1, "device": "cpu", "engine": "compiled"}
    assert CellCheckpoint(search, cell, now).load() is None
    (told,) = display.notices
    assert told == (
        "run round 1 of seed 0: its training was interrupted with engine=auto (now compiled), threads=2 (now 1), "
        "and begins anew"
    )


@pytest.mark.slow
def test_a_finished_command_ends_well_every_time(tmp_path: Path) -> None:
    """Threads that outlive the interpreter were seen to abort one process in ten."""
    words = [sys.executable, "-m", "ticketsearch", *command(tmp_path / "out", *ONE_ROUND)]
    assert {subprocess.run(words, capture_output=True).returncode for _ in range(20)} == {0}
