"""What lies beside a store, or is missing from it, and what only looks like damage."""

import errno
import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from commands import folder, run_here, small, wrong

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.console import Display
from ticketsearch.lock import STALE, Holder, locked
from ticketsearch.part import read_part
from ticketsearch.seal import digest, unsealed, verified
from ticketsearch.store import RewindPoint
from ticketsearch.training.state import Progress, TrainState


class Stopped(Display):
    """Presses Ctrl-C as soon as something of the round in progress is stored."""

    def epoch(self, cell: Cell, record: object, epochs: int) -> None:
        if cell.part.exists():
            raise KeyboardInterrupt


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
def test_what_cannot_be_read_just_now_is_not_damage(
    out: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Root may read everything, so that the refusal of the system is put in place of the reading of one file."""
    path, read = folder(out, "lth") / "seed-0/round-01/ticket.safetensors", Path.read_bytes

    def refused(self: Path) -> bytes:
        if self == path:
            raise OSError(number, "not now", str(self))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(OSError, match="not now"):
        verified(path, "")
    with pytest.raises(OSError, match="not now"):
        run_here(out, "pruner=lth")
    assert main(["verify", f"out={out}"]) == 6
    assert str(path) in capsys.readouterr().out
    assert not (folder(out, "lth") / "aside").exists()
    monkeypatch.undo()
    assert wrong(out) == []


def test_a_rewind_point_of_another_training_is_set_aside(tmp_path: Path) -> None:
    point = RewindPoint(tmp_path / "run" / "seed-0" / "rewind-8")
    states = [
        TrainState({"w": torch.full((2,), float(k))}, {"w": torch.zeros(2)}, {}, Progress(step=8)) for k in (0, 1)
    ]
    for state in (states[0], states[0], states[1]):
        point.keep(state)
    assert torch.equal(point.read()[0]["w"], torch.ones(2))
    (aside,) = (tmp_path / "run" / "aside").glob("*/")
    assert torch.equal(RewindPoint(aside).read()[0]["w"], torch.zeros(2))


def test_a_round_in_progress_says_where_it_started_from(tmp_path: Path) -> None:
    """Else it would be continued after its rewind point was replaced by another."""
    longer = small("pruner=dense", "recipe.epochs=9", out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        ticketsearch.run(longer, Stopped())
    cell = Cell(folder(tmp_path / "out", "dense"), 0, 0)
    belongs = read_part(cell.part)[1]
    ticketsearch.run(longer)
    assert belongs["start"] == cell.manifest["start"]


@pytest.mark.parametrize(
    "name", ["seed-0.bak", *(pytest.param(name, marks=pytest.mark.slow) for name in ("seed-x", "notes"))]
)
def test_other_folders_are_left_alone(out: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    run = folder(out, "lth")
    shutil.copytree(run / "seed-0", run / name)
    shutil.copytree(run / "seed-0" / "round-01", run / "seed-0" / "round-01.bak")
    for command in ("verify", "status", "evaluate", "results"):
        assert main([command, f"out={out}"]) == 0, capsys.readouterr()
    assert (run / name / "round-02" / "manifest.json").exists()


def test_evaluate_needs_the_dense_run_and_creates_nothing(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lth = folder(out, "lth")
    shutil.copytree(lth, tmp_path / "alone" / lth.name)
    assert main(["evaluate", f"out={tmp_path / 'alone'}"]) == 2
    assert "copy that folder beside it" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "alone").iterdir()] == [lth.name]


def test_a_damaged_or_renamed_run_does_not_keep_others_from_being_measured(
    out: Path, capsys: pytest.CaptureFixture
) -> None:
    run_here(out, "pruner=random", "metrics=[accuracy]")
    random, lth = folder(out, "random"), folder(out, "lth")
    (lth / "config.yaml").write_bytes((lth / "config.yaml").read_bytes() + b"#")
    assert main(["evaluate", f"out={out}", f"run={random.name}", "metrics=[ticket]"]) == 0
    assert len(list(random.glob("seed-0/*/metrics/ticket-*"))) == 2
    lth.rename(out / "a-first")
    capsys.readouterr()
    assert main(["evaluate", f"out={out}", "metrics=[calibration]"]) == 6
    assert len(list(random.glob("seed-0/*/metrics/calibration-*"))) == 2


@pytest.mark.parametrize(("ahead", "alive"), [(0, True), (-STALE - 1, False), (STALE + 1, False), (1e9, False)])
def test_a_clock_that_is_far_ahead_keeps_nobody_waiting(ahead: float, alive: bool) -> None:
    assert Holder("elsewhere", 7, 1.0, time.time() + ahead).alive == alive


def test_waiting_for_a_short_lock_is_told_too(tmp_path: Path) -> None:
    path, told = tmp_path / "config.lock", list[str]()
    record = {"host": "elsewhere", "pid": 7, "start": 1.0, "heartbeat": time.time() - STALE + 2}
    path.write_text(json.dumps(record))
    with locked(path, told.append):
        pass
    assert len(told) == 2
    assert told[0].startswith(f"waiting for {path}, held by process 7 on elsewhere")
    assert "taken over" in told[1]


def test_outputs_of_an_older_format_are_refused_and_left_alone(out: Path, capsys: pytest.CaptureFixture) -> None:
    """They are whole, and would be lost time if they were taken for damaged and trained again."""
    for path in out.glob("*/seed-0/*/manifest.json"):
        content = unsealed(path) | {"format": 1}
        path.write_text(json.dumps(content | {"check": digest(content)}, sort_keys=True, indent=1) + "\n")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(["run", *small("pruner=lth", out=out)]) == 2
    assert "is of format 1, and this version reads format 3" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert main(["verify", f"out={out}"]) == 6
