"""Where results go: disks that are full, folders that may only be read, readers that leave, and clocks that jump."""

import ctypes
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Child, folder, rows, run_here, same_runs, small, wait_for

from ticketsearch.cli import main

COMMANDS = {
    "run": small("pruner=random", "schedule.rounds=1"),
    "plan": small("pruner=lth", "--no-probe"),
    "status": [],
    "results": [],
    "plot": ["to={}/figures"],
    "verdict": [],
    "verify": [],
}
some_commands = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in ("run", "status") else [pytest.mark.slow]) for n in COMMANDS]
)


def command(name: str, out: Path) -> list[str]:
    words = [word.format(out.parent) for word in COMMANDS[name]]
    return [sys.executable, "-m", "ticketsearch", name, *words, f"out={out}"]


@some_commands
def test_what_is_printed_goes_to_a_full_disk(name: str, out: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(command(name, out), stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    what, right, attempt = done.stderr.splitlines()
    assert (done.returncode, what) == (4, "error: where this is printed, or a file: No space left on device")
    assert right == "  what was committed is kept; the same command continues"
    assert attempt.startswith(f"  try: ticketsearch {name}")
    assert not list(out.glob("*-random-*/seed-0/round-01"))  # nothing is trained that nobody can be told of
    assert main(["verify", f"out={out}"]) == 0


@some_commands
def test_the_reader_leaves_at_once(name: str, out: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command(name, out), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writer)
    assert done.returncode == 0, done.stderr
    assert not any(word in done.stderr for word in ("error", "Traceback", "Exception", "Broken"))
    assert name != "run" or list(out.glob("*-random-*/seed-0/round-01/manifest.json"))


# Folders that may only be read.


def without_privileges() -> None:
    """From here on the mode of files binds root too, as it does everybody else."""
    if os.geteuid() == 0:
        version_3, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None, use_errno=True).capset(version_3, nothing) == 0


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Nobody may write to these folders within it."""
    for path in folders:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(stat.S_IRWXU)


def test_a_new_run_in_a_folder_that_may_only_be_read_is_refused_before_training(out: Path, tmp_path: Path) -> None:
    with read_only(out):
        child = Child(tmp_path / "log", "run", *small("pruner=random", out=out), prepare=without_privileges)
        assert child.code() == 2
    assert f"error: cannot write to {out}/digits-resnet20-random-" in child.output()
    assert "Permission denied" in child.output()
    assert "epoch" not in child.output()
    assert sorted(path.name.split("-")[2] for path in out.glob("*-*/")) == ["dense", "lth"]


def test_what_may_only_be_read_can_be_looked_at(out: Path, tmp_path: Path) -> None:
    everywhere = [out, *(path for path in out.rglob("*") if path.is_dir())]
    with read_only(*everywhere):
        for name in ("status", "plan", "results", "verify"):
            child = Child(tmp_path / name, name, *COMMANDS[name], f"out={out}", prepare=without_privileges)
            assert child.code() == 0, child.output()


@pytest.mark.slow
def test_a_folder_that_may_no_longer_be_written_stops_a_run_that_the_same_command_goes_on_with(tmp_path: Path) -> None:
    out, words = tmp_path / "out", small("pruner=lth", "schedule.rounds=1", "recipe.epochs=300", "metrics=[accuracy]")
    child = Child(tmp_path / "log", "run", *words, f"out={out}", prepare=without_privileges)
    wait_for(lambda: list(out.glob("*-dense-*/seed-0/round-00.part")))
    seed = folder(out, "dense") / "seed-0"
    with read_only(seed):
        assert child.code() == 4
    told = [line for line in child.output().splitlines() if line.startswith("error: ")]
    assert [line.startswith(f"error: {seed}/") and line.endswith(": Permission denied") for line in told] == [True]
    assert not (seed / "round-00").exists()
    again = Child(tmp_path / "again", "run", *words, f"out={out}")
    assert again.code() == 0
    assert " epoch 1/300" not in again.output().partition(" done: ")[0]  # it goes on
    run_here(tmp_path / "whole", *words)
    same_runs(out, tmp_path / "whole")


# Clocks.


def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written last counts, whatever the clock said."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    for now, more in ((4e9, "schedule.rounds=1"), (1e6, "schedule.rounds=2")):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        run_here(out, "pruner=lth", more, "metrics=[accuracy]")
    monkeypatch.undo()
    run_here(whole, "pruner=lth", "metrics=[accuracy]")
    same_runs(out, whole)
    assert list(rows(out)["round"].unique()) == [0, 1, 2]
