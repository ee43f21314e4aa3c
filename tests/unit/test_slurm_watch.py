"""What is told of tasks in a queue that changes from look to look, by real logs of theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ticketsearch.cell import Cell
from ticketsearch.launchers import cluster, watch
from ticketsearch.launchers.board import Board
from ticketsearch.launchers.cluster import Queued
from ticketsearch.launchers.job import Asked, Job
from ticketsearch.launchers.outcome import Outcome, Running
from ticketsearch.launchers.watch import Task, Watch

RUNS, WAITS = Queued("n1", "None"), Queued("", "Priority")


class Noting(Board):
    """Remembers what happened, in order."""

    def __init__(self) -> None:
        super().__init__(0)
        self.told: list[str] = []

    def notice(self, text: str) -> None:
        self.told.append(text)

    def begin(self, running: Running) -> None:
        self.told.append(f"{running.slot.name} begins {running.job.name}")

    def end(self, outcome: Outcome) -> None:
        self.told.append(f"{outcome.job.name} {outcome.state}")


def task(folder: Path, name: str, number: int, log: str) -> Task:
    """A task whose run has printed this; what stands before `|` is of earlier launches."""
    before, _, now = log.rpartition("|")
    path = folder / f"{name}.log"
    path.write_text(before + now)
    cell = Cell(folder / name, 0, 1)
    job = Job(name, (), (Asked(cell, cell, (), (), None),), (), path)
    return Task(f"7_{number}", job, len(before))


def watched(
    looks: Sequence[Mapping[str, Queued] | None], tasks: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, str], list[str]]:
    """Name -> the reason for which it failed, or its state; and what was told."""
    left, board = list(looks), Noting()
    monkeypatch.setattr(cluster, "queued", lambda: left.pop(0) if left else {})
    monkeypatch.setattr(cluster, "accounted", lambda task: {"7_9": "OUT_OF_MEMORY"}.get(task, ""))
    monkeypatch.setattr(watch, "POLL", 0)
    found = Watch(tasks, board).run()
    return {one.job.name: one.reason or one.state for one in found}, board.told


def test_how_each_ended_is_in_its_log_or_slurms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = "# 2026-01-02 03:04:05 job 7_{} ended with code {}\n"
    logs = {
        "fine": end.format(0, 0),
        "told": "error: before\n|error: no images\n  they go to data\n" + end.format(1, 3),
        "killed": "epoch\n" + end.format(2, 137),
        "again": "error: before\n" + end.format(3, 4) + "|" + end.format(3, 7),
        "limit": "# 2026-01-02 03:04:05 job 7_4 reached its time limit\n" + end.format(4, 75),
        "cancelled": "error: interrupted by SIGTERM\n" + end.format(5, 75),
        "silent": "epoch\n",
        "other": end.format(5, 0),
        "no log": "",
        "accounted": "epoch\n",
        "no signal": "epoch\n" + end.format(10, 128),
        "nor this": "epoch\n" + end.format(11, 255),
        "without a name": end.format(12, 128 + 42),
        "cancelled later": "# 2026-01-02 03:04:05 job 7_13 reached its time limit\n",
    }
    tasks = [task(tmp_path, name, n, log) for n, (name, log) in enumerate(logs.items())]
    (tmp_path / "no log.log").unlink()
    (tmp_path / "slurm").mkdir()
    for number in (5, 6, 13):
        (tmp_path / f"slurm/7_{number}.out").write_text(
            "module loaded\nslurmstepd: error: *** CANCELLED AT noon ***\n\n"
        )
    found, _ = watched([], tasks, monkeypatch)
    nothing = "gone from SLURM's queue, and nothing says why"
    cancelled = "SLURM says slurmstepd: error: *** CANCELLED AT noon ***"
    assert found == {
        "fine": "done",
        "told": "no images",
        "killed": "killed by SIGKILL, by somebody or by a kernel that was out of memory",
        "again": "ended with code 7",
        "limit": "reached its time limit once more than hydra.launcher.max_num_timeout; the same command goes on",
        "cancelled": cancelled,
        "silent": cancelled,
        "other": nothing,
        "no log": nothing,
        "accounted": "SLURM says OUT_OF_MEMORY",
        "no signal": "ended with code 128",
        "nor this": "ended with code 255",
        "without a name": "killed by signal 42",
        "cancelled later": cancelled,
    }


def test_what_begins_waits_and_is_requeued_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = task(tmp_path, "a", 0, "# x job 7_0 ended with code 0\n")
    held = Queued("", "JobHeldAdmin")
    looks = [
        {"7_0": WAITS},
        None,
        {"7_0": RUNS},
        None,
        {"7_0": RUNS},
        {"7_0": WAITS},
        {"7_0": held},
        {"7_0": held},
        {"7_0": RUNS},
    ]
    found, told = watched(looks, [one], monkeypatch)
    assert found == {"a": "done"}
    assert told == [
        "SLURM does not answer; it is asked again",
        "7_0 n1 begins a",
        "7_0 is queued again, and goes on where it was: a",
        "7_0 waits: JobHeldAdmin",
        "7_0 n1 begins a",
        "a done",
    ]


def test_a_log_that_arrives_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems of clusters show on one node what another has written a little later."""
    one = task(tmp_path, "a", 0, "")
    answers = iter([None, {}])

    def queued() -> Mapping[str, Queued]:
        if next(answers, 0) is None:
            return {}
        one.job.log.write_text("# x job 7_0 ended with code 0\n")
        return {}

    monkeypatch.setattr(cluster, "queued", queued)
    monkeypatch.setattr(watch, "POLL", 0)
    (outcome,) = Watch([one], Noting()).run()
    assert outcome.state == "done"


def test_a_dense_model_that_fails_is_no_run_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = "# x job 7_{} ended with code {}\n"
    makers = [replace(task(tmp_path, name, n, end.format(n, 3 * n)), typed=False) for n, name in enumerate(("x", "y"))]
    found, told = watched([], [*makers, task(tmp_path, "run", 2, end.format(2, 0))], monkeypatch)
    assert found == {"run": "done"}
    assert told == ["y: ended with code 3; the runs that start from it try it themselves", "run done"]


def test_an_array_is_called_by_its_number_where_all_of_it_is_meant() -> None:
    queue = ["7_0", "7_1", "8_0", "8_1", "70_0", "9"]
    assert cluster.shortest(["7_0", "7_1", "8_1", "10_0", "8_1"], queue) == ["7", "8_1", "10"]


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Programs that are found before all others."""
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_what_slurm_answers_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "7_0|n1|None\\n7_1||Nodes required|are down\\nslurm: warning\\n"
    commands(tmp_path, monkeypatch, squeue=f"printf '{lines}'", sacct="printf 'CANCELLED by 0\\nCANCELLED\\n'")
    assert cluster.queued() == {"7_0": RUNS, "7_1": Queued("", "Nodes required|are down")}
    assert cluster.accounted("7_0") == "CANCELLED by 0"
    commands(tmp_path, monkeypatch, squeue="exit 1", sacct="echo 'accounting is disabled' >&2; exit 1")
    assert cluster.queued() is None
    assert cluster.accounted("7_0") == ""
    commands(tmp_path, monkeypatch, sbatch="cat > given; echo $* > options; env > env; echo '12;cluster'")
    monkeypatch.chdir(tmp_path)
    for name in ("WAIT", "CLUSTERS", "ARRAY_INX", "NO_REQUEUE", "PARTITION"):
        monkeypatch.setenv(f"SBATCH_{name}", "x")
    assert cluster.submit("it", ["--qos=high"]) == "12"
    assert (tmp_path / "given").read_text() == "it"
    assert (tmp_path / "options").read_text() == "--parsable --qos=high\n"
    sites = [line for line in (tmp_path / "env").read_text().splitlines() if line.startswith("SBATCH_")]
    assert sites == ["SBATCH_PARTITION=x"]  # what a site gives; nothing that the launcher says otherwise


def test_a_silent_sbatch_has_refused_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch="exec sleep 20")
    monkeypatch.setattr(cluster, "_SECONDS", 0.2)
    with pytest.raises(cluster.Unanswered, match="does not answer") as told:
        cluster.submit("it", [])
    assert "may be queued" in told.value.right
    said = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    commands(tmp_path, monkeypatch, sbatch=f"echo '{said}' >&2; exit 1")
    monkeypatch.setattr(cluster, "_SECONDS", 20)
    with pytest.raises(cluster.Unanswered):
        cluster.submit("it", [])
