"""Real signals to real processes: in training, scoring and evaluation, once and twice; the same command goes on."""

import shlex
import signal
import time
from pathlib import Path

import pytest
from commands import Child, folder, identities, run_here, same_runs, small, tickets, wait_for, wrong

from ticketsearch.cli import main
from ticketsearch.part import read_part
from ticketsearch.training.loop import Training

LONGER = ("pruner=lth", "dataset.subset=1200", "recipe.epochs=6", "schedule.rounds=1", "metrics=[accuracy,ticket]")
"""Ten updates an epoch: a round has a middle."""
SOON = 10.0
"""Seconds within which a process that does steps of hundredths of a second has ended, on a busy machine."""


def heeding() -> None:
    """Tests that run in the background have Ctrl-C ignored; a person's command has not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(out: Path, *overrides: str, command: str = "run") -> Child:
    words = small(*overrides, out=out) if command == "run" else [*overrides, f"out={out}"]
    return Child(out.parent / "log", command, *words, prepare=heeding)


def ended(child: Child, command: str, by: str) -> None:
    """Assert that it has said how to go on, and left with 75."""
    assert child.code(SOON) == 75, child.output()
    what, right, attempt = child.output().splitlines()[-3:]
    assert what == "error: interrupted" + f" by {by}" * (by != "SIGINT")
    assert right == "  what was committed is kept; the same command continues"
    assert attempt.startswith(f"  resume with: ticketsearch {command} ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    run_here(out, *LONGER)
    return out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_training_keeps_the_step_and_the_command_that_is_told_goes_on(
    name: str, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    child = started(out, *LONGER)
    wait_for(lambda: " round  1 epoch 2/" in child.output())
    child.signal(signal.Signals[name])
    ended(child, "run", name)
    (part,) = out.glob("*-lth-*/seed-0/round-01.part")
    progress = read_part(part)[0].progress
    assert progress.step >= 20
    assert progress.seconds > 0
    assert wrong(out) == []
    before, attempt = identities(out), child.output().rpartition("ticketsearch ")[2]
    assert main(shlex.split(attempt)) == 0
    assert identities(out).items() > before.items()
    same_runs(out, whole)


def test_status_knows_a_first_epoch_that_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    child = Child(tmp_path / "log", "run", *small(*LONGER, out=out), prepare=one_step_only)
    wait_for((tmp_path / "a step").exists)
    child.signal(signal.SIGTERM)
    time.sleep(0.2)
    (tmp_path / "go on").touch()
    ended(child, "run", "SIGTERM")
    assert main(["status", f"out={out}"]) == 0
    assert "round 0: interrupted, step 1 stored" in capsys.readouterr().out


def one_step_only() -> None:
    """Each step of a training leaves a file and waits for another."""
    step = Training._step

    def slow(self: Training, *arguments: object) -> object:
        found = step(self, *arguments)
        if hasattr(self, "started"):  # no step that is only timed
            here = self.job.checkpoint._cell.run.parents[1]
            (here / "a step").touch()
            while not (here / "go on").exists():
                time.sleep(0.01)
        return found

    Training._step = slow


def test_the_second_signal_ends_at_once_what_the_first_waits_for(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = Child(tmp_path / "log", "run", *small(*LONGER, out=out), prepare=one_step_only)
    wait_for((tmp_path / "a step").exists)
    child.signal(signal.SIGTERM)
    time.sleep(0.2)
    assert child.process.is_alive()  # its step is not over
    child.signal(signal.SIGTERM)
    assert child.code(SOON) == -signal.SIGTERM
    assert "error" not in child.output()
    assert wrong(out) == []
    run_here(out, *LONGER)
    same_runs(out, whole)


def test_a_signal_while_a_ticket_is_drawn_leaves_nothing_half_drawn(tmp_path: Path) -> None:
    """A hundred thousand passes of SynFlow would take minutes."""
    out = tmp_path / "out"
    child = started(out, "pruner=synflow", "pruner.steps=100000", "schedule.rounds=1")
    wait_for(lambda: " round  0 done" in child.output())
    time.sleep(0.3)
    child.signal(signal.SIGTERM)
    ended(child, "run", "SIGTERM")
    assert [path.parts[-3] for path in map(Path, tickets(out))] == ["seed-0"]
    assert not list(folder(out, "synflow").glob("seed-0/round-01*.[!l]*"))  # nothing but the lock's file
    assert wrong(out) == []


def test_a_signal_in_an_evaluation_keeps_the_families_that_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_here(out, "pruner=dense", "metrics=[ticket]")
    more = ("metrics=[accuracy,explanation]", "metrics.explanation.samples=200000", "dataset.sample=200")
    child = started(out, *more, command="evaluate")
    (run,) = out.glob("*-dense-*")
    wait_for(lambda: list(run.glob("seed-0/round-00/metrics/accuracy-*")))
    time.sleep(0.3)
    child.signal(signal.SIGTERM)
    ended(child, "evaluate", "SIGTERM")
    assert wrong(out) == []
    assert not list(run.glob("seed-0/round-00/metrics/explanation-*"))
    before = identities(out)
    assert main(["evaluate", "metrics=[accuracy]", f"out={out}"]) == 0
    assert identities(out) == before


def test_a_signal_ends_a_whole_sweep(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = started(out, "-m", *LONGER, "seed=0,1,2")
    wait_for(lambda: " epoch 2/" in child.output())
    child.signal(signal.SIGTERM)
    ended(child, "run", "SIGTERM")
    assert "[2/3]" not in child.output()
