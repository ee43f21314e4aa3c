"""The README's main job, whole: LTH and random pruning of ResNet-20 on the digits, side by side, 21 rounds each."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ticketsearch.analysis.regions import regions
from ticketsearch.api import load
from ticketsearch.results import load_results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TOTAL = 267_408
"""3x3 convolutions: 9 x (16 + 6 x 16 x 16 + (16 + 5 x 32) x 32 + (32 + 5 x 64) x 64)."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Processes that share the tests share the outputs too: locks see to it that the job is run once."""
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "main-job"
    commands = [
        [sys.executable, "-m", "ticketsearch", "run", f"pruner={name}", f"out={out}"] for name in ("lth", "random")
    ]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait() for process in running] == [0, 0]
    return out


@pytest.fixture(scope="module")
def rows(out: Path) -> pd.DataFrame:
    return load_results(out)


def runs(rows: pd.DataFrame) -> dict[str, str]:
    return {str(label): str(run) for label, run in rows[["label", "run"]].drop_duplicates().itertuples(index=False)}


def test_every_row_of_every_round_keeps_exactly_its_share(rows: pd.DataFrame) -> None:
    assert sorted(rows["round"].unique()) == list(range(22))
    expected = [round(TOTAL * 0.8**n) for n in rows["round"]]
    assert rows["kept"].tolist() == expected
    assert np.allclose(rows["sparsity"], [1 - kept / TOTAL for kept in expected], atol=1e-12, rtol=0)


def test_layers_add_up_to_the_whole(rows: pd.DataFrame, out: Path) -> None:
    density = rows[rows["metric"] == "layer_density"]
    for label in ("lth", "random"):
        run = runs(rows)[label]
        _, ticket = load(out / run, 0, 21)
        sizes = {name: alive.numel() for name, alive in ticket.mask.items()}
        for n, layers in density[density["run"] == run].groupby("round"):
            kept = [value * sizes[name] for name, value in zip(layers["variant"], layers["value"], strict=True)]
            assert sum(round(k) for k in kept) == round(TOTAL * 0.8**n)


@pytest.mark.parametrize("label", ["lth", "random"])
def test_masks_are_nested_and_pruned_weights_are_positive_zero(rows: pd.DataFrame, out: Path, label: str) -> None:
    previous = None
    for n in range(1, 22):
        network, ticket = load(out / runs(rows)[label], 0, n)
        weights = dict(network.named_parameters())
        for name, alive in ticket.mask.items():
            assert not weights[name].detach()[~alive].numpy().view(np.int32).any()
        assert previous is None or ticket.mask.issubset(previous)
        previous = ticket.mask


def test_lth_wins_far_beyond_random_pruning(rows: pd.DataFrame) -> None:
    lth, random = (regions(rows, runs(rows)[label]) for label in ("lth", "random"))
    assert lth.dense[0] > 0.97
    assert lth.last_round_in_I >= 12
    assert lth.last_round_in_I >= random.last_round_in_I + 4
    assert lth.first_round_in_III is None


def test_the_dense_model_is_trained_once_for_both(out: Path) -> None:
    dense = list(out.glob("*-dense-*"))
    assert len(dense) == 1
    assert len(list(out.glob("*/seed-0/round-00/ticket.safetensors"))) == 1
