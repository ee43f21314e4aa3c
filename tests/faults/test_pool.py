"""Slots, order, failures and signals of a sweep's processes: real ones, of a shell that takes no time to start."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from commands import wait_for

from ticketsearch.cell import Cell
from ticketsearch.launchers import pool
from ticketsearch.launchers.board import Board
from ticketsearch.launchers.job import Asked, Job, own_dense_first
from ticketsearch.launchers.outcome import Outcome, Running
from ticketsearch.launchers.pool import Pool
from ticketsearch.launchers.slot import Slot
from ticketsearch.stopping import Stopped, stoppable

SLOTS = [Slot("cpu/1", "cpu", {"SLOT": "1"}), Slot("cpu/2", "cpu", {"SLOT": "2"})]


class Noting(Board):
    """Remembers which jobs have begun, and what was said."""

    def __init__(self) -> None:
        super().__init__(0)
        self.begun: list[str] = []
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def begin(self, running: Running) -> None:
        self.begun.append(running.job.name)


@pytest.fixture(autouse=True)
def shells(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job types is run by a shell, in the slot's environment."""

    def process(job: Job, slot: Slot, log: BinaryIO) -> "subprocess.Popen[bytes]":
        command = ["sh", "-c", *job.typed]
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **slot.env}, start_new_session=True)

    monkeypatch.setattr(pool, "_process", process)
    monkeypatch.setattr(pool, "POLL", 0.01)


def job(folder: Path, name: str, script: str, dense: str | None = None) -> Job:
    cell, start = Cell(folder / name, 0, 1), Cell(folder / (dense or f"dense-{name}"), 0, 0)
    asked = Asked(cell, start, (), (), None)
    return Job(name, (script,), (asked,), (cell,), folder / "logs" / f"{name}.log")


def ran(jobs: Sequence[Job], slots: Sequence[Slot] = SLOTS) -> tuple[dict[str, Outcome], Noting]:
    board = Noting()
    return {outcome.job.name: outcome for outcome in Pool(jobs, slots, board).run()}, board


def test_each_slot_has_one_process_at_a_time_and_none_is_idle(tmp_path: Path) -> None:
    script = f"date +'%s.%N begin '$SLOT >> {tmp_path}/times; sleep 0.1; date +'%s.%N end '$SLOT >> {tmp_path}/times"
    found, _ = ran([job(tmp_path, f"job{n}", script) for n in range(6)])
    assert [outcome.state for outcome in found.values()] == ["done"] * 6
    times = sorted(
        (float(t), what, slot) for t, what, slot in map(str.split, (tmp_path / "times").read_text().splitlines())
    )
    for slot in "12":
        assert [what for _, what, where in times if where == slot] == ["begin", "end"] * 3


def test_jobs_begin_with_distinct_dense_models_and_nobody_waits_for_one_in_a_slot(tmp_path: Path) -> None:
    dense = tmp_path / "dense-x/seed-0/round-00"
    ready = f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; sleep 0.2; mkdir -p {dense}; sleep 0.3"
    typed = [
        ("a", ready, "dense-x"),
        ("b", f"test -d {dense}", "dense-x"),
        ("c", "true", "dense-y"),
        ("d", f"touch {tmp_path}/go", None),
    ]
    jobs = [job(tmp_path, *words) for words in typed]
    assert [one.name for one in own_dense_first([*jobs, jobs[1]])] == ["a", "c", "d", "b"]
    found, board = ran(own_dense_first(jobs))
    assert board.begun == ["a", "c", "d", "b"]
    assert {outcome.state for outcome in found.values()} == {"done"}
    assert list(found) == ["c", "d", "b", "a"]  # b began as soon as there was its dense model, beside a


def test_what_others_are_working_on_comes_last(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, "true") for name in ("a", "b")]
    lock = jobs[0].asked[0].cell.lock()
    assert lock.take()
    try:
        assert ran(jobs, SLOTS[:1])[1].begun == ["b", "a"]
    finally:
        lock.release()


def test_a_dense_model_that_another_process_trains_is_waited_for(tmp_path: Path) -> None:
    waits = job(tmp_path, "a", "true", "dense-x")
    lock = waits.asked[0].dense.lock()
    assert lock.take()
    release = threading.Timer(0.5, lock.release)
    release.start()
    found, board = ran([waits])
    release.join()
    assert found["a"].seconds < 0.45
    assert board.notices[0].startswith("a waits for its dense model, held by process ")
    assert len(board.notices) == 2  # said once, and that it is done


@pytest.mark.parametrize(
    ("script", "others"),
    [
        ("echo 'error: the loss became nan'; exit 7", "its dense model fails: the loss became nan"),
        ("echo 'error: OutOfMemoryError'; exit 4", ""),  # others may have left the GPU by then
        ("kill -9 $$", ""),
        ("exit 3", ""),
        ("mkdir -p {}; echo 'error: nan in the ticket'; exit 7", ""),  # of its ticket: the dense model is there
    ],
)
def test_a_dense_model_that_fails_is_not_trained_by_each_that_starts_from_it(
    tmp_path: Path, script: str, others: str
) -> None:
    dense = tmp_path / "dense-x/seed-0/round-00"
    jobs = [job(tmp_path, "a", script.format(dense), "dense-x"), job(tmp_path, "b", "true", "dense-x")]
    found, board = ran([*jobs, job(tmp_path, "c", "true", "dense-x"), job(tmp_path, "d", "true")], SLOTS[:1])
    assert [found[name].reason for name in "bcd"] == [others, others, ""]
    assert board.begun == (["a", "d"] if others else ["a", "b", "c", "d"])


def test_of_several_dense_models_nobody_knows_which_has_failed(tmp_path: Path) -> None:
    first, second = (job(tmp_path, "a", "exit 7", dense) for dense in ("dense-x", "dense-y"))
    both = Job("both", ("exit 7",), (*first.asked, *second.asked), first.last, first.log)
    found, _ = ran([both, job(tmp_path, "b", "true", "dense-y")], SLOTS[:1])
    assert (found["both"].state, found["b"].state) == ("failed", "done")


def test_failures_stop_no_other_and_say_why(tmp_path: Path) -> None:
    scripts = {
        "told": "echo 'error: no images'; echo '  they go to data'; exit 3",
        "killed": "kill -9 $$",
        "crashed": "kill -SEGV $$",
        "silent": "exit 7",
        "fine": "true",
    }
    found, _ = ran([job(tmp_path, name, script) for name, script in scripts.items()], SLOTS[:1])
    assert {name: outcome.reason for name, outcome in found.items()} == {
        "told": "no images",
        "killed": "killed by SIGKILL, by somebody or by a kernel that was out of memory",
        "crashed": "killed by SIGSEGV",
        "silent": "ended with code 7",
        "fine": "",
    }
    assert [name for name, outcome in found.items() if outcome.state == "done"] == ["fine"]


def test_a_reason_is_of_this_launch_and_the_log_of_all(tmp_path: Path) -> None:
    ran([job(tmp_path, "a", "echo 'error: before'; exit 4")])
    found, _ = ran([job(tmp_path, "a", "exit 4")])
    assert found["a"].reason == "ended with code 4"
    log = found["a"].job.log.read_text()
    assert re.fullmatch(r"(# \S+ \S+ cpu/1: ticketsearch run .* device=cpu\n(error: before\n)?){2}", log)


def test_a_log_that_cannot_be_written_is_a_failure_of_its_job(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, "true") for name in ("a", "b")]
    jobs[0].log.mkdir(parents=True)
    found, _ = ran(jobs)
    assert found["a"].reason == f"{jobs[0].log}: Is a directory"
    assert found["b"].state == "done"


def stopped(jobs: Sequence[Job], *waits: float) -> None:
    """Run jobs, and send this process SIGTERM after each of these seconds."""

    def send() -> None:
        for seconds in waits:
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with stoppable():
            Pool(jobs, SLOTS, Noting()).run()
    finally:
        sender.join()


def test_a_signal_is_passed_on_and_what_it_keeps_is_waited_for(tmp_path: Path) -> None:
    script = "trap 'sleep 0.3; echo kept; exit 75' TERM; while true; do sleep 0.01; done"
    jobs = [job(tmp_path, name, script) for name in ("a", "b", "c")]
    with pytest.raises(Stopped):
        stopped(jobs, 0.3)
    assert [one.said()[-1] for one in jobs[:2]] == ["kept"] * 2
    assert not jobs[2].log.exists()


def test_the_second_signal_kills(tmp_path: Path) -> None:
    """In a process of its own, which it ends too."""
    jobs = [job(tmp_path, "a", f"trap '' TERM; echo $$ > {tmp_path}/pid; while true; do sleep 0.01; done")]
    child = os.fork()
    if child == 0:
        stopped(jobs, 0.5, 0.5)
        os._exit(1)
    _, code = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(code) == -signal.SIGTERM
    number = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{number}").exists() or " Z " in Path(f"/proc/{number}/stat").read_text(), 5)
