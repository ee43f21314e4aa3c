"""What a job of a sweep is doing, and what came of it."""

import re
import time
from dataclasses import dataclass, field
from typing import Literal

from ticketsearch.launchers.job import Job
from ticketsearch.launchers.slot import Slot


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        job: which.
        state: `done`; `there`: it was done before; or `failed`.
        reason: of a failure, in one line.
        seconds: that it took.
    """

    job: Job
    state: Literal["done", "there", "failed"]
    reason: str = ""
    seconds: float = 0.0

    @property
    def value(self) -> float | None:
        """What a sweeper may maximise (`Job.value`); None of a job that failed."""
        return None if self.state == "failed" else self.job.value()


@dataclass(frozen=True)
class Running:
    """A job in its slot.

    Attributes:
        job: which.
        slot: where.
        since: the byte of its log behind which is what it says now.
        begun: by the monotonic clock, in seconds.
    """

    job: Job
    slot: Slot
    since: int
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """That it has taken so far."""
        return time.monotonic() - self.begun

    @property
    def now(self) -> str:
        """What it says: its last line, without the name of its run."""
        lines = self.job.said(self.since)
        return re.sub(r"^\S+ seed (\d+) round +(\d+)", r"seed \1 round \2", lines[-1]) if lines else "starting"

    def outcome(self, code: int) -> Outcome:
        """What came of it, by the exit code of its process; negative: the signal that killed it."""
        if code == 0:
            return Outcome(self.job, "done", seconds=self.seconds)
        return Outcome(self.job, "failed", self.job.reason(code, self.since), self.seconds)
