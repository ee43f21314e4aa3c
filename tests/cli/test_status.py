"""`status`: each mark shown by a real situation, on outputs that it does not touch."""

import json
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Child, folder, run_here, small, typed, wait_for

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.console import Display
from ticketsearch.lock import Lock, holder
from ticketsearch.part import read_part

LONGER = ("pruner=lth", "dataset.subset=600", "recipe.epochs=4")


class Impatient(Display):
    """Presses Ctrl-C after the first epoch, before anything of it is stored."""

    def epoch(self, *told: object) -> None:
        raise KeyboardInterrupt


def status(out: Path, capsys: pytest.CaptureFixture) -> dict[tuple[str, int], tuple[str, int, int, list[str]]]:
    """(pruner, seed) -> marks, trained, asked for, notes; as printed."""
    capsys.readouterr()
    assert main(["status", f"out={out}"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found: dict[tuple[str, int], tuple[str, int, int, list[str]]] = {}
    run = ""
    for line in printed.out.splitlines():
        seed = re.fullmatch(r"  seed (\d+) +([#>!.-]+)  (\d+) of (\d+) trained", line)
        if seed:
            last = (run.split("-")[2], int(seed[1]))
            found[last] = (seed[2], int(seed[3]), int(seed[4]), [])
        elif line.startswith("    "):
            found[last][3].append(line.strip())
        elif line.startswith("["):
            whole = re.fullmatch(r"\[(=*) *\] (\d+) of (\d+) rounds of (\d+) runs? trained.*", line)
            done, asked = (sum(each[n] for each in found.values()) for n in (1, 2))
            assert [*map(int, whole.groups()[1:])] == [done, asked, len(list(out.glob("*-*/")))]
            assert len(whole[1]) == 20 * done // asked
        else:
            run = line
            assert (out / run).is_dir()
    return found


def whole(out: Path, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    """What `--json` says, with the work of all seeds together."""
    capsys.readouterr()
    assert main(["status", "--json", f"out={out}"]) == 0
    said = json.loads(capsys.readouterr().out)
    return said | {"work": [work for seed in said["seeds"] for work in seed["work"]]}


def times(out: Path) -> dict[str, tuple[int, int, int]]:
    """Inode and times of every file and folder."""
    found = ((path, path.stat()) for path in [out, *out.rglob("*")])
    return {str(path): (about.st_ino, about.st_mtime_ns, about.st_ctime_ns) for path, about in found}


def test_what_is_done_and_what_is_not_begun(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert status(out, capsys) == {("dense", 0): ("#", 1, 1, []), ("lth", 0): ("##", 2, 2, [])}
    with pytest.raises(KeyboardInterrupt):
        ticketsearch.run(small("pruner=lth", "schedule.rounds=4", "replicates=2", out=out), Impatient())
    before = times(out)
    assert status(out, capsys) == {
        ("dense", 0): ("#", 1, 1, []),
        ("dense", 1): (".", 0, 1, []),
        ("lth", 0): ("##..", 2, 4, []),
        ("lth", 1): ("....", 0, 4, []),
    }
    assert times(out) == before


def test_a_round_in_progress_names_its_process_and_then_that_it_was_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    child = Child(tmp_path / "log", "run", *small(*LONGER, out=out))

    def stopped() -> bool:
        assert child.process.is_alive(), child.output()
        if not list(out.glob("*-lth-*/seed-0/round-01.part")):
            return False
        child.signal(signal.SIGSTOP)
        within = bool(list(out.glob("*-lth-*/seed-0/round-01.part")))
        if not within:
            child.signal(signal.SIGCONT)
        return within

    wait_for(stopped)
    run = folder(out, "lth")
    epoch = read_part(Cell(run, 0, 1).part)[0].progress.step // 5
    who = holder(run / "seed-0/round-01.lock")
    assert epoch >= 1
    (work,) = wait_for(lambda: [w for w in whole(out, capsys)["work"] if w["state"] == "stopped"])
    held = f"round 1: held by process {child.process.pid} on {platform.node()} since "
    marks, trained, asked, (note,) = status(out, capsys)["lth", 0]
    assert (marks, trained, asked) == (">.", 0, 2)
    assert note.startswith(held)
    assert note.startswith(f"round 1: held by {who}, epoch {epoch} stored; ")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    last = read_part(Cell(run, 0, 1).part)[0].progress.history[-1]
    numbers = f"loss {last['loss']:.4f}, train {last['accuracy']:.2%}, val {last['val_accuracy']:.2%}"
    age = re.fullmatch(f"{user}, stopped, heard of (\\d+) s ago: epoch {epoch}: {numbers}", note.partition("; ")[2])
    assert age, note
    assert int(age[1]) < 60
    assert (work["stale"], work["pid"], work["user"]) == (False, who.pid, user)
    child.signal(signal.SIGCONT)
    (work,) = wait_for(lambda: [w for w in whole(out, capsys)["work"] if w["state"] == "working"])
    child.signal(signal.SIGSTOP)
    assert status(out, capsys)["dense", 0] == ("#", 1, 1, [])

    child.kill()
    marks, trained, asked, (note,) = status(out, capsys)["lth", 0]
    assert (marks, trained, asked) == ("-.", 0, 2)
    left = (
        f"left by process {who.pid} on {who.host}, which is gone, last heard of \\d+ s ago: the next command takes over"
    )
    assert re.fullmatch(f"round 1: interrupted, epoch \\d+ stored; {left}", note)
    assert [work["state"] for work in whole(out, capsys)["work"]] == ["gone"]
    run_here(out, *LONGER)
    assert status(out, capsys)["lth", 0] == ("##", 2, 2, [])


def test_a_round_in_progress_that_is_torn(out: Path, capsys: pytest.CaptureFixture) -> None:
    run = folder(out, "lth")
    shutil.rmtree(run / "seed-0/round-01")
    (run / "seed-0/round-01.part").write_bytes(b"torn")
    note = "round 1: interrupted, something that cannot be read stored"
    assert status(out, capsys)["lth", 0] == ("-#", 1, 2, [note])


@pytest.mark.parametrize("damage", ["torn", "missing", "no ticket"])
def test_a_damaged_round_is_marked(out: Path, damage: str, capsys: pytest.CaptureFixture) -> None:
    cell = folder(out, "lth") / "seed-0/round-01"
    manifest = cell / "manifest.json"
    if damage == "torn":
        manifest.write_bytes(manifest.read_bytes()[:-7])
    else:
        (manifest if damage == "missing" else cell / "ticket.safetensors").unlink()
    marks, trained, asked, (note,) = status(out, capsys)["lth", 0]
    assert (marks, trained, asked) == ("!#", 1, 2)
    said = {
        "torn": f"{manifest} is not what its checksum says",
        "missing": f"{manifest} cannot be read: No such file or directory",
        "no ticket": "ticket.safetensors missing",
    }
    assert note == f"round 1: {said[damage]}"
    run_here(out, "pruner=lth")
    assert status(out, capsys)["lth", 0] == ("##", 2, 2, [])


def test_a_trained_round_that_is_measured_is_done_and_held(out: Path, capsys: pytest.CaptureFixture) -> None:
    mine = Cell(folder(out, "lth"), 0, 2).lock()
    assert isinstance(mine, Lock)
    assert mine.take()
    marks, trained, _, (note,) = status(out, capsys)["lth", 0]
    mine.release()
    assert (marks, trained) == ("##", 2)
    assert note.startswith("round 2: trained, held by process ")
    assert status(out, capsys)["lth", 0] == ("##", 2, 2, [])


def test_lost_or_torn_notes_leave_what_is_there(out: Path, capsys: pytest.CaptureFixture) -> None:
    log = folder(out, "lth") / "invocations.jsonl"
    log.write_bytes(log.read_bytes() + b'{"seeds": [0], "rounds": [1, 2, 3]}\n{"seeds": [7], "rou')
    assert status(out, capsys)["lth", 0] == ("##.", 2, 3, [])
    log.unlink()
    (log.parent / "config.yaml").unlink()
    assert status(out, capsys)["lth", 0] == ("##", 2, 2, [])


def test_it_imports_no_torch(out: Path) -> None:
    code = f"""
import sys
from ticketsearch.cli import main
code = main(["status", "out={out}"])
sys.exit(code or sum(name in sys.modules for name in ("torch", "pandas", "hydra", "pyarrow")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "##  2 of 2 trained" in done.stdout


def test_as_typed(finished: Path) -> None:
    done = typed("status", f"out={finished}")
    assert (done.returncode, done.stderr) == (0, "")
    dense, lth = (folder(finished, pruner).name for pruner in ("dense", "lth"))
    seeds = f"{dense}\n  seed 0    #  1 of 1 trained\n{lth}\n  seed 0    ##  2 of 2 trained\n"
    assert done.stdout == f"{seeds}[{20 * '='}] 3 of 3 rounds of 2 runs trained\n"
