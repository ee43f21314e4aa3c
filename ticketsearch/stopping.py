"""SIGTERM and SIGINT: the first asks the work to end where it can be taken up again, the second ends it at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SHOW_CURSOR = b"\x1b[?25h"


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to end. Nothing that fails on its own catches it: no metric, no run of a sweep.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Asked:
    """What was asked of this process.

    Attributes:
        number: of the signal that came; 0: none.
        deferred: how many pieces of work are going on that look for themselves.
    """

    number = 0
    deferred = 0


_asked = _Asked()


def check() -> None:
    """Raise Stopped if a signal has come: where the work can be taken up again."""
    if _asked.number:
        raise Stopped(_asked.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Within it a signal interrupts nothing: the work calls `check` where it can end. May be nested.

    Raises:
        Stopped: at its end, if a signal has come and the work was done without looking again.
    """
    _asked.deferred += 1
    try:
        yield
    finally:
        _asked.deferred -= 1
    if not _asked.deferred:
        check()


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it the first signal raises Stopped between two instructions, or is left to `check` by what is deferred.

    What is on disk is whole at every moment, so that being interrupted anywhere costs no more than what was computed
    since. The second signal finds what the system does without handlers: the process is gone. Signals that are ignored
    (of a shell's background jobs) stay ignored, and threads other than the first cannot be asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _heeded()
    owner = os.getpid()

    def heard(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            _forked(number)
            return
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        if sys.stdout is not None and sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # whoever ends it at once gets a terminal that can be used
        _asked.number = number
        if not _asked.deferred:
            raise Stopped(number)

    _asked.number = _asked.deferred = 0
    for number in before:
        signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.number = 0


def _heeded() -> dict[signal.Signals, Any]:
    """The signals that are not ignored, and what hears them."""
    return {
        number: handler for number in SIGNALS if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }


def _forked(number: int) -> None:
    """A worker that was forked off leaves Ctrl-C, which reaches the whole group, to the process that it works for."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def second(first: Callable[[], None]) -> Iterator[None]:
    """Within it, after a first signal, another one calls `first` before it ends this process; ignored ones stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        first()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.signal(number, heard) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
