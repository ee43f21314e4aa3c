"""What is said to SLURM and what it answers: sbatch, squeue, sacct."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from shutil import which

from ticketsearch.errors import RunFailed, UsageError

_SECONDS = 120
"""After which a command of SLURM's that does not answer is taken not to."""


@dataclass(frozen=True)
class Queued:
    """What SLURM says of a task that is not over.

    Attributes:
        state: RUNNING, PENDING, COMPLETING ...
        node: that it runs on; "" while it waits.
        reason: for which it waits: Priority, Resources, Dependency ...
    """

    state: str
    node: str
    reason: str


def there() -> None:
    """See that SLURM can be asked.

    Raises:
        UsageError: there are no commands of SLURM's here.
    """
    if not (which("sbatch") and which("squeue")):
        right = "this is for a node of a cluster with SLURM from which jobs are submitted"
        raise UsageError("there is no sbatch here", right, "ticketsearch run -m hydra/launcher=devices")


def submit(script: str) -> str:
    """Queue a script; the id of its job.

    Raises:
        RunFailed: SLURM refuses it; it says why.
    """
    answer = _ask("sbatch", "--parsable", given=script)
    if answer.returncode:
        said = [line.removeprefix("sbatch: error: ") for line in answer.stderr.splitlines() if line.strip()]
        raise RunFailed(f"SLURM takes no such job: {said[-1] if said else 'it does not say why'}", " ".join(said[:-1]))
    return answer.stdout.strip().partition(";")[0]


def queued() -> Mapping[str, Queued] | None:
    """Every task of this user's that is not over, by JOB_TASK; None: SLURM does not answer now."""
    answer = _ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%N|%r")
    if answer.returncode:
        return None
    lines = [line.split("|", 3) for line in answer.stdout.splitlines() if line.count("|") >= 3]
    return {task: Queued(state, node, reason) for task, state, node, reason in lines}


def accounted(task: str) -> str:
    """How a task that is over ended, by SLURM's accounts: TIMEOUT, OUT_OF_MEMORY ...; "": it keeps none, or not yet."""
    if not which("sacct"):
        return ""
    answer = _ask("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={task}")
    lines = answer.stdout.split("\n") if answer.returncode == 0 else [""]
    return lines[0].strip()


def _ask(*command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - no shell reads the arguments
            command, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
