"""The processes of a sweep: each slot runs one job at a time, and a job that fails stops no other."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from ticketsearch.cell import Cell
from ticketsearch.errors import Diverged
from ticketsearch.launchers.board import Board
from ticketsearch.launchers.job import Job, working_on
from ticketsearch.launchers.orphan import LAUNCHER
from ticketsearch.launchers.outcome import Outcome, Running
from ticketsearch.launchers.slot import Slot
from ticketsearch.stopping import second

POLL = 0.1
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class _Process(Running):
    """A job in its slot, and the process that runs it."""

    process: "subprocess.Popen[bytes]" = field(kw_only=True)


class Pool:
    """Jobs on slots.

    Args:
        jobs: in the order in which they are to begin.
        slots: where.
        board: told of what happens.
    """

    def __init__(self, jobs: Sequence[Job], slots: Sequence[Slot], board: Board) -> None:
        self._waiting, self._free, self._board = list(jobs), list(slots), board
        self._running: list[_Process] = []
        self._outcomes: list[Outcome] = []
        self._told = ""

    def run(self) -> list[Outcome]:
        """Run every job that is not done already; what came of each, in the order in which they ended.

        Raises:
            Stopped: this process was asked to end; every job has kept where it was.
        """
        try:
            while self._waiting or self._running:
                self._begin()
                self._end()
                self._board.look(self._running, len(self._waiting))
                time.sleep(POLL)
        except BaseException:
            self._stop()
            raise
        return self._outcomes

    def _begin(self) -> None:
        """Give every free slot a job, one that need not wait for another process while there is such a one."""
        ready = [job for job in self._waiting if not self._must_wait(job)] if self._free else []
        for job in sorted(ready, key=lambda job: job.busy):
            if not self._free:
                return
            if self._must_wait(job):  # for one that has just begun
                continue
            self._waiting.remove(job)
            if job.done:
                self._over(Outcome(job, "there"))
            else:
                self._launch(job, self._free.pop(0))

    def _must_wait(self, job: Job) -> bool:
        """Whether every dense model that it starts from is being trained: in a slot it would only wait for that."""
        ours = frozenset[Cell]().union(*(running.job.untrained for running in self._running))
        theirs = {cell: said for cell in job.untrained - ours if (said := working_on(cell))}
        if not job.dense <= ours | theirs.keys():
            return False
        if theirs:
            self._tell(f"{job.name} waits for its dense model, held by {next(iter(theirs.values()))}")
        return True

    def _tell(self, text: str) -> None:
        """Say whom a job waits for, unless that was said last."""
        if text != self._told:
            self._board.notice(text)
        self._told = text

    def _launch(self, job: Job, slot: Slot) -> None:
        command = job.command(slot.device)
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:
                log.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {slot.name}: {command}\n".encode())
                log.flush()
                since = log.tell()  # before the process, with which the position in the file is shared
                begun = _Process(job, slot, since, process=_process(job, slot, log))
        except OSError as error:
            self._free.append(slot)
            self._over(Outcome(job, "failed", f"{error.filename or 'its process'}: {error.strerror or error}"))
            return
        self._running.append(begun)
        self._board.begin(begun)

    def _end(self) -> None:
        """Take note of every process that has ended."""
        for running in list(self._running):
            code = running.process.poll()
            if code is not None:
                self._running.remove(running)
                self._free.append(running.slot)
                outcome = running.outcome(code)
                self._over(outcome)
                if code == Diverged.exit_code:
                    self._give_up(outcome)

    def _give_up(self, failed: Outcome) -> None:
        """What starts from a dense model that diverges would train it anew to find that out. A job that ended
        otherwise, by a kill or by a GPU without memory, or of which nobody knows which of several models failed, says
        nothing of others.
        """
        lost = failed.job.untrained
        for job in [job for job in self._waiting if len(failed.job.dense) == 1 and job.dense & lost]:
            self._waiting.remove(job)
            self._over(Outcome(job, "failed", f"its dense model fails: {failed.reason}"))

    def _over(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._board.end(outcome)

    def _stop(self) -> None:
        """Ask every process to end and wait until it has; a second signal to this one does not wait."""
        for running in self._running:
            running.process.terminate()
        with second(self._kill):
            for running in self._running:
                running.process.wait()

    def _kill(self) -> None:
        for running in self._running:
            with suppress(OSError):
                running.process.kill()


def _process(job: Job, slot: Slot, log: BinaryIO) -> "subprocess.Popen[bytes]":
    """A fresh Python with the imports of this one; its own session, so that Ctrl-C reaches this process alone."""
    command = [sys.executable, "-P", "-m", "ticketsearch", "run", "--yes", *job.typed, f"device={slot.device}"]
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    env = {**os.environ, "PYTHONPATH": path, LAUNCHER: str(os.getpid()), **slot.env}
    none = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 - the arguments are those that were typed, and no shell reads them
        command, stdin=none, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )
