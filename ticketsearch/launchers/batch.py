"""The script of a job array: what SLURM is asked for, and what each task runs; a person can read it and submit it too.

Who hears what: before a time limit SLURM sends USR1 to the shell alone, which passes it on as SIGTERM; when a task is
preempted or cancelled it sends SIGTERM to every process of the task. So the run hears SIGTERM once, and keeps its step
(a second one would end it at once).
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ticketsearch.launchers.job import Job
from ticketsearch.launchers.orphan import LAUNCHER
from ticketsearch.launchers.slurm import Slurm

LIMIT, ENDED = "reached its time limit", "ended with code"
"""What the script says of its task in the run's log, behind `# TIME job ID_TASK `."""
_BODY = """
task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # the id of the last task of an array alone would be the whole array's
said() { echo "# $(date '+%F %T') job $task $*"; }
mkdir -p "${log%/*}"
exec >> "$log" 2>&1
said "began on $(hostname): ticketsearch run $*"
@PYTHON@ -P -m ticketsearch run --yes "$@" device=@DEVICE@ < /dev/null &
run=$!
limit=  # the environment may have one
trap 'heard=1' TERM  # the run has heard it too
trap 'heard=1 limit=1; kill -TERM "$run"' USR1
while true; do  # a signal ends wait before the run is over
  heard=
  wait "$run"
  code=$?
  [ -n "$heard" ] || break
done
if [ -n "$limit" ] && [ "$code" -eq 75 ]; then
  before=$(grep -c "^# .* job $task @LIMIT@" "$log")
  said "@LIMIT@"
  if [ "$before" -lt @TIMES@ ] && scontrol requeue "$task"; then exit "$code"; fi
fi
said "@ENDED@ $code"
exit "$code"
"""


def beside(job: Job) -> Path:
    """The folder of the scripts, of what SLURM writes itself, and of the notes on what is queued."""
    return job.log.parent / "slurm"


def script(
    jobs: Sequence[Job], settings: Slurm, folder: Path, after: Sequence[str] = (), env: Mapping[str, str] = os.environ
) -> str:
    """The script of an array with one task for each job.

    Args:
        jobs: in the order of their tasks.
        settings: what is asked for.
        folder: for what SLURM itself writes; it must be there when a task begins.
        after: ids of jobs and tasks that must be over first.
        env: the environment, of which what ticketsearch reads is set in the tasks too.
    """
    head = [f"#SBATCH {_quoted(word)}" for word in options(jobs, settings, folder, after)]
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    kept = {key: value for key, value in sorted(env.items()) if key.startswith("TICKETSEARCH_") and key != LAUNCHER}
    exported = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(settings.cpus_per_task)} | kept
    lines = ["#!/bin/bash", *head, ""]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in exported.items()]
    lines += ["set -e", *settings.setup, "set +e"] if settings.setup else []
    lines += ["", "case $SLURM_ARRAY_TASK_ID in", *(_task(number, job) for number, job in enumerate(jobs)), "esac"]
    return "\n".join(lines) + _body(settings)


def options(jobs: Sequence[Job], settings: Slurm, folder: Path, after: Sequence[str] = ()) -> list[str]:
    """Every option of sbatch: it is called with what the script has too, since SBATCH_PARTITION and the like in the
    environment, by which a site gives what nobody has typed, override a script and not a command.

    Args:
        jobs: in the order of their tasks.
        settings: what is asked for.
        folder: for what SLURM itself writes.
        after: ids of jobs and tasks that must be over first.
    """
    at_a_time = f"%{settings.array_parallelism}" if settings.array_parallelism else ""
    found = {
        "job-name": settings.name,
        "array": f"0-{len(jobs) - 1}{at_a_time}",
        "chdir": os.getcwd(),
        "output": f"{folder.absolute()}/".replace("%", "%%") + "%A_%a.out",
        "open-mode": "append",
        "export": "ALL",
        "requeue": None,
        "signal": f"B:USR1@{settings.signal_delay_s}",
        "nodes": "1",
        "ntasks": "1",
        **dict(settings.options()),
    }
    found |= {"dependency": f"afterany:{':'.join(after)}"} if after else {}
    return [f"--{option}" if value is None else f"--{option}={value}" for option, value in found.items()]


def _quoted(word: str) -> str:
    """An option as a script has it; paths alone may need quotes."""
    option, _, value = word.partition("=")
    return f"{option}={shlex.quote(value)}" if option in ("--chdir", "--output") else word


def _body(settings: Slurm) -> str:
    """What every task does, whichever run it has."""
    python, times = shlex.quote(sys.executable), str(settings.max_num_timeout)
    text, said = _BODY, {"PYTHON": python, "DEVICE": settings.told, "TIMES": times, "LIMIT": LIMIT, "ENDED": ENDED}
    for name, value in said.items():
        text = text.replace(f"@{name}@", value)
    return text


def _task(number: int, job: Job) -> str:
    return f"{number}) log={shlex.quote(str(job.log.absolute()))}; set -- {shlex.join(job.typed)} ;;"
