"""What `python -m benchmarks` gathers: goals as lines, shares by hand, and every case a module that can be called."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import engines, framework
from benchmarks.__main__ import CASES, main, told
from benchmarks.framework import Search, rounds, scaling, searches, share
from benchmarks.goals import Goal
from benchmarks.ticket_bytes import Bytes, goals
from ticketsearch.training.engine import Engine

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("found", "least", "met"),
    [
        ([1.0, 5.0, 2.0], False, True),
        ([1.0, 2.5, 9.0], False, False),
        ([1.0, 2.5, 9.0], True, True),
        ([1.9], True, False),
    ],
)
def test_the_median_meets_its_goal_or_misses_it(found: list[float], least: bool, met: bool) -> None:
    goal = Goal("it", found, 2.0, " s", least)
    assert goal.met == met
    assert goal.line().endswith(f"goal {'>=' if least else '<='} 2 s: {'met' if met else 'missed'}")


def test_what_has_no_goal_is_told() -> None:
    assert Goal("it", [3.0, 1.0, 2.0]).line() == "it: 2 [1-3]"
    assert Goal("it", [3.0]).met
    assert Goal("it", [0.12345, 12_345.6], unit=" s").line() == "it: 6,173 [0.123-12,346] s"


def test_lines_with_a_goal_are_the_table() -> None:
    assert told("first\n  goal 3x: met\nlast\n", 0) == ["goal 3x: met"]
    assert told("first\nlast\n", 0) == ["last"]
    assert told("first\nlast\n", 2) == ["last", "it ended with 2"]
    assert told("", 2) == ["it ended with 2"]


def test_every_case_is_a_module_that_measures() -> None:
    for typed in CASES.values():
        assert callable(importlib.import_module(f"benchmarks.{typed.split()[0]}").main)
    with pytest.raises(SystemExit) as ended:
        main(["sparse"])
    assert ended.value.code == 2


def test_the_share_of_a_round_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # 5 s without 3 of training and 1 of metrics are 1 s; what is kept grows from 2 to 20 epochs, 1 s to 10 s; 2 s of
    # steps on 10 images for 2 epochs are 2000 s on 1000 for 20.
    one = {"all": 5.0, "train": 3.0, "metrics": 1.0, "keep": 1.0}
    monkeypatch.setattr(framework, "rounds", lambda words: [{**one, "all": 50.0}, one])
    assert share(Search("it", (), 2, 10, (20, 1000))).found == pytest.approx([100 * 11 / 2011])


def test_growth_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [{"rss": rss, "all": spent, "bytes": size} for rss, spent, size in (
        (1.0, 90.0, 0.0), (1.0, 80.0, 1e3), (100.0, 1.0, 2e3), (999.0, 3.0, 5e3), (104.0, 2.0, 6e3), (103.0, 4.0, 9e3),
    )]  # fmt: skip
    monkeypatch.setattr(framework, "rounds", lambda words: made)
    memory, time, written = scaling(5)
    assert memory.found == pytest.approx([3.0])
    assert time.found == pytest.approx([50.0])
    assert written.found == [3.0, 1.0, 3.0]


def test_fewer_bytes_than_open_lth_by_hand() -> None:
    found = {"LeNet-300-100": Bytes(0, (5_340_000,) * 16 + (53_400,)), "ResNet-20": Bytes(0, (563_000,) * 17)}
    whole, last, *others = goals(found)
    assert whole.found == pytest.approx([17 / 16.01])
    assert last.found == pytest.approx([100.0])
    assert [goal.found for goal in others] == [pytest.approx([10.0])] * 2
    assert (whole.met, others[1].met) == (False, False)


def test_engines_are_timed_on_the_same_update() -> None:
    """Each step is one of the network, the mask and the batch that the others have."""
    small = replace(engines.CASES[0], steps=(2, 2))
    eager, by_hand = (engines.step(small, Engine(name), torch.device("cpu"))[0] for name in ("eager", "auto"))
    for _ in range(3):
        (loss, logits), (other, others) = eager(), by_hand()
        assert torch.equal(loss, other)
        assert torch.equal(logits, others)
    told = [goal.name for goal in engines.engines(small, torch.device("cpu"), rounds=1)]
    assert told[-1] == "LeNet-300 in float32, ratio eager / auto"
    if not torch.cuda.is_available():
        assert engines.main(["--device", "cuda"]) == 3


def test_a_machine_without_a_gpu_says_so(tmp_path: Path) -> None:
    env = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    script = [shutil.which("bash") or "bash", str(ROOT / "scripts/gpu_bench.sh"), str(tmp_path / "out")]
    done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "not run on a GPU\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_clock_counts_every_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSEARCH_DATA", str(tmp_path))
    search = searches()["lenet"]
    found = rounds(["pruner=lth", "schedule.rounds=2", *search.typed(tmp_path / "out")])
    assert search.name == "LeNet-300 on digits"
    assert [each["round"] for each in found] == [0, 1, 2]
    for each in found:
        assert 0 < each["keep"] < each["train"] < each["all"] - each["metrics"]
        assert each["rss"] > 1e8
    assert json.loads(json.dumps(found)) == found
