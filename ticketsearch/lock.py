"""Locks between processes: one lock file for each thing that only one of them may write."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None, inside: Path | None = None) -> Iterator[None]:
    """Hold a lock file, and clear away what killed holders left half-written of what it guards.

    Args:
        path: the lock file; it guards what has its name, with another suffix or none.
        waiting: called when another process holds it, before waiting for it.
        inside: a folder that it guards too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        _clear_litter(path.parent, path.stem)
        if inside is not None:
            _clear_litter(inside)
        yield
    finally:
        lock.release()


def _clear_litter(folder: Path, name: str = "") -> None:
    """Remove what killed writers left half-written of `name`, or of anything; the caller holds the lock of it."""
    for left in folder.glob(f".{name}.*" if name else ".*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
