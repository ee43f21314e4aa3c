"""What is said to SLURM and what it answers: sbatch, squeue, sacct."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shutil import which

from ticketsearch.errors import RunFailed, UsageError
from ticketsearch.launchers.slurm import OURS

_SECONDS = 120
"""After which a command of SLURM's that does not answer is taken not to."""
_NOT_SITES = {"SBATCH_ARRAY_INX", *(f"SBATCH_{option.upper().replace('-', '_')}" for option in OURS)}
"""What the environment could ask of sbatch, and no option takes back: to wait for the job, or to send it elsewhere."""


@dataclass(frozen=True)
class Queued:
    """What SLURM says of a task that is not over.

    Attributes:
        node: that it runs on; "" while it waits.
        reason: for which it waits: Priority, Resources, Dependency ...
    """

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


class Unanswered(RunFailed):
    """SLURM is silent, and may have done what it was asked for."""


def submit(script: str, options: Sequence[str]) -> str:
    """Queue a script; the id of its job.

    Args:
        script: its text.
        options: of sbatch.

    Raises:
        Unanswered: it may be queued.
        RunFailed: SLURM refuses it; it says why.
    """
    answer = _ask("sbatch", "--parsable", *options, given=script)
    if answer.returncode and "timed out" in answer.stderr:  # of this process, or of sbatch by its own word
        right = "the jobs may be queued all the same: squeue shows them, and scancel takes them back"
        raise Unanswered("SLURM does not answer sbatch", right, "squeue --me")
    if answer.returncode:
        said = [line.removeprefix("sbatch: error: ") for line in answer.stderr.splitlines() if line.strip()]
        raise RunFailed(f"SLURM takes no such job: {said[-1] if said else 'it does not say why'}", " ".join(said[:-1]))
    return answer.stdout.strip().partition(";")[0]


def shortest(meant: Iterable[str], queue: Iterable[str]) -> list[str]:
    """Tasks as scancel and a dependency take them: an array's number where all of it that is queued is meant.

    Args:
        meant: ids of tasks, JOB_TASK.
        queue: those of every task that is not over.
    """
    found: dict[str, list[str]] = {}
    for task in dict.fromkeys(meant):
        found.setdefault(_array(task), []).append(task)
    others = {_array(task) for task in set(queue).difference(*found.values())}
    return [word for array, tasks in found.items() for word in (tasks if array in others else [array])]


def _array(task: str) -> str:
    return task.partition("_")[0]


def queued() -> Mapping[str, Queued] | None:
    """Every task of this user's that is not over, by JOB_TASK; None: SLURM does not answer now."""
    answer = _ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%N|%r")
    if answer.returncode:
        return None
    lines = [line.split("|", 2) for line in answer.stdout.splitlines() if line.count("|") >= 2]
    return {task: Queued(node, reason) for task, node, reason in lines}


def accounted(task: str) -> str:
    """How a task that is over ended, by SLURM's accounts: TIMEOUT, OUT_OF_MEMORY ...; "": it keeps none, or not yet."""
    if not which("sacct"):
        return ""
    answer = _ask("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={task}")
    lines = answer.stdout.split("\n") if answer.returncode == 0 else [""]
    return lines[0].strip()


def _ask(*command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """In a session of its own: Ctrl-C would end sbatch before it has said what it has queued."""
    env = {key: value for key, value in os.environ.items() if key not in _NOT_SITES}
    try:
        return subprocess.run(  # noqa: S603 - no shell reads the arguments
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            errors="replace",
            env=env,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
