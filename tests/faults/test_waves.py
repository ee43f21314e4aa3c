"""Seeds that train together: the tickets are those of each alone, also when the wave is stopped or one of it fails."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import rows, run_here, same_runs, small, tickets
from torch import nn

from tests.tiny import DATASET, RECIPE, Memory, decoded, network, same, ticket
from ticketsearch import runner
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.draw import Drawn, draw
from ticketsearch.errors import RunFailed
from ticketsearch.experiment import Experiment
from ticketsearch.files import encode_state
from ticketsearch.stopping import Stopped, stoppable
from ticketsearch.training.engine import Engine
from ticketsearch.training.fit import fit
from ticketsearch.training.loop import Training
from ticketsearch.training.state import Assignment, Trained, TrainState

DATA = DATASET.load()


class Stopping(Memory):
    """Keeps what a training hands over when it is asked to end, as a file would."""

    stopped: bytes = b""

    def stop(self, state: TrainState) -> None:
        self.stopped = encode_state(state, {})


def jobs(*memories: Memory) -> list[Assignment]:
    return [Assignment(ticket(0.4, seed=n), n, n, memory) for n, memory in enumerate(memories)]


def wave(model: nn.Module, *memories: Memory) -> dict[int, Trained]:
    return dict(fit(jobs(*memories), model, RECIPE, DATASET, DATA, Engine()))


@pytest.mark.parametrize("forward", [1, 2, 7, 20])
def test_every_training_of_a_wave_that_is_stopped_keeps_its_step(forward: int) -> None:
    """The signal comes while the first network looks at its `forward`-th batch, validation included."""
    model, memories, left = network(9), [Stopping() for _ in "abc"], [forward]

    def count(module: nn.Module, inputs: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    hook = model.register_forward_pre_hook(count)
    with pytest.raises(Stopped), stoppable():
        wave(model, *memories)
    hook.remove()
    states = [decoded(memory.stopped) if memory.stopped else None for memory in memories]
    assert states[0]
    steps = [state.progress.step if state else 0 for state in states]
    assert max(steps) - min(steps) <= 1
    resumed = wave(network(3), *(Memory(state) for state in states))
    for number, job in enumerate(jobs(*(Memory() for _ in memories))):
        alone = Training(network(8), job, RECIPE, DATASET, DATA).run()
        assert same(resumed[number].weights, alone.weights)
        assert resumed[number].progress.history == alone.progress.history


def test_a_loss_that_was_not_read_yet_takes_no_checkpoint_from_the_others() -> None:
    """Seed 1 is at NaN, which nobody has read when the signal comes to seed 0."""
    memories, left = [Stopping() for _ in "abc"], [4]
    together = jobs(*memories)
    spoiled = {name: tensor.clone() for name, tensor in together[1].ticket.start.items()}
    spoiled["fc.weight"].fill_(float("inf"))
    together[1] = replace(together[1], ticket=replace(together[1].ticket, start=spoiled))
    model = network(9)

    def count(module: nn.Module, inputs: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    model.register_forward_pre_hook(count)  # copied with the network: every fourth batch of the wave is seed 0's
    with pytest.raises(Stopped), stoppable():
        list(fit(together, model, RECIPE, DATASET, DATA, Engine()))
    assert [bool(memory.stopped) for memory in memories] == [True, False, True]
    assert [decoded(memories[n].stopped).progress.step for n in (0, 2)] == [2, 1]


def test_what_is_drawn_beside_a_ticket_that_cannot_be_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def spoiled(stage: Experiment, cell: Cell) -> Drawn:
        if (cell.seed, cell.round) == (1, 1) and not (tmp_path / "mended").exists():
            raise RunFailed("seed 1 cannot be drawn", "another score")
        return draw(stage, cell)

    monkeypatch.setattr(runner, "draw", spoiled)
    words = small("pruner=omp", "schedule.rounds=1", "replicates=3", "wave=3", "metrics=[accuracy]", out=tmp_path / "o")
    assert main(["run", *words]) == 4
    assert "seed 1 cannot be drawn" in capsys.readouterr().err
    before = tickets(tmp_path / "o")
    assert [name.split("/")[1] for name in before if "round-01" in name] == ["seed-0", "seed-2"]
    (tmp_path / "mended").touch()
    assert main(["run", *words]) == 0
    assert tickets(tmp_path / "o").items() > before.items()


def test_a_search_in_waves_is_the_search_of_one_seed_after_another(tmp_path: Path) -> None:
    asked = ("pruner=lth", "replicates=3", "rewind=step", "rewind.at=1ep", "metrics=[accuracy,ticket]")
    one, _ = run_here(tmp_path / "one", *asked)
    two, told = run_here(tmp_path / "two", *asked, "wave=2")
    same_runs(tmp_path / "one", tmp_path / "two")
    assert one.name == two.name
    order = [(seed, epoch) for _, seed, round_, epoch in told.epochs if round_ == 0]
    assert order == [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (2, 2)]


def test_what_trains_beside_a_seed_that_diverges_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Seed 1 diverges; seeds 0 and 2 of its wave are committed, and are not trained again."""
    check = Training._check_weights

    def spoiled(run: Training, weights: Any) -> None:
        if run.job.seed == 1 and not (tmp_path / "mended").exists():
            raise run._diverged("seed 1 is spoiled")
        check(run, weights)

    monkeypatch.setattr(Training, "_check_weights", spoiled)
    words = small("pruner=dense", "replicates=3", "wave=3", "metrics=[accuracy]", out=tmp_path / "out")
    assert main(["run", *words]) == 7
    assert "seed 1 is spoiled" in capsys.readouterr().err
    before = tickets(tmp_path / "out")
    assert [name.split("/")[1] for name in before] == ["seed-0", "seed-2"]
    (tmp_path / "mended").touch()
    assert main(["run", *words]) == 0
    assert tickets(tmp_path / "out").items() > before.items()
    assert set(rows(tmp_path / "out").seed) == {0, 1, 2}
