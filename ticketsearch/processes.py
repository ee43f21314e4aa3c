"""What the system says of a process of this host: whether it is there, is stopped, and is the one that is meant."""

import os
import time
from pathlib import Path
from typing import Literal

State = Literal["working", "stopped", "gone"]
_AGREE = 2.0
"""Seconds to which the beginning of a process, counted from that of the system, agrees with the clock."""


def state(pid: int, since: float) -> State:
    """What has become of a process.

    Args:
        pid: its number.
        since: when it was there, in seconds since 1970; a process that began later has its number and is another one.
            Infinity: whichever it is.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    try:
        _, _, said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")  # its name may hold anything
        letter, began = said.split()[0], int(said.split()[19]) / os.sysconf("SC_CLK_TCK")
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)  # a container may say another uptime
    except (OSError, ValueError, IndexError, AttributeError):  # a system without /proc; or it ended just now
        return "working"
    if letter in "ZX" or booted + began > since + _AGREE:
        return "gone"
    return "stopped" if letter in "Tt" else "working"
