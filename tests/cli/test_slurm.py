"""`run -m hydra/launcher=slurm` as typed: an sbatch runs the tasks of an array in turn, as real processes; and a sweep
under a real SLURM, where there is one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import identities, same_runs, small, tickets, wrong

from ticketsearch.cli import main
from ticketsearch.launchers import watch

ROOT = Path(__file__).resolve().parents[2]
ON_SLURM = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=0")
SBATCH = """#!/bin/bash
echo "${0%/*}: $*" >> "${0%/*}/asked"
read -r id < "${0%/*}/next"
echo $((id + 1)) > "${0%/*}/next"
cat > "${0%/*}/$id.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "${0%/*}/$id.sh")
[ -e "${0%/*}/hold" ] || for task in $(seq 0 "$last"); do
  SLURM_ARRAY_JOB_ID=$id SLURM_ARRAY_TASK_ID=$task bash "${0%/*}/$id.sh" > /dev/null 2>&1
done
echo "$id"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an sbatch, whose jobs have the numbers from 40 on, and an squeue that shows the file `queue`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "next").write_text("40\n")
    (folder / "queue").touch()
    for name, text in (("sbatch", SBATCH), ("squeue", '#!/bin/bash\ncat "${0%/*}/queue"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(watch, "POLL", 0.01)
    return folder


def launched(*overrides: str, out: Path) -> list[str]:
    return ["run", *ON_SLURM, *small(*overrides, out=out)]


def test_a_sweep_is_arrays_of_tasks_and_what_is_done_is_not_queued(
    cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "the out"
    words = launched("pruner=dense", "metrics=[ticket]", "recipe.lr=0.1,1e30", out=out)
    assert main(words) == 5
    printed = capfd.readouterr()
    told = printed.out.splitlines()
    assert told[0] == f"2 runs in {out} by sbatch; 2 tickets to train"
    assert told[1] == "job 40: 2 tasks"
    assert "scancel 40 takes them back" in told[2]
    (failed,) = (line for line in told if line.startswith("failed: "))
    assert re.fullmatch(
        rf"failed: \S+ seed 0: the loss of seed 0 became .*; log {re.escape(str(out))}/logs/\S+\.log", failed
    )
    assert printed.err.startswith("error: 1 run of 2 failed\n")
    assert (out / "logs/slurm/40.sh").read_text() == (cluster / "40.sh").read_text()
    assert wrong(out) == []

    (cluster / "hold").touch()  # from here on nothing is run
    before = identities(out)
    assert main([*words, "hydra.launcher.wait=false"]) == 0
    assert "job 41: 1 task\n" in capfd.readouterr().out
    note = json.loads((out / "logs/slurm/41.json").read_text())
    assert [key for key in note] == ["41_0"]
    (cluster / "queue").write_text("41_0||Priority\n")
    assert main([*words, "hydra.launcher.wait=false"]) == 0  # it is queued already
    assert "job 4" not in capfd.readouterr().out
    assert len((cluster / "asked").read_text().splitlines()) == 2
    assert identities(out) == before


def test_what_is_queued_is_known_by_what_it_asks_for(
    cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    def told(*words: str, code: int = 0) -> list[str]:
        assert main([*launched(*words, out=tmp_path / "out"), "hydra.launcher.wait=false"]) == code
        printed = capfd.readouterr().out
        return [*re.findall(r"^job .*", printed, re.M), *re.findall(r"scancel [\d_ ]*\d", printed)]

    (cluster / "hold").touch()
    assert told("pruner=lth,omp", "seed=0") == ["job 40: 1 task", "job 41: 2 tasks, after 40", "scancel 40 41"]
    (cluster / "queue").write_text("40_0|n1|None\n" + "".join(f"41_{n}||Dependency\n" for n in range(2)))
    assert told("seed=0", "pruner=omp,lth") == ["scancel 40 41"]  # typed otherwise
    more = told("pruner=random,lth,omp", "seed=0")
    assert more == ["job 42: 1 task, after 40", "scancel 40 41 42"]
    (cluster / "queue").write_text((cluster / "queue").read_text() + "42_0||Dependency\n")
    assert told("pruner=lth,random", "seed=0") == ["scancel 40 41_0 42"]  # the rest of 41 is not this sweep's
    assert [*json.loads((tmp_path / "out/logs/slurm/42.json").read_text())["42_0"]] == ["run", "asks", "log"]
    (cluster / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert told("pruner=lth,omp", "seed=0", code=4) == []  # nobody knows what is queued
    assert len((cluster / "asked").read_text().splitlines()) == 3


def test_each_folder_of_outputs_has_its_own_notes(cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (cluster / "hold").touch()
    one, two = tmp_path / "one", tmp_path / "two"
    words = launched("pruner=dense", "hydra.launcher.wait=false", out=one)
    assert main([*words[:-1], f"out='{one}','{two}'"]) == 0
    assert f"logs in {one}/logs and {two}/logs, " in capfd.readouterr().out
    assert [*(path.name for path in two.glob("logs/slurm/*"))] != []
    (cluster / "queue").write_text("40_0||Priority\n41_0||Priority\n")
    assert main([*words[:-1], f"out={two}"]) == 0
    printed = capfd.readouterr().out
    assert "job 4" not in printed
    assert "scancel 41 takes" in printed


def test_ctrl_c_leaves_nothing_queued_without_a_note(
    cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (cluster / "hold").touch()
    (cluster / "sbatch").write_text(SBATCH.replace("read -r", "kill -INT $PPID; sleep 0.3\nread -r"))
    assert main(launched("pruner=lth,omp", out=tmp_path / "out")) == 75
    assert "job 40: 1 task\n" in capfd.readouterr().out
    assert [path.name for path in sorted((tmp_path / "out/logs/slurm").glob("4*"))] == ["40.json", "40.sh"]


def test_without_slurm_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(launched("seed=0,1", out=tmp_path / "out")) == 2
    assert capfd.readouterr().err.startswith("error: there is no sbatch here\n")
    assert not (tmp_path / "out").exists()


def test_a_refusal_of_slurms_is_told_and_leaves_nothing(
    cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (cluster / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    assert main(launched("pruner=dense", "seed=0,1", out=tmp_path / "out")) == 4
    assert capfd.readouterr().err.startswith("error: SLURM takes no such job: invalid partition specified: x\n")
    assert not (tmp_path / "out").exists()


def test_dense_makes_the_dense_model_of_a_search_and_no_more(tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ("pruner=lth", "rewind=step", "rewind.at=5it", "recipe.epochs=6", "schedule.rounds=1", "metrics=[ticket]")
    assert main(["run", "--dense", *small(*words, out=out)]) == 0
    assert [path.split("-")[2] for path in tickets(out)] == ["dense"]
    assert list(out.glob("*-dense-*/seed-0/rewind-5/manifest.json"))  # what this search goes back to, kept for it
    before = identities(out)
    assert main(["run", *small(*words, out=out)]) == 0
    assert identities(out).items() > before.items()
    assert main(["run", *small(*words, out=whole)]) == 0
    same_runs(out, whole)


@pytest.mark.slow
def test_runs_that_share_a_dense_model_wait_for_it_and_are_the_runs_typed_alone(cluster: Path, tmp_path: Path) -> None:
    words = ("pruner=lth,random", "seed=0,1", "metrics=[accuracy,ticket]")
    assert main(launched(*words, out=tmp_path / "out")) == 0
    heads = [
        re.findall(r"^#SBATCH --(array|dependency)=(.*)$", (cluster / f"{n}.sh").read_text(), re.M)
        for n in (40, 41, 42)
    ]
    assert heads == [
        [("array", "0-1")],
        [("array", "0-1"), ("dependency", "afterany:40_0")],
        [("array", "0-1"), ("dependency", "afterany:40_1")],
    ]
    assert main(["run", "-m", *small(*words, "device=cpu", out=tmp_path / "whole")]) == 0
    same_runs(tmp_path / "out", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not shutil.which("slurmctld") or not shutil.which("munged"), reason="slurm-wlm is not installed")
def test_a_sweep_under_a_real_slurm_is_preempted_killed_and_the_same() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts/slurm_loopback.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
