"""Munge, slurmctld and slurmd from a folder, on loopback, for `slurm_loopback.py`."""

import os
import platform
import secrets
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from pwd import getpwuid

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
CORES, GPUS = 4, 2
CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPort={ctld}
SlurmdPort={slurmd}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=1000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 MaxTime=60
PartitionName=high Nodes={host} PriorityTier=10 MaxTime=60
"""
"""`cred_expire` is also how long SLURM waits before it begins a requeued job again: two minutes by default."""


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Within it the commands of SLURM speak to a cluster of one node that is this machine; afterwards it is gone.

    Args:
        folder: for everything of it; those above it let everybody pass through.

    Raises:
        RuntimeError: a daemon does not start.
    """
    before = os.environ.get("SLURM_CONF")
    _configure(folder)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        _start(folder)
        yield
    finally:
        _stop(folder)
        os.environ.pop("SLURM_CONF")
        os.environ |= {"SLURM_CONF": before} if before else {}


def _configure(folder: Path) -> None:
    for part in (folder, folder / "state", folder / "spool"):
        part.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    host, user = platform.node().partition(".")[0], getpwuid(os.getuid()).pw_name
    ctld, slurmd = _ports()
    said = CONF.format(host=host, user=user, folder=folder, ctld=ctld, slurmd=slurmd, cores=CORES, gpus=GPUS)
    (folder / "slurm.conf").write_text(said)
    for number in range(GPUS):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{GPUS - 1}] Flags=nvidia_gpu_env\n")


def _ports() -> tuple[int, int]:
    """Two that are free now."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _start(folder: Path) -> None:
    files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log"}
    munge = [f"--{option}={folder / name}" for option, name in (files | {"seed-file": "munge.seed"}).items()]
    for command in (["munged", *munge], ["slurmctld", "-c"], ["slurmd"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr}")
    end = time.monotonic() + 60
    while "idle" not in (said := _asked("sinfo", "--noheader", "--format=%T")):
        if time.monotonic() > end:
            raise RuntimeError(f"the node is not idle but {said!r}; see {folder}/slurmd.log")
        time.sleep(0.5)


def _stop(folder: Path) -> None:
    """End every job, then the daemons, those that were started last first."""
    _asked("scancel", "--me")
    end = time.monotonic() + 40  # a task that ignores SIGTERM is killed after 30
    while _asked("squeue", "--noheader").strip() and time.monotonic() < end:
        time.sleep(0.5)
    for name in ("slurmd", "slurmctld", "munged"):
        with suppress(OSError, ValueError):
            number = int((folder / f"{name}.pid").read_text())
            os.kill(number, signal.SIGTERM)
            while time.monotonic() < end + 20:
                os.kill(number, 0)
                time.sleep(0.1)


def _asked(*command: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout  # noqa: S603
    return ""
