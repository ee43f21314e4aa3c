"""Rewind points: the dense model's state after k updates, kept on disk, and trained for when it is not."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ticketsearch.cell import Cell
from ticketsearch.errors import CorruptStore
from ticketsearch.experiment import Experiment
from ticketsearch.part import other_circumstances, read_part, save_part
from ticketsearch.store import RewindPoint
from ticketsearch.ticket import Mask, Ticket, Weights
from ticketsearch.training.state import Assignment, Checkpoint, Progress, TrainState

KEPT_EPOCHS, KEPT_STEPS = (1, 2, 3), (500, 1000, 2000)
"""The points that every dense training keeps, besides initialisation and the one that is asked for."""


class RewindPoints:
    """The past of the dense model of one seed.

    Attributes:
        used: step -> SHA-256 of every point that was looked at.
    """

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self._experiment, self._dense, self._seed = experiment, experiment.dense, seed
        self._known: dict[int, tuple[Weights, dict[str, Tensor]]] = {}
        self.used: dict[int, str] = {}

    def at(self, step: int) -> tuple[Weights, dict[str, Tensor]]:
        """State dict and momentum after `step` updates; 0: initialisation.

        Raises:
            CorruptStore: the stored point is not what its checksum says.
        """
        if step not in self._known:
            point = self.point(step)
            self._known[step], self.used[step] = point.read(), point.sha
        return self._known[step]

    def point(self, step: int) -> RewindPoint:
        """The artefact; a missing one is made first, by the updates that the dense training itself starts with."""
        point = self._dense.run.rewind(self._seed, step)
        if not point.committed:
            self._make(step)
        return point

    def fresh(self, purpose: str = "reinit") -> Weights:
        """A state dict of new initial weights, the same for every round of a seed; others for another purpose."""
        return dict(self._initial(purpose).weights)

    def _make(self, step: int) -> None:
        keep = KeepPoints(self._dense, self._seed)
        if step == 0:
            keep.snapshot(self._initial("init"))
            return
        ticket = Ticket(Mask.ones(self._dense.layers), self.at(0)[0])
        order_seed = self._dense.config.order_seed(self._seed)
        job = Assignment(ticket, self._seed, order_seed, keep, snapshots=frozenset({step}), stop=step)
        self._dense.set_threads()
        list(self._dense.train([job]))
        self._experiment.set_threads()

    def _initial(self, purpose: str) -> TrainState:
        config = self._dense.config
        if purpose == "init":
            model = config.model.begin(config.dataset, self._seed)
        else:
            model = config.model.initial(config.dataset, self._seed, purpose)
        momentum = {name: torch.zeros_like(parameter.detach()) for name, parameter in model.named_parameters()}
        return TrainState({k: v.detach() for k, v in model.state_dict().items()}, momentum, {}, Progress())


class KeepPoints(Checkpoint):
    """Keeps the snapshots of a dense training as rewind points."""

    def __init__(self, dense: Experiment, seed: int) -> None:
        self._run, self._seed = dense.run, seed

    def snapshot(self, state: TrainState) -> None:
        point = self._run.rewind(self._seed, state.progress.step)
        with point.lock():
            point.keep(state)


class CellCheckpoint(KeepPoints):
    """Keeps the round in progress beside the cell, and tells the display of each epoch.

    A state is written when the training since the last one took at least 20 times as long as writing it did, so that
    it never costs more than a twentieth of the time.
    """

    def __init__(self, experiment: Experiment, cell: Cell, about: Mapping[str, Any]) -> None:
        super().__init__(experiment, cell.seed)
        self._cell, self._about, self._display = cell, about, experiment.display
        self._saved, self._cost = time.monotonic(), 0.0

    def load(self) -> TrainState | None:
        """The state last saved, if there is one, it is whole, and it is of the same ticket and circumstances."""
        if not self._cell.part.is_file():
            return None
        try:
            state, belongs = read_part(self._cell.part)
        except CorruptStore as error:
            self._display.notice(f"{error.what}: the round is trained from its start")
            return None
        if belongs == dict(self._about):
            return state
        if other := other_circumstances(belongs, self._about):
            self.remark(f"its training was interrupted with {other}, and begins anew")
        return None

    def save(self, state: Callable[[], TrainState]) -> None:
        started = time.monotonic()
        if started - self._saved >= 20 * self._cost:
            save_part(self._cell.part, state(), self._about)
            self._saved = time.monotonic()
            self._cost = self._saved - started

    def stop(self, state: TrainState) -> None:
        save_part(self._cell.part, state, self._about)

    def remark(self, text: str) -> None:
        if text:
            self._display.notice(f"{self._cell.run.name} round {self._cell.round} of seed {self._cell.seed}: {text}")

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        self._display.epoch(self._cell, record, epochs)


def kept_steps(dense: Experiment) -> frozenset[int]:
    """The updates after which a dense training keeps its state."""
    steps = {epoch * dense.per_epoch for epoch in KEPT_EPOCHS} | set(KEPT_STEPS) | {dense.kept_step}
    return frozenset(step for step in steps if 0 < step < dense.config.recipe.epochs * dense.per_epoch)
