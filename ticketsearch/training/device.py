"""Where and with how many threads to train."""

import os
import re

import torch

from ticketsearch.errors import UsageError

SMALL = 2e9
"""Multiply-adds in one step's forward pass below which a second thread costs more than it gives; see `choose_threads`.
"""


def choose_device(name: str) -> torch.device:
    """The device that `device=NAME` means; `auto` is the first GPU, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    right = "choose auto, cpu, or a GPU such as cuda:0"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"no device {name!r}", right, "ticketsearch run device=cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"no device {name!r} here: {reason}", right, "ticketsearch run device=cpu") from error
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # streams and graphs are made on the current one
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32
        torch.backends.cudnn.deterministic = True
    return device


def choose_threads(asked: int | None, macs_per_step: float) -> int:
    """The number of threads to train with: what is asked, else one for small networks and every core for others, or as
    many as OMP_NUM_THREADS allows.

    A network whose step is a few hundred short kernels loses more at each barrier between two threads than it gains. On
    a two-core machine that was busy with other work, two threads took 2.1 times as long as one for a step of ResNet-20
    at 8x8 pixels and batch 128 (3.3e8 multiply-adds), 1.3 times at 16x16 (1.3e9), 1.06 times at 32x32 (5.2e9).
    """
    if asked is not None:
        return asked
    return 1 if macs_per_step < SMALL else _most()


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _most() -> int:
    """Every core, or as many as OMP_NUM_THREADS allows, by which others are given theirs."""
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(cores(), int(allowed)) if allowed.isdecimal() and int(allowed) else cores()
