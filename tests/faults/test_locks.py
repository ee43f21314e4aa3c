"""Several processes on the same outputs: each cell is trained once, by whoever is free, and who waits says for whom."""

import json
import os
import platform
import re
import shutil
import signal
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from commands import Child, Recorder, folder, run_here, same_runs, small, wait_for

import ticketsearch
from ticketsearch import lock
from ticketsearch.lock import STALE, Holder, Lock, holder

LONGER = ("pruner=lth", "dataset.subset=600", "recipe.epochs=4", "schedule.rounds=1")
"""Five updates an epoch: long enough to be met at work."""
NOBODY = 2**22 + 1
"""A process that this system cannot have: Linux numbers them up to 2**22."""


def start(out: Path, name: str, *overrides: str) -> Child:
    return Child(out.parent / name, "run", *small(*LONGER, *overrides, out=out))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 0 to 3 by one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    run_here(out, *LONGER, "replicates=4")
    return out


def alone_with(alone: Path, path: Path, seeds: int) -> Path:
    """What one process makes of the first seeds alone."""
    kept = [f"seed-{seed}" for seed in range(4) if seed >= seeds]
    return shutil.copytree(alone, path, ignore=lambda folder, names: [n for n in names if n in kept or "results" in n])


def trained(*children: Child) -> Counter[tuple[str, int, int, int]]:
    """How often each (pruner, seed, round, epoch) was trained."""
    line = r"^\S+?-\S+?-(\S+?)-\w{8} seed (\d+) round +(\d+) epoch (\d+)/"
    found = [match for child in children for match in re.findall(line, child.output(), re.M)]
    return Counter((pruner, int(seed), int(round_), int(epoch)) for pruner, seed, round_, epoch in found)


def once(seeds: int) -> Counter[tuple[str, int, int, int]]:
    """Every epoch of every cell, once."""
    cells = [("dense", seed, 0) for seed in range(seeds)] + [("lth", seed, 1) for seed in range(seeds)]
    return Counter((*cell, epoch) for cell in cells for epoch in range(1, 5))


def at_work(out: Path, seed: int) -> Path | None:
    """The lock of a cell of a seed that is in progress and of which an epoch is stored."""
    parts = list(out.glob(f"*/seed-{seed}/round-*.part"))
    return parts[0].with_suffix(".lock") if parts and holder(parts[0].with_suffix(".lock")) else None


def stop_at_work(child: Child, out: Path, seed: int) -> tuple[Path, Holder]:
    """Stop a process while it trains a cell of a seed: the lock of that, and what it says."""

    def stopped() -> Path | None:
        assert child.process.is_alive(), child.output()
        if not at_work(out, seed):
            return None
        child.signal(signal.SIGSTOP)
        if not at_work(out, seed):  # it was done in the meantime
            child.signal(signal.SIGCONT)
        return at_work(out, seed)

    path = wait_for(stopped)
    return path, holder(path)


# Real processes.


def test_two_seeds_are_trained_side_by_side(alone: Path, tmp_path: Path) -> None:
    """A process that is stopped at its work holds up nobody who works on another seed."""
    out = tmp_path / "out"
    first, second = (start(out, f"log-{seed}", f"seed={seed}") for seed in range(2))
    _, who = stop_at_work(first, out, 0)
    other = wait_for(lambda: at_work(out, 1) and holder(at_work(out, 1)))
    assert [who.pid, other.pid] == [first.process.pid, second.process.pid]
    assert second.code() == 0
    first.signal(signal.SIGCONT)
    assert first.code() == 0
    assert "waiting for" not in first.output() + second.output()
    assert trained(first, second) == once(seeds=2)
    same_runs(out, alone_with(alone, tmp_path / "alone", seeds=2))


@pytest.mark.parametrize(
    ("first", "second", "seeds"),
    [((), (), 1), (("replicates=3",), ("seed=1", "replicates=3"), 4)],
    ids=["the same command", "overlapping seeds"],
)
@pytest.mark.slow
def test_a_cell_that_two_want_is_trained_once(
    alone: Path, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], seeds: int
) -> None:
    out = tmp_path / "out"
    children = [start(out, "log-1", *first), start(out, "log-2", *second)]
    assert [child.code() for child in children] == [0, 0], "\n".join(child.output() for child in children)
    assert trained(*children) == once(seeds)
    assert seeds == 1 or all(trained(child) for child in children)  # the work was shared
    same_runs(out, alone_with(alone, tmp_path / "alone", seeds))


@pytest.mark.parametrize("end", [pytest.param(signal.SIGCONT, marks=pytest.mark.slow), signal.SIGKILL])
def test_what_another_holds_is_waited_for_last(alone: Path, tmp_path: Path, end: signal.Signals) -> None:
    """It goes on when the other is done, and at once when the other is killed, from where that one was."""
    out = tmp_path / "out"
    first = start(out, "first", "seed=0")
    held, who = stop_at_work(first, out, 0)
    second = start(out, "second", "replicates=2")
    wait_for(lambda: "waiting for" in second.output())
    before, _, waits = second.output().partition("waiting for ")
    assert {cell[1] for cell in trained(second)} == {1}
    assert len(re.findall(r"seed 1 round +[01] done", before)) == 2
    run, _, round_ = str(held.with_suffix("").relative_to(out)).replace("/seed-0/", "|").partition("|round-0")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(who.start))
    said = f"{run} seed 0 round {round_}, held by process {first.process.pid} on {platform.node()} since {since}"
    assert waits.splitlines()[0] == said
    first.signal(end)
    if end == signal.SIGKILL:
        # The dead holder's heartbeat is fresh for two minutes; the kernel frees the lock now.
        wait_for(lambda: (now := holder(held)) and now.pid == second.process.pid, seconds=20)
    assert [first.code(), second.code()] == [0 if end == signal.SIGCONT else -signal.SIGKILL, 0]
    # A kill loses the epoch that it falls into, and at most what was not stored yet.
    assert set(trained(first, second)) == set(once(seeds=2))
    assert end == signal.SIGKILL or trained(first, second) == once(seeds=2)
    assert trained(second)[run.split("-")[2], 0, int(round_), 1] == 0  # never from the start
    same_runs(out, alone_with(alone, tmp_path / "alone", seeds=2))


# What the file says.


@pytest.fixture(scope="module")
def first_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run without its last round."""
    out = tmp_path_factory.mktemp("first") / "out"
    run_here(out, "pruner=lth", "schedule.rounds=1")
    return out


@pytest.fixture
def begun(first_round: Path, tmp_path: Path) -> Path:
    """The lock of the last round, which is not there, in a copy of that run."""
    return folder(shutil.copytree(first_round, tmp_path / "out"), "lth") / "seed-0" / "round-02.lock"


def write(path: Path, who: Holder) -> None:
    path.write_text(json.dumps(asdict(who)))


def test_a_fresh_heartbeat_of_another_host_is_waited_for(begun: Path, tmp_path: Path) -> None:
    write(begun, Holder("elsewhere", NOBODY, time.time() - 9999, time.time()))
    child = Child(tmp_path / "log", "run", *small("pruner=lth", out=tmp_path / "out"))
    wait_for(lambda: "waiting for" in child.output())
    assert f"seed 0 round 2, held by process {NOBODY} on elsewhere since " in child.output()
    assert not begun.with_suffix("").exists()
    os.truncate(begun, 0)  # as a holder does that lets go
    assert child.code() == 0
    assert begun.with_suffix("").is_dir()
    assert "taken over" not in child.output()


@pytest.mark.timeout(90)  # what is not taken over is waited for without end
def test_a_stale_heartbeat_of_another_host_is_taken_over(begun: Path, tmp_path: Path) -> None:
    write(begun, Holder("elsewhere", NOBODY, time.time() - 9999, time.time() - STALE - 1))
    _, recorder = run_here(tmp_path / "out", "pruner=lth")
    (told,) = recorder.notices
    assert told.startswith(f"{begun} was held by process {NOBODY} on elsewhere since ")
    assert told.endswith("silent for more than 120 s: taken over")
    assert recorder.cells == {("lth", 0, 2)}


def test_a_dead_holder_on_this_host_is_no_news(begun: Path, tmp_path: Path) -> None:
    write(begun, Holder(platform.node(), NOBODY, time.time(), time.time()))
    _, recorder = run_here(tmp_path / "out", "pruner=lth")
    assert (recorder.notices, recorder.cells) == ([], {("lth", 0, 2)})


class Impatient(Recorder):
    """Presses Ctrl-C after the first epoch."""

    def epoch(self, *told: object) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_search_lets_go_while_its_traceback_is_kept(begun: Path, tmp_path: Path) -> None:
    """As in a notebook: the same cell is executed again, in the same process."""
    with pytest.raises(KeyboardInterrupt) as kept:
        ticketsearch.run(small("pruner=lth", out=tmp_path / "out"), Impatient())
    assert begun.read_bytes() == b""
    assert run_here(tmp_path / "out", "pruner=lth")[1].cells == {("lth", 0, 2)}
    assert kept.traceback


RUBBISH = {
    "bytes": b"\xff" * 200,
    "zeros": bytes(200),
    "torn": b'{"host": "elsewhere", "pid": 4',
    "a list": b"[1, 2]",
    "no host": b"{}",
    "deep": b"[" * 100_000,
    "nulls": b'{"host": null, "pid": null, "start": null, "heartbeat": null}',
    "no pid": b'{"host": "elsewhere", "pid": Infinity, "start": 0, "heartbeat": 0}',
    "no date": b'{"host": "elsewhere", "pid": 7, "start": 1e300, "heartbeat": 0}',
    "for ever": b'{"host": "elsewhere", "pid": 7, "start": 0, "heartbeat": Infinity}',
    "never": b'{"host": "elsewhere", "pid": 7, "start": NaN, "heartbeat": NaN}',
    "a huge pid": f'{{"host": "{platform.node()}", "pid": {10**30}, "start": 0, "heartbeat": 0}}'.encode(),
}


@pytest.mark.parametrize("content", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_in_a_lock_file_stops_nobody(tmp_path: Path, content: bytes) -> None:
    path, notices = tmp_path / "round-00.lock", []
    path.write_bytes(content)
    assert str(holder(path)) == "None"
    mine = Lock(path)
    assert mine.take(notices.append)
    assert notices == []
    assert holder(path).pid == os.getpid()
    mine.release()
    assert path.read_bytes() == b""


def test_a_run_leaves_every_lock_file_empty(begun: Path, tmp_path: Path) -> None:
    begun.write_bytes(b"\xff" * 200)
    run_here(tmp_path / "out", "pruner=lth")
    found = {path.name: path.read_bytes() for path in tmp_path.glob("out/**/*.lock")}
    assert {"config.lock", "round-00.lock", "round-02.lock", "rewind-0.lock"} <= found.keys()
    assert set(found.values()) == {b""}


def test_a_lock_says_who_holds_it_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "new" / "round-00.lock"
    before, mine, other = time.time(), Lock(path), Lock(path)
    assert mine.take()
    who = holder(path)
    assert (who.host, who.pid, who.alive) == (platform.node(), os.getpid(), True)
    assert before <= who.start <= who.heartbeat <= time.time()
    assert not other.take()
    assert holder(path) == who  # who tries in vain leaves what the holder says
    mine.release()
    assert holder(path) is None
    assert other.take()
    other.release()


def test_the_heart_beats_until_the_lock_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    path = tmp_path / "round-00.lock"
    mine = Lock(path)
    assert mine.take()
    first = holder(path)
    last = wait_for(lambda: (now := holder(path)) and now.heartbeat > first.heartbeat + 0.05 and now, seconds=20)
    assert replace(last, heartbeat=first.heartbeat) == first
    mine.release()
    time.sleep(0.1)
    assert path.read_bytes() == b""


def test_a_heart_stops_beating_before_it_counts_as_stopped() -> None:
    assert 3 * lock.BEAT < STALE  # a beat or two may be lost
