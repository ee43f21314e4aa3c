"""Sweeps: several runs of one command, each as if it had been typed alone."""

import re
from pathlib import Path

import pytest
from commands import folder, identities, run_here, same_runs, small, tickets, wrong

from ticketsearch.cli import main
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError
from ticketsearch.overrides import expanded


def sweep(out: Path, *overrides: str) -> int:
    return main(["run", "-m", *small(*overrides, out=out)])


# What a sweep is.


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        (["pruner=lth,omp", "seed=0,1"], ["lth 0", "lth 1", "omp 0", "omp 1"]),
        (["pruner=lth", "seed=range(3)"], ["lth 0", "lth 1", "lth 2"]),
        (["pruner=glob([lt*,d*])", "seed=4"], ["dense 4", "lth 4", "lth_layerwise 4"]),
        (["pruner=choice(omp,lth)", "seed=range(1,6,2)"], [f"{p} {s}" for p in ("omp", "lth") for s in (1, 3, 5)]),
        (["pruner=lth", "seed=7"], ["lth 7"]),
    ],
)
def test_a_sweep_is_every_combination_the_last_key_fastest(typed: list[str], runs: list[str]) -> None:
    found = [[text.partition("=")[2] for text in run] for run in expanded(typed, OWN)]
    assert [" ".join(values) for values in found] == runs


def test_a_list_in_brackets_is_one_value() -> None:
    assert expanded(["metrics=[accuracy,ticket]"], OWN) == [("metrics=[accuracy,ticket]",)]
    lists = expanded(["schedule.sparsities=[0.5],[0.5,0.9]"], OWN)
    assert lists == [("schedule.sparsities=[0.5]",), ("schedule.sparsities=[0.5,0.9]",)]


@pytest.mark.parametrize("text", ["recipe.lr=interval(0.1,1)", "pruner=glob(x*)"])
def test_values_without_a_list_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no values"):
        expanded([text], OWN)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_the_flag_may_stand_anywhere(
    flag: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["pruner=lth,omp", "seed=1"]
    words.insert(place, flag)
    assert main(["run", *words, "--cfg", "job"]) == 0
    named = re.findall(r"^# digits-resnet20-(\w+)-", capsys.readouterr().out, re.M)
    assert named == ["lth", "omp"]
    assert list(tmp_path.iterdir()) == []


# Runs.


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("swept") / "out"
    assert sweep(out, "pruner=dense,lth,omp", "seed=0,1") == 0
    return out


@pytest.mark.slow
def test_a_sweep_gives_what_its_runs_give_alone(swept: Path, tmp_path: Path) -> None:
    for pruner in ("omp", "lth"):
        run_here(tmp_path, f"pruner={pruner}", "replicates=2")
    same_runs(swept, tmp_path)
    assert wrong(swept) == []


def test_a_finished_sweep_trains_nothing(swept: Path, capsys: pytest.CaptureFixture) -> None:
    before = identities(swept)
    assert sweep(swept, "pruner=dense,lth,omp", "seed=0,1") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"6 runs in {swept}; everything is trained"
    assert [line for line in printed if line.startswith("[")][-1].startswith("[6/6] ")
    assert not [line for line in printed if " epoch " in line]
    assert identities(swept) == before


def test_the_opening_counts_what_runs_share_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert sweep(tmp_path, "pruner=lth,omp", "schedule.rounds=1") == 0
    opening = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(rf"2 runs in {tmp_path}; 3 tickets to train, about \d+ s", opening)


def test_a_run_that_fails_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines = ("pruner=dense", "recipe.epochs=3", "recipe.lr=0.1,1e30,0.2")
    assert sweep(tmp_path, *lines) == 5
    printed = capsys.readouterr()
    assert "error: the loss of seed 0 became " in printed.err
    last = printed.err.splitlines()[-2:]
    assert re.fullmatch(r"error: 1 run of 3 failed: digits-resnet20-dense-\w{8}", last[0])
    failed = last[0].rpartition(" ")[2]
    done = {path.name for path in tmp_path.iterdir() if list(path.glob("seed-0/round-00/manifest.json"))}
    assert len(done) == 2
    assert failed not in done

    before = tickets(tmp_path)
    assert sweep(tmp_path, *lines) == 5  # the same command tries what failed, and nothing else
    again = capsys.readouterr()
    assert tickets(tmp_path) == before
    assert again.out.count("1 cell was complete already") == 2


@pytest.mark.parametrize(
    "last",
    [
        "pruner=lth,omp,lht",
        "seed=0,x",
        "schedule.rate=0.2,1",
        "rewind=step rewind.at=1ep,9ep",
        "schedule.rounds=1,70",
        "dataset.subset=100,5000",
        "device=cpu,tpu",
    ],
)
def test_one_wrong_run_and_nothing_is_created(last: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Also what only the data show to be impossible, as a rewind point after the end of the training."""
    assert sweep(tmp_path / "out", *last.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) in (2, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_key_twice_is_refused_in_a_sweep_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert sweep(tmp_path / "out", "seed=0,1", "seed=2") == 2
    assert "seed is given twice" in capsys.readouterr().err


def test_a_sweep_over_metrics_needs_one_list_each(tmp_path: Path) -> None:
    assert sweep(tmp_path, "pruner=dense", "metrics=[accuracy],[ticket]") == 0
    (run,) = [folder(tmp_path, "dense")]
    families = {path.name.rpartition("-")[0] for path in run.glob("seed-0/round-00/metrics/*.parquet")}
    assert {"accuracy", "ticket"} <= families
