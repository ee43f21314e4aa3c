"""How tests run ticketsearch: in this process, in a process of its own, or in a fork of a warm one; and what they
compare afterwards.
"""

import atexit
import hashlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import ticketsearch
from ticketsearch.console import Display
from ticketsearch.verify import verify

MEASURED = ("accuracy", "calibration", "corruption", "fgsm", "ood", "pgd", "ticket")
FAMILIES = f"metrics=[{','.join(MEASURED)}]"
"""Without the families that look at a network's geometry, which take seconds a ticket: their own tests run them."""

SMALL = ("model.depth=8", "model.width=4", "dataset.subset=100", "recipe.epochs=2", "schedule.rounds=2", FAMILIES)
"""One update an epoch: a round takes a few hundredths of a second."""


def small(*overrides: str, out: Path | None = None) -> list[str]:
    """Overrides on top of `SMALL`; those of the same key replace it."""
    asked = {text.partition("=")[0] for text in overrides}
    kept = [text for text in SMALL if text.partition("=")[0] not in asked]
    return [*kept, *overrides, *([] if out is None else [f"out={out}"])]


class Recorder(Display):
    """Remembers what was trained, as (run, seed, round, epoch), and the notices."""

    def __init__(self) -> None:
        self.epochs: list[tuple[str, int, int, int]] = []
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def epoch(self, cell: Any, record: Mapping[str, float], epochs: int) -> None:
        self.epochs.append((cell.run.name, cell.seed, cell.round, int(record["epoch"])))

    @property
    def cells(self) -> set[tuple[str, int, int]]:
        """(pruner, seed, round) of what was trained."""
        return {(run.split("-")[2], seed, round_) for run, seed, round_, _ in self.epochs}


def run_here(out: Path, *overrides: str) -> tuple[Path, Recorder]:
    """A small run in this process: its folder and what it trained."""
    recorder = Recorder()
    return ticketsearch.run(small(*overrides, out=out), recorder), recorder


def typed(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """What a person types, in a process of its own."""
    command = [sys.executable, "-m", "ticketsearch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


class Child:
    """A command in a real process. It is forked from one that has the imports done, so that it starts in no time."""

    def __init__(self, log: Path, *arguments: str, prepare: Callable[[], None] | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["ticketsearch.runner", "sklearn.datasets", "commands"])
        self.log = log
        self.process = context.Process(target=_command, args=(log, arguments, prepare))
        self.process.start()
        atexit.register(self.process.kill)  # a test that fails leaves nobody behind, not even one that is stopped

    def output(self) -> str:
        """What it has printed so far, errors included."""
        return self.log.read_text() if self.log.exists() else ""

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, unless it is done already."""
        self.process.kill()
        self.process.join()

    def code(self, seconds: float = 60) -> int:
        """Wait for its exit code; negative: the signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running:\n{self.output()}"
        return self.process.exitcode


def _command(log: Path, arguments: tuple[str, ...], prepare: Callable[[], None] | None) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    if prepare is not None:
        prepare()
    sys.argv = ["ticketsearch", *arguments]
    from ticketsearch.cli import main

    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `what`, asked every millisecond."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)
    return found


def killed_at(call: int) -> None:
    """From here on, this process kills itself (-9) instead of its `call`-th fsync, rename or replace."""
    left = [call]
    for name in ("fsync", "rename", "replace"):
        setattr(os, name, _counted(getattr(os, name), left))


def _counted(function: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return counted


def tickets(out: Path) -> dict[str, bytes]:
    """The bytes of every stored ticket."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.glob("*/seed-*/round-*/ticket.safetensors"))
    }


def folder(out: Path, pruner: str) -> Path:
    """The only run of a pruner."""
    (found,) = out.glob(f"*-{pruner}-*")
    return found


def sha_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def identities(out: Path) -> dict[str, tuple[int, int, int]]:
    """Inode and times of every stored ticket and its folder's manifest: a cell made again would have others. What a
    killed writer has not finished, and begins with a dot, is none.
    """
    found = [*out.glob("*/seed-*/round-*/ticket.safetensors"), *out.glob("*/seed-*/[!.]*-*/manifest.json")]
    return {str(path.relative_to(out)): _identity(path) for path in found}


def _identity(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_ino, about.st_mtime_ns, about.st_size


def manifests(out: Path) -> dict[str, dict[str, Any]]:
    """Of every cell's manifest what does not depend on the machine's speed."""
    found = {str(path.parent.relative_to(out)): json.loads(path.read_text()) for path in out.glob("*/*/round-*/man*")}
    return {cell: {key: about[key] for key in ("kept", "total", "source", "start")} for cell, about in found.items()}


def rows(out: Path) -> pd.DataFrame:
    """Every row but those of speed, without the columns that count writings and seconds."""
    found = ticketsearch.load_results(out)
    found = found[found.family != "speed"].drop(columns=["seconds", "sequence"])
    return found.sort_values(list(found.columns[:-1]), ignore_index=True)


def same_runs(out: Path, other: Path) -> None:
    """Assert that two folders of runs hold the same tickets, manifests and rows, bit for bit."""
    assert tickets(out) == tickets(other)
    assert manifests(out) == manifests(other)
    pd.testing.assert_frame_equal(rows(out), rows(other), check_exact=True)


def epochs_in(output: str) -> list[tuple[str, int, int]]:
    """(pruner, round, epoch) of each epoch that a plain output tells of."""
    found = re.findall(r"^\S+?-\S+?-(\S+?)-\w{8} seed \d+ round +(\d+) epoch (\d+)/", output, re.M)
    return [(pruner, int(round_), int(epoch)) for pruner, round_, epoch in found]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path: Path) -> None:
    """Cut the end of a file off."""
    path.write_bytes(path.read_bytes()[:-7])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b"") and None,
    "missing": Path.unlink,
}
"""What can happen to a file."""


def wrong(out: Path) -> list[str]:
    """What `verify` finds."""
    return [line for checked in verify(out) for line in checked.wrong]
