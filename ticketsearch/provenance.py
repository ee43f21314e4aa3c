"""Where a result was made: command, versions, machine. Recorded, never part of an id."""

import os
import platform
import time
from typing import Any

import torch

from ticketsearch.version import version


def environment(device: torch.device, engine: str = "") -> str:
    """What decides the last digits of numbers: torch's version, the kernels of the device, on a CPU the threads, and
    the engine where it has numbers of its own.
    """
    threads = torch.get_num_threads()
    kernels = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {threads} thread{'s' * (threads > 1)}"
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else kernels
    return f"torch {torch.__version__} on {on}" + (f", {engine}" if engine else "")


def invocation(command: list[str], environment: str, threads: int) -> dict[str, Any]:
    """One line of `invocations.jsonl`."""
    return {
        "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ticketsearch": version(),
        "environment": environment,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "pid": os.getpid(),
        "threads": threads,
    }
