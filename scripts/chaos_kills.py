"""Searches that are killed at random moments, in every phase, and started again until they are finished.

The child tells its phase itself: it wraps what `ticketsearch.runner` calls, and keeps one byte of a file that both
processes map up to date. What it was doing when it died is what that byte says.
"""

import functools
import mmap
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import pandas as pd
from commands import Child, epochs_in, identities, manifests, rows, tickets

COMMAND = (
    "run",
    "model.depth=8",
    "model.width=4",
    "dataset.subset=400",
    "recipe.epochs=6",
    "pruner=lth",
    "schedule.rounds=3",
    "metrics=all",
    "threads=1",
)
CELLS = 4
PHASES = ("other", "drawing", "training", "committing", "evaluating")
LATE = 0.25
"""The share of commands that are killed among those that find everything committed."""
STEP = 0.0002
"""Seconds between two looks at the phase."""


class Board:
    """A file that a child keeps up to date: its phase, and how often it has entered each."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(1 + len(PHASES)))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 0)

    @property
    def phase(self) -> str:
        """What the child does, or did last."""
        return PHASES[self._bytes[0]]

    def entered(self, phase: str) -> int:
        """How often it has begun a phase."""
        return self._bytes[1 + PHASES.index(phase)]

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Say that this is going on; then again what was before."""
        before, self._bytes[0] = self._bytes[0], PHASES.index(phase)
        self._bytes[1 + PHASES.index(phase)] += 1
        try:
            yield
        finally:
            self._bytes[0] = before

    def clear(self) -> None:
        """Nothing has been done yet."""
        self._bytes[:] = bytes(len(self._bytes))


def tell_phases(path: Path) -> None:
    """From here on, this process keeps the board up to date."""
    from ticketsearch import runner
    from ticketsearch.experiment import Experiment

    board, train = Board(path), Experiment.train
    for name, phase in (("draw", "drawing"), ("commit", "committing"), ("evaluate", "evaluating")):
        setattr(runner, name, _told(board, phase, getattr(runner, name)))

    def told(self: Experiment, jobs: Sequence[Any]) -> Iterator[Any]:
        for job in jobs:
            with board.during("training"):
                (trained,) = train(self, [job])
            yield trained

    Experiment.train = told  # type: ignore[method-assign]


def _told(board: Board, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def told(*arguments: Any) -> Any:
        with board.during(phase):
            return function(*arguments)

    return told


@dataclass(frozen=True)
class Content:
    """What a finished search holds, without what depends on the speed of the machine."""

    tickets: dict[str, bytes]
    manifests: dict[str, dict[str, Any]]
    rows: pd.DataFrame

    @classmethod
    def of(cls, out: Path) -> "Content":
        """Read it."""
        return cls(tickets(out), manifests(out), rows(out))

    def differences(self, out: Path) -> list[str]:
        """What a folder holds otherwise."""
        try:
            other = Content.of(out)
        except Exception as error:  # noqa: BLE001 - whatever cannot be read is a difference
            return [f"the results cannot be read: {type(error).__name__}: {error}"]
        found = ["tickets"] * (self.tickets != other.tickets) + ["manifests"] * (self.manifests != other.manifests)
        return [f"{name} differ from the reference" for name in found + ["rows"] * (not self.rows.equals(other.rows))]


@dataclass
class Reference:
    """An uninterrupted search.

    Attributes:
        out: its folder.
        content: what it holds.
        seconds: how long it took, and how long one time of each phase takes.
    """

    out: Path
    content: Content
    seconds: dict[str, float]

    @classmethod
    def make(cls, folder: Path) -> "Reference":
        """Run it twice: the first run warms the fork server and the disk up, the second is the reference."""
        child = Child(folder / "warm.log", *COMMAND, f"out={folder / 'warm'}")
        if child.code(300):
            raise RuntimeError(f"the search fails without being disturbed:\n{child.output()}")
        shutil.rmtree(folder / "warm")
        out, seconds = folder / "reference", dict.fromkeys(PHASES, 0.0)
        board = Board(folder / "reference.board")
        begun = now = time.monotonic()
        tell = functools.partial(tell_phases, folder / "reference.board")
        child = Child(folder / "reference.log", *COMMAND, f"out={out}", prepare=tell)
        while child.process.is_alive():
            time.sleep(STEP)
            before, now = now, time.monotonic()
            seconds[board.phase] += now - before
        if child.code(300):
            raise RuntimeError(f"the search fails without being disturbed:\n{child.output()}")
        each = {phase: seconds[phase] / max(1, board.entered(phase)) for phase in PHASES}
        return cls(out, Content.of(out), each | {"all": now - begun})


@dataclass
class Kills:
    """Searches that are killed.

    Attributes:
        reference: what must come out.
        folder: where they are made; that of a search that went wrong stays.
        seed: of the random moments.
        verify: the exit code of `ticketsearch verify` and what it says.
        phases: how many kills fell in each phase.
        between: how many fell between the first and the last commit.
        searches: how many were brought to their end.
    """

    reference: Reference
    folder: Path
    seed: int
    verify: Callable[[Path], tuple[int, str]]
    phases: Counter[str] = field(default_factory=Counter)
    between: int = 0
    searches: int = 0

    @property
    def count(self) -> int:
        """How many there were."""
        return self.phases.total()

    def search(self, number: int, more: Callable[[], bool]) -> list[str]:
        """One search, killed and continued as long as `more` says so, then finished; what is wrong with it."""
        dice, out = random.Random(f"{self.seed} search {number}"), self.folder / f"search-{number}"  # noqa: S311
        found = list[str]()
        killed = True
        while killed:
            killed = self._start(out, dice if more() else None, found)
        found += self.reference.content.differences(out)
        code, told = self.verify(out)
        found += [f"verify ends with {code} after all is done:\n{told}"] * (code != 0)
        self.searches += 1
        if not found:
            shutil.rmtree(out)
        return [f"seed {self.seed}, search {number} in {out}: {line}" for line in found]

    def _start(self, out: Path, dice: random.Random | None, found: list[str]) -> bool:
        """Start the command once, and kill it if there are dice; whether it was killed before its end."""
        board, seen, done = Board(self.folder / "board"), _touched(out), _committed(out)
        board.clear()
        tell = functools.partial(tell_phases, self.folder / "board")
        (self.folder / "log").unlink(missing_ok=True)  # one that dies at once leaves what its predecessor said
        child = Child(self.folder / "log", *COMMAND, f"out={out}", prepare=tell)
        # Where all is committed, little is left to be disturbed.
        if dice is not None and (len(done) < CELLS or dice.random() < LATE):
            self._wait(child, board, dice, CELLS - len(done))
            child.kill()
        code = child.code(300)
        killed: bool = code < 0
        if killed:
            self.phases[board.phase] += 1
            self.between += 0 < len(_committed(out)) < CELLS
        if not killed and code:
            found.append(f"exit code {code}:\n{child.output()}")
        changed = sorted(name for name, about in seen.items() if _touched(out).get(name) != about)
        found += [f"committed and written again, kill {self.count}: {name}" for name in changed]
        again = {(pruner, round_) for pruner, round_, _ in epochs_in(child.output())} & done
        found += [f"committed and trained again, kill {self.count}: {cell}" for cell in sorted(again)]
        return killed

    def _wait(self, child: Child, board: Board, dice: random.Random, left: int) -> None:
        """Until the moment of the kill: any moment of what is left to do, or any of one phase of one round."""
        seconds = self.reference.seconds
        if dice.random() < 0.5:
            child.process.join(dice.uniform(0, seconds["all"] * (left + 1) / (CELLS + 1)))
            return
        phase = min(PHASES[1:], key=lambda phase: (self.phases[phase], dice.random()))  # one that was hit least
        before = CELLS - left if phase == "evaluating" else 0  # cells that are done are looked at too
        # Most kills are to fall between the first and the last commit: not often in the first cell, and in short leaps.
        time_of_it = before + (dice.choice((1, 2, 2, 2, 3)) if left == CELLS else 1)
        while child.process.is_alive() and board.entered(phase) < time_of_it:
            time.sleep(STEP)
        child.process.join(dice.uniform(0, seconds[phase]))


def _touched(out: Path) -> dict[str, tuple[int, int, int]]:
    """Inode and times of what is committed; what a killed writer has not finished is cleared away later."""
    return {name: about for name, about in identities(out).items() if "/." not in name}


def _committed(out: Path) -> set[tuple[str, int]]:
    """(pruner, round) of every committed cell."""
    found = out.glob("*/seed-0/round-*/manifest.json")
    return {(path.parts[-4].split("-")[2], int(path.parent.name[6:])) for path in found}
