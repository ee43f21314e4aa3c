"""Where and with how many threads to train."""

import os

import torch

from ticketsearch.errors import UsageError

SMALL = 2e8
"""Multiply-adds in one step's forward pass below which a second thread costs more than it gives; see `choose_threads`.
"""


def choose_device(name: str) -> torch.device:
    """The device that `device=NAME` means; `auto` is the first GPU, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"no device {name!r} here: {reason}", "choose auto, cpu, or a GPU such as cuda:0", "device=cpu"
        ) from error
    return device


def choose_threads(asked: int | None, macs_per_step: float) -> int:
    """The number of threads to train with: what is asked, else one for small networks and every core for others.

    A network whose step is a few hundred short kernels loses more at each barrier between two threads than it gains:
    on a busy two-core machine two threads were measured 10 times slower than one, on an idle one twice as slow
    (ResNet-20 on 8x8).
    """
    if asked is not None:
        return asked
    return (
        1
        if macs_per_step < SMALL
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
