"""What cannot be used is moved into `aside/` of its run, with the reason beside it. Nothing is deleted."""

import os
from itertools import count
from pathlib import Path

from ticketsearch.files import sync_folder, write_atomic


def set_aside(run: Path, path: Path, why: str) -> Path:
    """Move a file or folder out of the way; the caller holds the lock of it.

    Args:
        run: the run's folder.
        path: what to move, somewhere within it.
        why: one line, kept beside it as `.txt`.

    Returns:
        Where it is now: `aside/seed-0-round-03.1`, the number being the first that is free.
    """
    folder = run / "aside"
    folder.mkdir(exist_ok=True)
    name = "-".join(path.relative_to(run).parts)
    target = next(place for number in count(1) if not (place := folder / f"{name}.{number}").exists())
    os.rename(path, target)
    sync_folder(path.parent)
    write_atomic(target.with_name(f"{target.name}.txt"), f"{why}\n".encode())
    return target
