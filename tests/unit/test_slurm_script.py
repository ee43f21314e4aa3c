"""What SLURM is asked for, and what the shell of a task does: its text, and the text run by bash with real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from commands import wait_for

from ticketsearch.cell import Cell
from ticketsearch.errors import UsageError
from ticketsearch.launchers import arrays as arrays_of
from ticketsearch.launchers.arrays import arrays
from ticketsearch.launchers.batch import options, script
from ticketsearch.launchers.chosen import keys, taken_off
from ticketsearch.launchers.job import Asked, Job
from ticketsearch.launchers.slurm import Slurm


def job(folder: Path, name: str, *dense: str, only: bool = False) -> Job:
    """A job that starts from dense models; `only` makes them."""
    starts = [Cell(folder / each, 0, 0) for each in dense]
    asked = [Asked(start, start, (), (), None) for start in starts]
    asked += [] if only else [Asked(Cell(folder / name, 0, 1), start, (), (), folder / name) for start in starts]
    return Job(name, (f"pruner={name}",), tuple(asked), (), folder / "logs" / f"{name}.log")


def words(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]


def named(found: Sequence[Job]) -> list[str]:
    return [one.name for one in found]


# What is asked for.


def test_the_options_are_those_that_were_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Slurm(partition="gpu,long", account="me", qos="high", constraint="a100&ib", exclude="n[1-3]", mem_gb=1.5,
                     timeout_min=90, gres="gpu:a100:1", cpus_per_task=4, array_parallelism=2, signal_delay_s=60,
                     additional_parameters={"mail_type": "END", "exclusive": True, "nice": 7, "spread-job": False},
                     name="mine")  # fmt: skip
    text = script([job(tmp_path, "a", "x"), job(tmp_path, "b", "x")], settings, Path("100% of it"), ["7_0", "7_1"])
    assert words(text) == [
        "job-name=mine",
        "array=0-1%2",
        f"chdir={tmp_path}",
        f"output='{tmp_path}/100%% of it/%A_%a.out'",
        "open-mode=append",
        "export=ALL",
        "requeue",
        "signal=B:USR1@60",
        "nodes=1",
        "ntasks=1",
        "partition=gpu,long",
        "account=me",
        "qos=high",
        "constraint=a100&ib",
        "exclude=n[1-3]",
        "time=90",
        "gres=gpu:a100:1",
        "cpus-per-task=4",
        "mem=1536M",
        "mail-type=END",
        "exclusive",
        "nice=7",
        "dependency=afterany:7_0:7_1",
    ]
    typed = options([job(tmp_path, "a", "x")], settings, Path("100% of it"))  # the same, and no shell reads them
    assert typed[3:5] == [f"--output={tmp_path}/100%% of it/%A_%a.out", "--open-mode=append"]


def test_without_settings_a_run_gets_one_gpu_and_a_core(tmp_path: Path) -> None:
    text = script([job(tmp_path, "a", "x")], Slurm(), tmp_path)
    assert words(text)[1] == "array=0-0"
    assert words(text)[-2:] == ["gpus-per-node=1", "cpus-per-task=1"]
    assert [Slurm().told, Slurm(gpus_per_node=0).told, Slurm(gres="gpu:1").told, Slurm(gres="fpga:1").told] == [
        "cuda", "cpu", "cuda", "cpu",
    ]  # fmt: skip
    assert Slurm(device="cpu").told == "cpu"
    assert "gpus-per-node" not in dict(Slurm(gpus_per_node=0).options())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gres": "gpu:1", "gpus_per_node": 1}, "one of them is enough"),
        ({"timeout_min": 2, "signal_delay_s": 120}, "no shorter than timeout_min=2"),
        ({"additional_parameters": {"array": "0-9"}}, "has array, which the launcher sets itself"),
        ({"additional_parameters": {"requeue": False}}, "has requeue, which the launcher sets itself"),
        ({"additional_parameters": {"open_mode": "truncate"}}, "has open-mode, which"),
        ({"additional_parameters": {"partition": "x"}, "partition": "y"}, "partition is given twice"),
        ({"additional_parameters": {"-p": "x"}}, "no long option"),
        ({"partition": "gpu\n#SBATCH --uid=0"}, "has a character"),
        ({"account": ""}, "has a character"),
        ({"name": "two words"}, "has a character"),
    ],
)
def test_what_sbatch_would_misread_is_refused(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Slurm(**settings)


def test_the_settings_are_typed_kept_and_completed(tmp_path: Path) -> None:
    from ticketsearch.conf import OWN, Conf

    typed = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu,long", "hydra.launcher.mem_gb=8"]
    more = ["hydra.launcher.additional_parameters={nice:7}", "hydra.launcher.setup='module load cuda'"]
    left, chosen = taken_off([*typed, *more, "seed=1,2"], sweep=True)
    assert left == ["seed=1,2"]
    assert chosen == Slurm(
        partition="gpu,long", mem_gb=8, additional_parameters={"nice": 7}, setup=("module load cuda",)
    )
    kept = tmp_path / "launcher/ours.yaml"
    kept.parent.mkdir()
    kept.write_text("_target_: ticketsearch.launchers.slurm.Slurm\npartition: gpu\naccount: me\n")
    conf = Conf.beside(tmp_path)
    assert keys("ours", conf)["hydra/launcher"] == ("basic", "devices", "ours", "slurm", "submitit_slurm")
    assert keys("ours", conf).keys() == keys("slurm", OWN).keys() > {"hydra.launcher.partition", "hydra.launcher.wait"}
    words = ["hydra/launcher=ours", "hydra.launcher.account=them"]
    assert taken_off(words, True, conf)[1] == Slurm(partition="gpu", account="them")
    kept.write_text("_target_: ticketsearch.pruners.base.Pruner\n")
    with pytest.raises(UsageError, match="is none"):
        taken_off(words[:1], True, conf)


# Which runs wait for which.


def test_runs_wait_for_their_own_dense_model_alone(tmp_path: Path) -> None:
    found = [job(tmp_path, "a", "x"), job(tmp_path, "b", "x"), job(tmp_path, "c", "y"), job(tmp_path, "d", "z"),
             job(tmp_path, "e", "z", "x"), job(tmp_path, "f", "w"), job(tmp_path, "g", "w")]  # fmt: skip
    Cell(tmp_path / "w", 0, 0).path.mkdir(parents=True)  # trained
    got = [(named(array.jobs), named(array.after)) for array in arrays(found, together=False)]
    first = ["dense model of a", "dense model of d"]
    assert got == [
        (first, []),
        (["a", "b"], first[:1]),
        (["c", "f", "g"], []),
        (["d"], first[1:]),
        (["e"], first[::-1]),
    ]
    capped = arrays(found, together=True)
    assert [(named(array.jobs), named(array.after)) for array in capped] == [(first, []), (list("abcdefg"), first)]
    maker = capped[0].jobs[0]
    assert maker.typed == ("--dense", "pruner=a")
    assert maker.asked == found[0].asked[:1]
    assert maker.log == tmp_path / "logs/a-dense.log"


def test_a_run_of_a_dense_model_makes_it_for_the_others(tmp_path: Path) -> None:
    found = [job(tmp_path, "a", "x"), job(tmp_path, "dense", "x", only=True)]
    assert [(named(array.jobs), named(array.after)) for array in arrays(found, together=False)] == [
        (["dense"], []), (["a"], ["dense"]),
    ]  # fmt: skip
    assert [named(array.jobs) for array in arrays(found[:1], together=False)] == [["a"]]  # nobody shares it


def test_an_array_is_of_one_folder_and_no_larger_than_slurm_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays_of, "LARGEST", 2)
    found = [job(tmp_path / where, name, name) for name in "abc" for where in ("one", "two")]
    got = [
        [(named(array.jobs), {one.log.parents[1].name for one in array.jobs}, named(array.after)) for array in each]
        for each in (arrays(found, together=False), arrays(found, together=True))
    ]
    parts = [(["a", "b"], {"one"}), (["c"], {"one"}), (["a", "b"], {"two"}), (["c"], {"two"})]
    assert got[0] == [(*part, []) for part in parts]
    assert got[1] == [(*part, after) for part, after in zip(parts, ([], ["a", "b"], ["c"], ["a", "b"]), strict=True)]


def test_a_job_asks_for_the_same_however_it_is_typed_and_wherever_its_outputs_are_seen(tmp_path: Path) -> None:
    one = job(tmp_path, "a", "x", "y")
    assert replace(one, typed=("seed=0",), asked=one.asked[::-1], name="b").digest == one.digest
    assert job(tmp_path / "by another path", "a", "x", "y").digest == one.digest
    families = ((("accuracy", "0" * 12), frozenset({"b", "a"})),)
    more = replace(one, asked=tuple(replace(asked, families=families) for asked in one.asked))
    rest = [job(tmp_path, "a", "x"), job(tmp_path, "b", "x", "y"), job(tmp_path, "a", "x", "y", only=True), more]
    assert len({one.digest, *(other.digest for other in rest)}) == 5
    assert more.digest.startswith("2c61a25dc4ae")  # in this process and every other


# The text in a shell.

STUB = f"""#!{sys.executable} -S
import os, signal, sys, time
heard = []
def hear(number, frame):
    heard.append(number)
    open("terms", "a").write("heard\\n")
signal.signal(signal.SIGTERM, hear)
open("args", "w").write(" ".join(sys.argv[1:]))
open("env", "w").write("\\n".join(f"{{key}}={{value}}" for key, value in os.environ.items()))
open("ready", "w").close()
if "QUICK" in os.environ:
    sys.exit(int(os.environ["QUICK"]))
while not heard:
    time.sleep(0.01)
time.sleep(0.3)  # it keeps its step, and a second signal would be heard
sys.exit(75)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with spaces, a program in the place of Python, and an scontrol that notes what it is asked."""
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, text in (("python", STUB), ("scontrol", '#!/bin/bash\necho "$@" >> requeued\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def begun(place: Path, settings: Slurm, **env: str) -> "subprocess.Popen[bytes]":
    """Task 7_1 of two, in a session of its own."""
    jobs = [job(place, "other", "x"), job(place, "it's", "x")]
    (place / "it.sh").write_text(script(jobs, settings, place, env={"TICKETSEARCH_DATA": "/some data"}))
    told = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", **env}
    process = subprocess.Popen(["bash", "it.sh"], env={**os.environ, **told}, start_new_session=True)
    if not env:
        wait_for((place / "ready").exists, 20)
    return process


def test_the_script_is_one_that_bash_reads(place: Path) -> None:
    text = script([job(place, "it's", "x")], Slurm(setup=("module load cuda",)), place)
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert "\nset -e\nmodule load cuda\nset +e\n" in text


@pytest.mark.parametrize("code", [0, 4])
def test_a_task_runs_its_own_run_and_says_how_it_ended(code: int, place: Path) -> None:
    assert begun(place, Slurm(cpus_per_task=3), QUICK=str(code)).wait() == code
    typed = ["-P", "-m", "ticketsearch", "run", "--yes", "pruner=it's", "device=cuda"]
    assert (place / "args").read_text() == " ".join(typed)
    env = (place / "env").read_text().splitlines()
    assert {"OMP_NUM_THREADS=3", "TICKETSEARCH_DATA=/some data"} <= set(env)
    log = (place / "logs/it's.log").read_text().splitlines()
    assert log[0].split(" ", 3)[3].startswith("job 7_1 began on ")
    assert log[-1].endswith(f" job 7_1 ended with code {code}")


def test_before_a_time_limit_the_run_is_told_once_and_the_task_requeued(place: Path) -> None:
    process = begun(place, Slurm(max_num_timeout=1))
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 75
    assert (place / "requeued").read_text() == "requeue 7_1\n"
    assert (place / "terms").read_text() == "heard\n"
    (place / "ready").unlink()
    process = begun(place, Slurm(max_num_timeout=1))
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 75
    assert (place / "requeued").read_text() == "requeue 7_1\n"  # one time is allowed
    log = (place / "logs/it's.log").read_text()
    assert log.count(" job 7_1 reached its time limit\n") == 2
    assert log.endswith(" job 7_1 ended with code 75\n")


def test_a_preempted_run_hears_it_once_and_is_left_to_slurm(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("limit", "1")  # of whoever has typed the sweep
    process = begun(place, Slurm())
    process.send_signal(signal.SIGTERM)  # the shell alone passes nothing on
    time.sleep(0.3)
    assert not (place / "terms").exists()
    os.killpg(process.pid, signal.SIGTERM)  # every process of the task, as SLURM does
    assert process.wait() == 75
    assert (place / "terms").read_text() == "heard\n"
    assert not (place / "requeued").exists()


def test_a_setup_that_fails_runs_nothing(place: Path) -> None:
    assert begun(place, Slurm(setup=("false",)), QUICK="0").wait() == 1
    assert not (place / "args").exists()
    assert not (place / "logs").exists()
