"""`run -m hydra/launcher=devices` as typed: failures and kills, launching again, sweeps that overlap, and signals."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import epochs_in, folder, identities, rows, same_runs, small, tickets, typed, wait_for, wrong

import ticketsearch
from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.launchers.job import jobs
from ticketsearch.lock import holder

ON_TWO = ("-m", "hydra/launcher=devices", "hydra.launcher.devices=cpu", "hydra.launcher.slots=2")
CHEAP = ("pruner=dense", "metrics=[accuracy]", "recipe.epochs=3")


def launched(*overrides: str, out: Path) -> list[str]:
    return ["run", *ON_TWO, *small(*overrides, out=out)]


def logs(out: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (out / "logs").iterdir()}


def test_what_fails_is_in_the_end_table_and_alone_is_launched_again(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    words = launched(*CHEAP, "recipe.lr=0.1,1e30", out=tmp_path)
    assert main(words) == 5
    printed = capfd.readouterr()
    opening, *told = printed.out.splitlines()
    assert opening.startswith(f"2 runs in {tmp_path} on 2 slots (cpu/1 cpu/2); 2 tickets to train, about ")
    (failed,) = (line for line in told if line.startswith("failed: "))
    name, reason, log = re.fullmatch(r"failed: (\S+) seed 0: (.*); log (.*)", failed).groups()
    assert reason.startswith("the loss of seed 0 became ")
    assert f"{name} seed 0 failed: {reason}" in printed.out
    assert log == f"{tmp_path}/logs/{name}-seed-0.log"
    what, right = printed.err.splitlines()[:2]
    assert what == "error: 1 run of 2 failed"
    assert right.endswith("the same command runs only what is missing")
    assert logs(tmp_path)[f"{name}-seed-0"].count("error: the loss of seed 0") == 1

    before = identities(tmp_path)
    assert main(words) == 5
    again = capfd.readouterr().out
    assert "was done already" in again
    assert again.count(" begins ") == 1
    assert identities(tmp_path) == before
    assert [log.count("# ") for _, log in sorted(logs(tmp_path).items(), key=lambda item: name in item[0])] == [1, 2]


def test_an_engine_is_checked_for_the_devices_that_the_runs_get(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Their launcher prepares them on the CPU, which a CUDA graph cannot be recorded on."""
    assert main(launched("pruner=dense", "engine=graph", out=tmp_path)) == 2
    assert capsys.readouterr().err.splitlines()[:2] == ["error: engine=graph is a CUDA graph", "  it needs device=cuda"]
    assert list(tmp_path.iterdir()) == []
    config = compose(small("pruner=dense", "engine=graph", out=tmp_path), OWN)
    (job,), _ = jobs([config], "cuda", timed=False)
    assert "engine=graph" in job.typed


def test_a_device_is_not_given_from_python_either(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="device is typed"):
        ticketsearch.launch([small("pruner=dense", "device=cpu", out=tmp_path)], devices=["cpu"])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_is_done_starts_no_process(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    overrides = ("pruner=dense,lth", "metrics=[accuracy]", "schedule.rounds=1")
    assert main(["run", "-m", *small(*overrides, out=tmp_path)]) == 0
    before = identities(tmp_path)
    capfd.readouterr()
    assert main(launched(*overrides, "seed=0,0", out=tmp_path)) == 0
    printed = capfd.readouterr().out
    assert printed.startswith(f"2 runs in {tmp_path} on 2 slots (cpu/1 cpu/2); everything is trained\n")
    assert re.search(r"^0 of 2 runs done in \d+ s, 2 were done already$", printed, re.M)
    assert not (tmp_path / "logs").exists()
    assert identities(tmp_path) == before
    # What is trained and not measured is not done.
    assert main(launched("pruner=dense", "metrics=[accuracy,ticket]", "schedule.rounds=1", out=tmp_path)) == 0
    assert re.search(r"^1 of 1 run done", capfd.readouterr().out, re.M)
    assert identities(tmp_path) == before


def test_the_value_of_a_job_is_its_last_validation_accuracy(tmp_path: Path) -> None:
    overrides = small("metrics=[accuracy]", "schedule.rounds=1", out=tmp_path)
    assert main(["run", "-m", "pruner=lth,dense", *overrides]) == 0
    runs = [[f"pruner={pruner}", *overrides] for pruner in ("lth", "dense", "lth")]
    lth, dense, again = ticketsearch.launch(runs, devices=["cpu"])
    found = rows(tmp_path)
    found = found[(found.family == "training") & (found.metric == "accuracy") & (found.split == "val")]
    last = {(row.pruner, row.round): row.value for row in found[found.variant == "epoch-2"].itertuples()}
    assert last["lth", 1] != last["dense", 0]
    assert [one.value for one in (lth, dense, again)] == [last["lth", 1], last["dense", 0], last["lth", 1]]


@pytest.mark.slow
def test_twenty_four_cells_of_which_one_fails_and_one_is_killed(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Eight runs of a dense model and two tickets each. One dense model diverges, which is found once, and with it the
    four that start from it fail; one of the others is killed from outside.
    """
    out, whole = tmp_path / "out", tmp_path / "whole"
    fine = ("pruner=lth,omp,random,snip", "metrics=[accuracy,ticket]", "dataset.subset=1200", "recipe.epochs=10")
    words = launched(*fine, "recipe.lr=0.1,1e30", "seed=0", out=out)
    process = subprocess.Popen([sys.executable, "-m", "ticketsearch", *words], stdout=subprocess.PIPE, text=True)
    omp = wait_for(lambda: [path for path in out.glob("logs/*-omp-*") if " round  1 epoch 1/" in path.read_text()], 300)
    (lock,) = out.glob(f"{omp[0].name[: -len('-seed-0.log')]}/seed-0/round-01.lock")
    os.kill(holder(lock).pid, signal.SIGKILL)
    printed, _ = process.communicate()
    assert process.returncode == 5
    assert "killed by SIGKILL" in printed
    for why, runs in (("", 1), ("its dense model fails: ", 3)):
        assert len(re.findall(rf"^\[\d/8\] .* failed: {why}the loss of seed 0 became ", printed, re.M)) == runs
    before = identities(out)
    assert main(words) == 5  # what diverges does so again; what was killed goes on
    again = capfd.readouterr().out
    assert len(re.findall(r"^\[\d/8\] .* done in ", again, re.M)) == 1
    assert len(re.findall(r"was done already$", again, re.M)) == 3
    assert identities(out).items() > before.items()
    assert wrong(out) == []
    for pruner in ("lth", "omp", "random", "snip"):
        alone = [text for text in small(*fine[1:], f"pruner={pruner}", "recipe.lr=0.1", "seed=0", out=whole)]
        assert main(["run", *alone]) == 0
    assert tickets(out) == tickets(whole)
    assert rows(out).equals(rows(whole))


@pytest.mark.slow
def test_two_sweeps_that_overlap_train_each_cell_once(tmp_path: Path) -> None:
    overrides = ("metrics=[accuracy]", "dataset.subset=600", "recipe.epochs=5")
    out = tmp_path / "out"
    pruners = ("lth,omp,random", "random,lth,snip")
    commands = [[sys.executable, "-m", "ticketsearch", *launched(f"pruner={p}", *overrides, out=out)] for p in pruners]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [one.communicate()[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], printed
    trained = [epoch for log in logs(out).values() for epoch in epochs_in(log)]
    assert len(trained) == len(set(trained)) == 5 * (1 + 4 * 2)
    assert wrong(out) == []


def launcher_of(out: Path) -> tuple["subprocess.Popen[str]", list[str]]:
    """A sweep of two runs that takes long, in the middle."""
    words = launched(
        "pruner=dense", "metrics=[accuracy]", "dataset.subset=1200", "recipe.epochs=400", "seed=0,1", out=out
    )
    command = [sys.executable, "-m", "ticketsearch", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(out.glob("logs/*"))) == 2 and all(" epoch 3/" in log for log in logs(out).values()), 120)
    return process, words


def working(out: Path) -> list[int]:
    """The processes that hold cells."""
    found = [holder(path) for path in out.glob("*/seed-*/round-*.lock")]
    return [said.pid for said in found if said and said.alive]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_launcher_keeps_the_step_of_every_run(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, words = launcher_of(out)
    process.send_signal(signal.Signals[name])
    _, told = process.communicate(timeout=60)
    assert process.returncode == 75
    assert told.splitlines()[-1] == f"  resume with: ticketsearch {shlex.join(words)}"
    assert len(list(out.glob("*/seed-*/round-00.part"))) == 2
    assert working(out) == []
    assert all("error: interrupted by SIGTERM" in log for log in logs(out).values())


@pytest.mark.slow
def test_runs_whose_launcher_is_killed_end_by_themselves(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, _ = launcher_of(out)
    process.kill()
    process.communicate()
    wait_for(lambda: not working(out), 30)
    assert len(list(out.glob("*/seed-*/round-00.part"))) == 2


@pytest.mark.slow
def test_a_launched_run_is_the_run_that_is_typed_alone(tmp_path: Path) -> None:
    overrides = ("pruner=lth", "metrics=[accuracy,ticket]", "seed=3")
    assert typed(*launched(*overrides, out=tmp_path / "out")).returncode == 0
    assert typed("run", *small(*overrides, out=tmp_path / "alone")).returncode == 0
    same_runs(tmp_path / "out", tmp_path / "alone")
    (note,) = folder(tmp_path / "out", "lth").glob("invocations.jsonl")
    assert "device=cpu" in json.loads(note.read_text())["command"]


def test_the_choices_are_told() -> None:
    from ticketsearch.commands.run import COMMAND

    assert COMMAND.keys({"hydra/launcher": "devices"}, OWN).keys() >= {"hydra/launcher", "hydra.launcher.per_device"}
    assert "hydra.launcher.per_device" in COMMAND.help()
