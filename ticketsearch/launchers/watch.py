"""The tasks of a sweep in SLURM's queue: which run, which wait and why, and what came of each."""

import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketsearch.launchers import cluster
from ticketsearch.launchers.batch import ENDED, LIMIT, beside
from ticketsearch.launchers.board import Board
from ticketsearch.launchers.cluster import Queued
from ticketsearch.launchers.job import Job
from ticketsearch.launchers.outcome import Outcome, Running
from ticketsearch.launchers.slot import Slot

POLL = 10.0
"""Seconds between two looks at the queue: SLURM's controller has other users."""
USUAL = ("None", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit", "Cleaning")
"""Reasons to wait that pass by themselves; the others are told."""
_STOPPED = 75
_SIGNALLED = 128


@dataclass(frozen=True)
class Task:
    """A job in SLURM.

    Attributes:
        id: JOB_TASK.
        job: which.
        since: the byte of its log behind which it writes.
        typed: whether it is a run that was asked for; else it makes a dense model for such.
    """

    id: str
    job: Job
    since: int
    typed: bool = True

    @property
    def printed(self) -> Path:
        """What SLURM writes itself."""
        return beside(self.job) / f"{self.id}.out"


class Watch:
    """Waits for tasks.

    Args:
        tasks: that are queued.
        board: told of what happens.
    """

    def __init__(self, tasks: Sequence[Task], board: Board) -> None:
        self._left, self._board = list(tasks), board
        self._running: dict[Task, Running] = {}
        self._outcomes: list[Outcome] = []
        self._gone: set[Task] = set()
        self._told: set[str] = set()

    def run(self) -> list[Outcome]:
        """What came of each run that was asked for, in the order in which they ended.

        Raises:
            Stopped: this process was asked to end; the tasks go on.
        """
        while self._left:
            queue = cluster.queued()
            if queue is None:
                self._tell("", "SLURM does not answer; it is asked again")
            else:
                self._look(queue)
            self._board.look(list(self._running.values()), len(self._left) - len(self._running))
            if self._left:
                time.sleep(POLL)
        return self._outcomes

    def _look(self, queue: Mapping[str, Queued]) -> None:
        for task in list(self._left):
            about = queue.get(task.id)
            if about is None:
                self._end(task)
            elif about.node:
                self._begin(task, about.node)
            else:
                self._wait(task, about.reason)

    def _begin(self, task: Task, node: str) -> None:
        if task not in self._running:
            self._running[task] = Running(task.job, Slot(f"{task.id} {node}", "", {}), task.since)
            self._board.begin(self._running[task])

    def _wait(self, task: Task, reason: str) -> None:
        """It is in the queue: still, or again."""
        if self._running.pop(task, None):
            self._board.notice(f"{task.id} is queued again, and goes on where it was: {task.job.name}")
        if reason not in USUAL:
            self._tell(reason, f"{task.id} waits: {reason}")

    def _end(self, task: Task) -> None:
        """It has left the queue; what it has said on another node may take a moment to be seen here."""
        ended = _ended(task)
        if ended is None and task not in self._gone:
            self._gone.add(task)
            return
        running = self._running.pop(task, None) or Running(task.job, Slot(task.id, "", {}), task.since)
        self._left.remove(task)
        outcome = self._outcome(task, running, ended)
        if task.typed:
            self._outcomes.append(outcome)
            self._board.end(outcome)
        elif outcome.reason:
            self._board.notice(f"{task.job.name}: {outcome.reason}; the runs that start from it try it themselves")

    def _outcome(self, task: Task, running: Running, code: int | None) -> Outcome:
        if code == 0 or (code is None and task.job.done):
            return running.outcome(0)
        if code is None or code == _STOPPED:
            return Outcome(task.job, "failed", self._reason(task, code), running.seconds)
        return running.outcome(_SIGNALLED - code if code - _SIGNALLED in signal.valid_signals() else code)

    def _reason(self, task: Task, code: int | None) -> str:
        """Why a task was ended from outside; one that was requeued at its limit has told of no code."""
        lines = task.job.said(task.since)
        if code is not None and any(f" job {task.id} {LIMIT}" in line for line in lines[-2:]):
            return "reached its time limit once more than hydra.launcher.max_num_timeout; the same command goes on"
        slurms = _lines(task.printed)
        said = [text for text in (cluster.accounted(task.id), *slurms[-1:]) if text]
        return f"SLURM says {'; '.join(said)}" if said else "gone from SLURM's queue, and nothing says why"

    def _tell(self, why: str, text: str) -> None:
        """Say why something waits, of the first that does."""
        if why not in self._told:
            self._board.notice(text)
        self._told.add(why)


def _ended(task: Task) -> int | None:
    """The exit code of which its script has told last; None: of none."""
    lines = task.job.said(task.since)
    said = re.fullmatch(rf"# .* job {task.id} {ENDED} (\d+)", lines[-1]) if lines else None
    return int(said[1]) if said else None


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return []
