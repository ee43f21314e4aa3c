"""Who works on a cell, what was heard of it last, and which locks nobody holds any more. Imports no torch."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ticketsearch.lock import STALE, Holder
from ticketsearch.processes import state

TAIL = 4096
"""Bytes at the end of a log in which its last lines are looked for."""
Said = Mapping[tuple[str, int, int], tuple[float, str]]
"""(run, seed, round) -> when its log was written last, and its last line."""


@dataclass(frozen=True)
class Work:
    """What a lock file says of its holder, and what is known of that.

    Attributes:
        round: of the cell.
        host: where.
        pid: its process.
        user: whose; "": it has not said.
        since: when it began, in seconds since 1970.
        seen: its last sign of life: a heartbeat, a line of its log, an epoch that was stored.
        state: `working`; `stopped`: it is there and does nothing; `silent`: it is on another host, or is there, and has
            not been heard of for longer than `lock.STALE`; `gone`: it is not there any more.
        last: its last line in the log of a launched run, else the epoch that is stored; "": none is known.
    """

    round: int
    host: str
    pid: int
    user: str
    since: float
    seen: float
    state: Literal["working", "stopped", "silent", "gone"]
    last: str

    @property
    def stale(self) -> bool:
        """Whether the next command may take the cell over."""
        return self.state == "gone" or (self.state == "silent" and not self._here)

    @property
    def _here(self) -> bool:
        return Holder(self.host, self.pid, 0.0, 0.0).here

    def __str__(self) -> str:
        age = f"{max(time.time() - self.seen, 0):.0f} s ago"
        if self.stale:
            left = f"left by process {self.pid} on {self.host}, which is {self.state}, last heard of {age}"
            return f"{left}: the next command takes over"
        how = "" if self.state == "working" else f"{self.state}, "
        return f"{self.user or 'somebody'}, {how}heard of {age}" + (f": {self.last}" if self.last else "")


def work(cell: Path, who: Holder, said: Said, stored: str = "") -> Work:
    """What is known of who holds a cell, or has left a lock that says so.

    Args:
        cell: the folder of the round.
        who: by its own word.
        said: what logs say.
        stored: the last epoch that is stored, in one line.
    """
    seed, round_ = (int(name.partition("-")[2]) for name in (cell.parent.name, cell.name))
    written, line = said.get((cell.parents[1].name, seed, round_), (0.0, ""))
    if written < who.start:  # of a process before it
        written, line = 0.0, ""
    seen = max(who.heartbeat, written, _changed(cell.with_suffix(".part"), who.start))
    return Work(round_, who.host, who.pid, who.user, who.start, seen, _state(who, seen), line or stored)


def _state(who: Holder, seen: float) -> Literal["working", "stopped", "silent", "gone"]:
    if not who.here:  # others go by the heartbeat alone, too
        return "working" if who.alive else "silent"
    if not who.alive:
        return "gone"
    found = state(who.pid, math.inf)
    return "silent" if found == "working" and abs(time.time() - seen) > STALE else found


def _changed(path: Path, since: float) -> float:
    """When a file was written last; 0: before that, or it is not there."""
    try:
        changed = path.stat().st_mtime
    except OSError:
        return 0.0
    return changed if changed >= since else 0.0


def said(out: Path) -> Said:
    """What the logs of launched runs say last of each cell that their ends name."""
    found: dict[tuple[str, int, int], tuple[float, str]] = {}
    for log in out.glob("logs/*.log"):
        try:
            with log.open("rb") as file:
                file.seek(max(file.seek(0, 2) - TAIL, 0))
                lines, written = file.read().decode(errors="replace").splitlines(), log.stat().st_mtime
        except OSError:
            continue
        launched = max((n for n, line in enumerate(lines) if line.startswith("# ")), default=0)
        for line in lines[launched:]:  # what is above was said by an earlier process
            about = re.fullmatch(r"(\S+) seed (\d+) round +(\d+) (.*)", line)
            if about and (key := (about[1], int(about[2]), int(about[3]))):
                found[key] = max(found.get(key, (0.0, "")), (written, about[4]), key=lambda known: known[0])
    return found
