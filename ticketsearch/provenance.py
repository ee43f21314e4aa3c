"""Where a result was made: command, versions, machine. Recorded, never part of an id."""

import os
import platform
import time
from importlib.metadata import version
from typing import Any

import torch


def invocation(command: list[str], device: torch.device, threads: int) -> dict[str, Any]:
    """One line of `invocations.jsonl`."""
    return {
        "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ticketsearch": version("ticketsearch"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "pid": os.getpid(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": threads,
    }
