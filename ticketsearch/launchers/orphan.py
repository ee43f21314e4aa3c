"""A run whose launcher is gone ends by itself, so that nobody has to look for it; its next launch goes on with it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LAUNCHER = "TICKETSEARCH_LAUNCHER"
"""The environment variable that names the launcher's process."""
LOOK = 1.0
"""Seconds between two looks."""


@contextmanager
def while_launched() -> Iterator[None]:
    """Within it, a process that a launcher has started sends itself SIGTERM once that launcher is no more."""
    launcher, over = os.environ.get(LAUNCHER, ""), threading.Event()
    if not launcher.isdecimal():
        yield
        return

    def look() -> None:
        while not over.wait(LOOK):
            if os.getppid() != int(launcher):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
