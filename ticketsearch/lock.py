"""Locks between processes: one lock file for each thing that only one of them may write.

The kernel frees a lock when its holder dies. While it is held, the file says by whom, for people and for processes on
other hosts, where the kernel's word is not always heard (network file systems).
"""

import json
import math
import os
import platform
import pwd
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ticketsearch.processes import state

BEAT, STALE = 30.0, 120.0
"""Seconds between two heartbeats, and without one after which a holder on another host counts as gone."""
_LENGTH = 200


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: host, process, when it began and was last heard of, in seconds since 1970, and its user."""

    host: str
    pid: int
    start: float
    heartbeat: float
    user: str = ""

    @property
    def here(self) -> bool:
        """Whether it is a process of this host."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether it works still, as far as can be told from here; clocks of hosts are taken to agree to a minute."""
        heard = abs(time.time() - self.heartbeat) < STALE
        if not self.here:
            return heard
        return state(self.pid, math.inf if heard else self.start) != "gone"  # its number may be another's by now

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.start))
        return f"process {self.pid} on {self.host} since {since}"


def holder(path: Path) -> Holder | None:
    """Who holds a lock file by its own word; None: nobody, or somebody who has not said so yet."""
    try:
        content = path.read_bytes()
        if not content:  # as most are: who lets go empties it
            return None
        said = json.loads(content)
        times = float(said["start"]), float(said["heartbeat"])
        found = Holder(str(said["host"]), int(said["pid"]), *times, str(said.get("user", "")))
        possible = 0 < found.pid < 2**31 and math.isfinite(found.heartbeat) and str(found)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return found if possible else None


class Lock:
    """A lock that says who holds it.

    Args:
        path: the lock file; it guards what has its name, with another suffix or none.
        inside: a folder that it guards too.
    """

    def __init__(self, path: Path, inside: Path | None = None) -> None:
        self.path, self._inside = path, inside
        self._file = FileLock(path, fallback_to_soft=False)  # its fallback would keep notes of its own in the file
        self._released, self._heart = threading.Event(), threading.Thread()

    def take(self, notice: Callable[[str], None] = lambda text: None) -> bool:
        """Take the lock, and clear away what killed holders left half-written of what it guards.

        Args:
            notice: told, in one line, when a holder on another host is taken to be gone.

        Returns:
            Whether it is held now; False while another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = holder(self.path)
        elsewhere = before is not None and not before.here
        if elsewhere and before.alive:  # type: ignore[union-attr]
            return False
        try:
            self._file.acquire(timeout=0)
        except Timeout:
            return False
        if elsewhere:
            notice(f"{self.path} was held by {before}, which has been silent for more than {STALE:.0f} s: taken over")
        clear_litter(self.path.parent, self.path.stem)
        if self._inside is not None:
            clear_litter(self._inside)
        self._sign(time.time())
        return True

    def release(self) -> None:
        """Let go."""
        self._released.set()
        self._heart.join()
        with suppress(OSError):
            os.truncate(self.path, 0)
        self._file.release()

    def _sign(self, start: float) -> None:
        """Say who holds it, now and with every heartbeat until it is released."""
        self._write(start)
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(start,), daemon=True)
        self._heart.start()

    def _beat(self, start: float) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):  # the work goes on; other hosts may take it for dead, and say so
                self._write(start)

    def _write(self, start: float) -> None:
        """Overwrite the record in place, at a constant length, so that a reader finds the old one or the new one."""
        said = json.dumps(asdict(Holder(platform.node(), os.getpid(), start, time.time(), _user())))
        file = os.open(self.path, os.O_WRONLY)
        try:
            os.ftruncate(file, os.write(file, f"{said:<{_LENGTH - 1}}\n".encode()))  # whatever was behind it goes
        finally:
            os.close(file)


def _user() -> str:
    """The name of this process's user, or its number where it has no name, as in many containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@contextmanager
def locked(path: Path, notice: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold a lock file for a moment; waits for its holder.

    Args:
        path: as of `Lock`.
        notice: told, in one line, for whom it waits if that takes more than a second, and of what `Lock.take` tells.
    """
    lock, begun, told = Lock(path), time.monotonic(), False
    while not lock.take(notice):
        if not told and time.monotonic() - begun > 1:
            notice(f"waiting for {path}, held by {holder(path) or 'another process'}")
            told = True
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def clear_litter(folder: Path, name: str = "") -> None:
    """Remove what killed writers left half-written of `name`, or of anything; the caller holds the lock of it."""
    for left in folder.glob(f".{name}.*" if name else ".*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
