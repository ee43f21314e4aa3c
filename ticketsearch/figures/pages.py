"""Pages drawn side by side, on as many processors as there are."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FEWEST = 4
"""Pages for which it is worth while to start processes."""

_own: list[Callable[[int], list[Path]]] = []
"""What a forked process draws with."""


def side_by_side(draw: Callable[[int], list[Path]], count: int) -> list[Path]:
    """Draw pages, several at a time where that is safe and worth while.

    Processes are forked, so that nothing has to be sent to them; hence on Linux alone, and only where no other thread
    of Python's could hold a lock. Elsewhere, and for few pages, they are drawn one after the other.

    Args:
        draw: writes the page of that number, and returns its files.
        count: how many pages.

    Returns:
        All files, in the order of the pages.
    """
    processors = min(len(os.sched_getaffinity(0)), count) if sys.platform == "linux" else 1
    if count < FEWEST or processors < 2 or threading.active_count() > 1 or multiprocessing.parent_process():
        return [path for page in range(count) for path in draw(page)]
    forked = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processors, forked, initializer=_own.append, initargs=(draw,)) as pool:
        return [path for paths in pool.map(_page, range(count)) for path in paths]


def _page(number: int) -> list[Path]:
    return _own[-1](number)
