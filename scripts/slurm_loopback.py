"""Run a sweep under a real SLURM on this machine alone: preempted, killed, out of time, and all the same numbers.

    python scripts/slurm_loopback.py                 minutes; needs slurm-wlm and munge
    python scripts/slurm_loopback.py --install       as root on Debian: installs them first
    python scripts/slurm_loopback.py --keep          leaves the folder with its logs

Munge, slurmctld and slurmd run from a temporary folder, on loopback, with a configuration of their own and two GPUs
that are empty files; nothing of a SLURM that is installed is read or changed. A sweep of 24 tickets and three dense
models is launched. One of its runs is preempted by a job of a partition of higher priority, one is killed; the same
command then makes what is missing. Each ticket and row is compared, bit for bit, with those of the same sweep without a
launcher. A run that takes longer than its time limit follows. Exits with 1 when anything differs, with 77 when there is
no SLURM.
"""

import argparse
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slurm_daemons import PROGRAMS, slurm

import ticketsearch
from ticketsearch.lock import holder

SWEEP = ("pruner=lth,omp,random,snip", "seed=0,1,2", "schedule.rounds=2", "recipe.epochs=15", "dataset.subset=1200")
LONG = ("pruner=dense", "recipe.epochs=1000000", "dataset.subset=1200")
SMALL = ("model.depth=8", "model.width=4", "metrics=[accuracy,ticket]")
ON_SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=low", "hydra.launcher.gpus_per_node=1")
ON_CPU = "hydra.launcher.device=cpu"
ELSE = {"PARTITION": "none", "ARRAY_INX": "0", "NO_REQUEUE": "1", "SIGNAL": "KILL@10", "TIMELIMIT": "60", "WAIT": "1"}
"""What the environment asks sbatch for; but for the time limit, the launcher says otherwise."""
ABSENT = 77
"""The exit code of tests that could not be made."""
_SIGNALLED = 128


class Differs(Exception):
    """Something came out otherwise than it should."""


def say(text: str) -> None:
    """A line with the time."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def see(holds: object, text: str) -> None:
    """Raise Differs where something does not hold."""
    if not holds:
        raise Differs(text)
    say(f"seen: {text}")


def until(what: Callable[[], Any], text: str, seconds: float = 300) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            raise Differs(f"not in {seconds:.0f} s: {text}")
        time.sleep(0.2)
    return found


def run(*words: str) -> "subprocess.Popen[str]":
    """`ticketsearch run` in a process of its own."""
    command = [sys.executable, "-m", "ticketsearch", "run", *words]
    env = os.environ | {f"SBATCH_{name}": value for name, value in ELSE.items()}
    piped = subprocess.PIPE
    process = subprocess.Popen(command, stdout=piped, stderr=subprocess.STDOUT, text=True, env=env)  # noqa: S603
    atexit.register(process.kill)  # whatever happens here, it is not left behind
    return process


def over(process: "subprocess.Popen[str]", code: int) -> str:
    """What a process has printed, which must have ended with this code."""
    printed, _ = process.communicate(timeout=1200)
    sys.stdout.write("".join(f"    {line}\n" for line in printed.splitlines()))
    see(process.returncode == code, f"exit code {code}")
    return printed


def asked(*command: str) -> str:
    """What a command of SLURM's answers."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def logs(out: Path) -> dict[str, str]:
    """Run -> what it has printed."""
    return {path.stem: path.read_text() for path in (out / "logs").glob("*.log")}


def sweep(out: Path) -> None:
    """The sweep, one run preempted and one killed; then the same command again."""
    words = ("-m", *SWEEP, *SMALL, *ON_SLURM, ON_CPU, f"out={out}")
    launched = run(*words)
    until(lambda: any(" round  1 epoch 2/" in text for text in logs(out).values()), "a ticket is in training")
    asked("sbatch", "--partition=high", "--gpus-per-node=1", "--output=/dev/null", "--wrap=sleep 5")
    preempted = until(
        lambda: [n for n, text in logs(out).items() if "interrupted by SIGTERM" in text], "one is stopped"
    )
    task = re.findall(r" job (\d+_\d+) began", logs(out)[preempted[0]])[0]
    see(len(preempted) == 1, f"{preempted[0]} ({task}) kept its step when it was preempted")
    until(lambda: logs(out)[preempted[0]].count(f" job {task} began") == 2, "it begins again")
    see(" Restarts=1 " in asked("scontrol", "show", "job", task), f"SLURM has requeued {task} by itself, once")
    _kill_one(out)
    printed = over(launched, 5)
    see("killed by SIGKILL" in printed, "the run that was killed is told, with the reason")
    see(len(re.findall(r"^failed: ", printed, re.M)) == 1, "no other has failed")
    again = over(run(*words), 0)
    see("1 of 12 runs done" in again and "11 were done already" in again, "one run was missing")
    for name, text in logs(out).items():
        epochs = re.findall(r"^\S+ seed \d+ round +\d+ epoch \d+/", text, re.M)
        see(len(epochs) == len(set(epochs)), f"{name}: no epoch was trained twice")


def _kill_one(out: Path) -> None:
    """SIGKILL to a run that trains a ticket."""
    held = until(
        lambda: [p for p in out.glob("*/seed-*/round-02.lock") if (h := holder(p)) and h.alive], "a second round"
    )
    said = holder(held[0])
    if said is None:
        raise Differs("the run that was to be killed is over")
    os.kill(said.pid, 9)
    say(f"killed {held[0].parent.parent.name} {held[0].parent.name}")


def compared(out: Path, whole: Path) -> None:
    """Assert that two folders hold the same tickets and rows."""
    mine, theirs = (
        {str(p.relative_to(f)): p.read_bytes() for p in f.glob("*/*/*/ticket.safetensors")} for f in (out, whole)
    )
    see(mine == theirs, f"{len(mine)} tickets, bit for bit those of the sweep without a launcher")
    see(len(mine) == 27, "24 tickets and three dense models")
    rows = []
    for folder in (out, whole):
        found = ticketsearch.load_results(folder)
        found = found[found.family != "speed"].drop(columns=["seconds", "sequence"])
        rows.append(found.sort_values(list(found.columns[:-1]), ignore_index=True))
    see(rows[0].equals(rows[1]), f"{len(rows[0])} rows, the same")


def limited(out: Path) -> None:
    """A run that reaches its time limit twice, and may once."""
    limits = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=50", "hydra.launcher.max_num_timeout=1")
    printed = over(run("-m", *LONG, *SMALL, *ON_SLURM, ON_CPU, *limits, f"out={out}"), 5)
    see("reached its time limit once more than" in printed, "the second time limit is told")
    (text,) = logs(out).values()
    see(text.count("reached its time limit") == text.count(" began on ") == 2, "after the first it was requeued")
    epochs = [int(epoch) for epoch in re.findall(r" epoch (\d+)/", text)]
    see(epochs == list(range(1, len(epochs) + 1)), f"{len(epochs)} epochs, none of them twice")


@contextmanager
def folder_of(keep: bool) -> Iterator[Path]:
    """A temporary folder, others may pass through (munge demands it); kept if that is asked for."""
    folder = Path(tempfile.mkdtemp(prefix="ticketsearch-slurm-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="apt-get install slurm-wlm munge first")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    chosen = parser.parse_args()
    if chosen.install and os.getuid() != 0:
        parser.error("--install is for root")
    if chosen.install:
        subprocess.run(["apt-get", "install", "--yes", "slurm-wlm", "munge"], check=True)  # noqa: S607
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        sys.stderr.write(f"no {' '.join(missing)}: apt-get install slurm-wlm munge, or --install as root\n")
        return ABSENT
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(_SIGNALLED + number))  # what was started is ended
    try:
        with folder_of(chosen.keep) as folder, slurm(folder / "slurm"):
            os.chdir(folder)
            sweep(folder / "out put")
            over(run("-m", *SWEEP, *SMALL, "device=cpu", f"out={folder / 'whole'}"), 0)
            compared(folder / "out put", folder / "whole")
            limited(folder / "limited")
    except (Differs, subprocess.SubprocessError) as error:
        say(f"DIFFERENT: {error}")
        return 1
    say("all as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
