"""Who works on a cell: processes that are there, stopped, gone or another one by now; logs; network file systems."""

import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import wait_for

from ticketsearch import mounts
from ticketsearch.at_work import said, work
from ticketsearch.cli import main
from ticketsearch.lock import STALE, Holder, Lock, holder
from ticketsearch.mounts import network
from ticketsearch.processes import state

HERE, ELSEWHERE = platform.node(), "elsewhere"
NOBODY = 2**22 + 1
"""A process that this system cannot have: Linux numbers them up to 2**22."""
RUN = "digits-resnet20-lth-01234567"


@pytest.fixture
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    """A process that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def cell(out: Path) -> Path:
    path = out / RUN / "seed-3" / "round-07"
    path.parent.mkdir(parents=True)
    return path


# Processes.


def test_a_process_is_there_stopped_and_gone(sleeper: "subprocess.Popen[bytes]") -> None:
    now = time.time()
    assert state(sleeper.pid, now) == "working"
    sleeper.send_signal(signal.SIGSTOP)
    wait_for(lambda: state(sleeper.pid, now) == "stopped")
    sleeper.kill()
    wait_for(lambda: state(sleeper.pid, now) == "gone")  # nobody has asked for its exit code yet: a zombie
    sleeper.wait()
    assert state(sleeper.pid, now) == "gone"
    assert state(NOBODY, now) == "gone"


def test_a_process_that_began_later_is_another_one(sleeper: "subprocess.Popen[bytes]") -> None:
    now = time.time()
    assert state(sleeper.pid, now - 60) == "gone"
    assert state(sleeper.pid, math.inf) == state(1, now) == "working"


@pytest.mark.parametrize(("silence", "alive"), [(0, True), (STALE + 9, False)])
def test_a_number_that_is_another_process_by_now_holds_nothing(
    silence: float, alive: bool, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """Unless its heart beats: a clock that was set forward makes every process look younger than its locks."""
    now = time.time()
    assert Holder(HERE, sleeper.pid, now - 1000, now - silence).alive == alive
    assert Holder(HERE, sleeper.pid, now, now - silence).alive


# What is known of a lock.


@pytest.mark.parametrize(
    ("host", "pid", "silence", "found", "stale"),
    [
        (HERE, None, 5, "working", False),  # None: this process, whose number is another in each worker
        (HERE, None, STALE + 1, "silent", False),  # it lives, and the kernel still keeps its lock
        (HERE, NOBODY, 5, "gone", True),
        (ELSEWHERE, NOBODY, 5, "working", False),
        (ELSEWHERE, NOBODY, STALE + 1, "silent", True),
    ],
)
def test_stale_locks_are_told_from_others(
    tmp_path: Path, host: str, pid: int | None, silence: float, found: str, stale: bool
) -> None:
    now, pid = time.time(), pid or os.getpid()
    known = work(cell(tmp_path), Holder(host, pid, now, now - silence, "ada"), {})
    assert (known.round, known.user, known.state, known.stale) == (7, "ada", found, stale)
    told = str(known)
    assert ("the next command takes over" in told) == stale
    assert told.startswith(f"left by process {pid} on {host}, which is {found}" if stale else "ada, ")
    assert ("silent" in told) == (found == "silent")


def test_a_lock_names_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    for uid, name in ((os.getuid(), pwd.getpwuid(os.getuid()).pw_name), (987_654, "987654")):
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        mine = Lock(tmp_path / "round-00.lock")
        assert mine.take()
        assert holder(mine.path).user == name
        mine.release()


def test_the_last_line_is_of_this_process_and_this_cell(tmp_path: Path) -> None:
    path, now = cell(tmp_path), time.time()
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "whatever-seed-3.log"
    log.write_text(f"# then cpu/1: ticketsearch run\n{RUN} seed 3 round  7 epoch 9/9: loss 1\n")
    who = Holder(ELSEWHERE, 7, now - 60, now - 50)
    assert work(path, who, said(tmp_path)).last == "epoch 9/9: loss 1"
    log.write_text(log.read_text() + "# now cpu/2: ticketsearch run\n")
    assert work(path, who, said(tmp_path), "epoch 2: loss 3").last == "epoch 2: loss 3"  # an earlier process said it
    other = f"{RUN} seed 2 round  7 epoch 6/9: loss 6\n{RUN} seed 3 round  8 epoch 5/9: loss 5\n"
    log.write_text(f"{log.read_text()}{RUN} seed 3 round  7 epoch 3/9: loss 2\n{other}waiting\n")
    known = work(path, who, said(tmp_path), "epoch 2: loss 3")
    assert known.last == "epoch 3/9: loss 2"
    assert known.seen == pytest.approx(log.stat().st_mtime)
    os.utime(log, (now - 99, now - 99))
    assert work(path, who, said(tmp_path)).last == ""
    assert work(path, who, said(tmp_path)).seen == who.heartbeat


def test_an_epoch_that_was_stored_is_a_sign_of_life(tmp_path: Path) -> None:
    path, now = cell(tmp_path), time.time()
    part = path.with_suffix(".part")
    part.touch()
    os.utime(part, (now - 10, now - 10))
    assert work(path, Holder(ELSEWHERE, 7, now - 60, now - 50), {}).seen == pytest.approx(now - 10)
    os.utime(part, (now - 70, now - 70))  # by the process before
    assert work(path, Holder(ELSEWHERE, 7, now - 60, now - 50), {}).seen == now - 50


# File systems.

MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw,relatime 0 0
tmpfs /home/ada/fast tmpfs rw 0 0
ada@host:/data /mnt/my\040data fuse.sshfs rw 0 0
//box/share /srv cifs rw 0 0
/dev/sdb1 /srv ext4 rw 0 0
fuse /mnt/plain fuse.gocryptfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/root/outputs", ""),
        ("/home/ada/outputs", "nfs4 (server:/export)"),
        ("/home", "nfs4 (server:/export)"),
        ("/homes/outputs", ""),
        ("/home/ada/fast/outputs", ""),
        ("/mnt/my data/outputs", "fuse.sshfs (ada@host:/data)"),
        ("/srv/outputs", ""),
        ("/mnt/plain", ""),
    ],
)
def test_a_network_file_system_is_the_one_that_a_folder_lies_on(folder: str, found: str) -> None:
    assert network(Path(folder), MOUNTS) == found


def test_status_warns_of_a_network_file_system(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    (tmp_path / "mounts").write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/export {finished} nfs4 rw 0 0\n")
    assert main(["status", f"out={finished}"]) == 0
    assert capsys.readouterr().err.startswith(
        f"warning: {finished} is on nfs4 (server:/export): a lock of another host "
    )
