"""The preset of Frankle & Carbin (2019), whole, on tiny files in MNIST's format."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from commands import Recorder, folder, rows, wrong

import ticketsearch
from tests.official import WRITERS, parts
from ticketsearch.ticket import Mask, Ticket

COUNTS = (150, 30)
KEPT = {
    1: {"fc1.weight": 188_071, "fc2.weight": 23_989, "fc.weight": 900},
    2: {"fc1.weight": 150_377, "fc2.weight": 19_181, "fc.weight": 810},
}
"""Rates of 20, 20 and 10 % at round(266,200 x 0.8^n) weights in all; see `tests/unit/test_rates.py`."""


@dataclass(frozen=True)
class Search:
    """What a search left behind."""

    out: Path
    words: list[str]
    trained: list[tuple[str, int, int, int]]

    @property
    def run(self) -> Path:
        return folder(self.out, "lth_layerwise")

    def ticket(self, round_: int) -> Ticket:
        return ticketsearch.load(self.run, seed=0, round=round_)[1]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("frankle") / "out"
    words = ["experiment=frankle_mnist", "replicates=1", "schedule.rounds=2", "recipe.epochs=1"]
    words += ["dataset.subset=100", "dataset.validation=30", f"dataset.root={data}", f"out={out}"]
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        WRITERS["mnist"](data, patch, *parts((1, 28, 28), 10, COUNTS))
        ticketsearch.run(words, recorder)
        again = Recorder()
        ticketsearch.run(words, again)
    assert again.epochs == []
    return Search(out, words, recorder.epochs)


def test_a_dense_model_and_two_tickets_are_trained(search: Search) -> None:
    assert [(run.split("-")[2], seed, n) for run, seed, n, _ in search.trained] == [
        ("dense", 0, 0),
        ("lth_layerwise", 0, 1),
        ("lth_layerwise", 0, 2),
    ]
    assert search.run.name.startswith("mnist-lenet300-lth_layerwise-")
    assert wrong(search.out) == []
    assert not list(search.out.glob("*/aside"))


def test_every_layer_keeps_its_own_share(search: Search) -> None:
    for n, kept in KEPT.items():
        mask = search.ticket(n).mask
        assert mask.layer_kept == kept
        assert mask.kept == round(266_200 * 0.8**n)


def test_the_smallest_of_the_round_before_go_within_each_layer(search: Search) -> None:
    dense = ticketsearch.load(folder(search.out, "dense"), seed=0, round=0)[1]
    before, alive = dense.start, Mask({name: torch.ones_like(mask) for name, mask in search.ticket(1).mask.items()})
    for n in (1, 2):
        found = search.ticket(n)
        assert found.mask.issubset(alive)
        for name, kept in found.mask.items():
            gone = alive[name] & ~kept
            assert gone.any()
            assert before[name][gone].abs().max() <= before[name][kept].abs().min()
            assert not found.start[name][~kept].any()
        before, alive = found.start, found.mask


def test_the_rows_say_what_was_measured(search: Search) -> None:
    found = rows(search.out)
    tickets = found[found.run == search.run.name]
    assert set(tickets.dataset) == {"mnist"}
    assert set(tickets.prunable) == {"all"}
    assert sorted(set(tickets.kept)) == [170_368, 212_960, 266_200]  # the dense model's rows are told with a run's
    assert set(tickets.sparsity.round(4)) == {0, 0.2, 0.36}
    accuracy = found[(found.metric == "accuracy") & (found.split == "test") & (found.family == "accuracy")]
    assert sorted(accuracy["round"].unique()) == [0, 1, 2]
    hits = accuracy.value * COUNTS[1]
    assert (hits - hits.round()).abs().max() < 1e-9
