"""The training loop. No step waits for the device: losses stay there and are read once an epoch or every 50 steps."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import pairwise
from operator import mul
from statistics import median
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.data.batches import Batches
from ticketsearch.errors import Diverged
from ticketsearch.provenance import environment
from ticketsearch.stopping import Stopped, check, deferred
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.dynamics import Dynamics, Moment
from ticketsearch.training.engine import Engine
from ticketsearch.training.predict import predict
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Progress, Start, Trained, TrainState, Within

WINDOW = 50
"""A non-finite loss is noticed within this many steps."""


class Training:
    """One assignment on one model: the model's weights and SGD's momentum are its state.

    Args:
        model: a network of the right shape; its weights are overwritten.
        job: the ticket to train.
        recipe: how to train.
        dataset: how training images are cropped and flipped.
        data: the images, on the device to train on.
        engine: executes the updates; None: eagerly.
    """

    def __init__(
        self,
        model: nn.Module,
        job: Assignment,
        recipe: Recipe,
        dataset: Dataset,
        data: Data,
        engine: Engine | None = None,
    ) -> None:
        self.model, self.job, self.recipe, self.data = model, job, recipe, data
        self.device = data.train.labels.device
        self.batches = Batches(data.train, dataset, recipe.batch_size, job.order_seed)
        self.update = (engine or Engine()).update(model, recipe)
        self.parameters, self.optimiser = self.update.parameters, self.update.optimiser
        self.dynamics = job.dynamics
        self.drawn: Ticket | None = None
        self.load(job.checkpoint.load() or self._fresh())
        self.unread: list[Tensor] = []
        self.logits: dict[str, Tensor] = {}

    def _fresh(self) -> TrainState:
        return TrainState(dict(self.job.ticket.start), dict(self.job.start.momentum or {}), {}, Progress())

    def _set_course(self, start: Start) -> None:
        """The learning rate of every step from here to the end."""
        steps = round(self.recipe.epochs * self.job.epochs * self.batches.per_epoch)
        course = self.recipe.learning_rates(steps, self.batches.per_epoch)
        if self.device.type == "cuda":  # where a graph reads them from a tensor, and every engine uses the same
            course = np.asarray(course, np.float32).tolist()
        self.rates = course[-1:] * steps if start.last_lr else course[start.lr_step :]
        self.steps = len(self.rates) if self.job.stop is None else self.job.stop
        self.stops = set(self.dynamics.steps(self.steps, self.batches.per_epoch)) if self.dynamics else set[int]()

    def load(self, state: TrainState) -> None:
        """Put a state onto the model and the optimiser."""
        self.model.load_state_dict(state.weights)
        self.optimiser.load(state.momentum)
        self._load_epoch(state.within)
        self.best, self.progress, self.began = state.best, state.progress, state.began or self.job.ticket
        self.start = Start() if state.began else self.job.start
        if state.began:  # the ticket is drawn, and the dynamics has done its work
            self.dynamics = None
        if self.dynamics:
            self.dynamics.load_state_dict(state.dynamics)
        self._set_course(self.start)
        self._hold(state.mask or self.began.mask)

    def _load_epoch(self, within: Within | None) -> None:
        """Go on within an epoch, or be about to begin one."""
        self.within, self.correct = within, torch.zeros((), dtype=torch.int64, device=self.device)
        if within:
            within.began = {name: tensor.to(self.device) for name, tensor in within.began.items()}
            self.correct += within.correct

    def _begin_again(self, ticket: Ticket) -> None:
        """Train a ticket that was drawn in the middle, from its own start and for the whole course."""
        before = self.progress
        progress = Progress(seconds=before.seconds, made=before.made, searched=before.searched + before.step)
        self.load(TrainState(dict(ticket.start), {}, {}, progress, began=ticket))
        self.drawn = None
        self.unread.clear()

    def _hold(self, mask: Mask) -> None:
        """From here on these weights are alive; those that were not before start from `rest`, without momentum."""
        self.alive = mask
        self.update.hold(replace(self.began, mask=mask))

    def state(self) -> TrainState:
        """The state now, as copies on the CPU."""
        progress = replace(self.progress, history=list(self.progress.history))
        return TrainState(
            _copy(self.model.state_dict()),
            _copy(self.optimiser.momentum),
            dict(self.best),
            progress,
            None if self.alive is self.job.ticket.mask else self.alive,
            None if self.began is self.job.ticket else self.began,
            self.dynamics.state_dict() if self.dynamics else {},
            self._epoch_so_far(),
        )

    def _epoch_so_far(self) -> Within | None:
        now = self.within
        return now and Within(_copy(now.began), [*now.losses], [*now.sizes], int(self.correct))

    def run(self) -> Trained:
        """Train to the end.

        Raises:
            Diverged: the loss was not finite.
            Stopped: the process is asked to end; the checkpoint has the state after the last step.
        """
        taken = self.steps_taken()
        while True:
            try:
                next(taken)
            except StopIteration as end:
                return cast(Trained, end.value)

    def steps_taken(self) -> Generator[None, None, Trained]:
        """The same, step by step, so that several trainings can take turns."""
        try:
            with deferred():
                return (yield from self._run())
        except Stopped:
            self._read()
            self._take_time()
            self.job.checkpoint.stop(self.state())
            raise

    def _run(self) -> Generator[None, None, Trained]:
        checkpoint, self.started = self.job.checkpoint, time.monotonic()
        self.progress.made = sorted({*self.progress.made, self._environment()})
        if self.progress.step == 0 and 0 in self.job.snapshots:
            checkpoint.snapshot(self.state())
        while self.progress.step < self.steps or self.within:
            record = yield from self._epoch(*self._place())
            self._take_time()
            if self.drawn:
                self._begin_again(self.drawn)
                continue
            self.progress.history.append(record)
            self._load_epoch(None)
            self._remember_best(record)
            checkpoint.epoch(record, -(-(self.start.data_step + self.steps) // self.batches.per_epoch))
            if self.progress.step < self.steps:
                checkpoint.save(self.state)
        if self.update.held:
            self.update.held.check()
        weights = _copy(self.model.state_dict())
        self._check_weights(weights)
        return Trained(weights, self.best, self.progress, self.began, self.alive, self.logits)

    def _place(self) -> tuple[int, int]:
        """The epoch to train, and the number of its next batch; behind the last one where only the record is left."""
        position = self.start.data_step + self.progress.step
        began = position - (len(self.within.sizes) if self.within else 0)
        epoch = began // self.batches.per_epoch
        return epoch, position - epoch * self.batches.per_epoch

    def _environment(self) -> str:
        """What decides the last digits of numbers."""
        return environment(self.device, "" if self.update.exact else self.update.name)

    def _take_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.started
        self.started = now

    def seconds_a_step(self, most: float = 0.3) -> float:
        """How long a step takes: the median of as many as fit into `most` seconds, without the first, which warms up.
        The model is left as they trained it.
        """
        self.model.train()
        marks = [time.monotonic()]
        for pixels, labels in self._batches(0, 0):
            self._step(pixels, labels, self.rates[0])
            self.unread.pop().item()  # waits for the device
            marks.append(time.monotonic())
            if marks[-1] - marks[0] > most:
                break
        taken = [after - before for before, after in pairwise(marks)]
        return median(taken[1:] or taken)

    def _epoch(self, epoch: int, first: int) -> Generator[None, None, dict[str, float]]:
        """Train from batch `first` to the end of the epoch, or of the training, or until a ticket is drawn; the epoch's
        record.
        """
        self.model.train()
        within = self.within = self.within or Within({n: p.detach().clone() for n, p in self.parameters.items()})
        for pixels, labels in self._batches(epoch, first):
            logits = self._step(pixels, labels, self.rates[self.progress.step])
            if self.drawn:
                return {}
            self.correct += (logits.argmax(1) == labels).sum()
            within.sizes.append(len(labels))
            self.progress.step += 1
            kept = self.progress.step in self.job.snapshots
            if kept or self.progress.step % WINDOW == 0:
                self._read()
            if kept:
                self.job.checkpoint.snapshot(self.state())
            check()
            yield
        self._read()
        rate, moved = (
            self.rates[self.progress.step - 1],
            [p.detach() - within.began[n] for n, p in self.parameters.items()],
        )
        images, loss = sum(within.sizes), sum(map(mul, within.losses, within.sizes))
        record = {"epoch": epoch + 1, "step": self.progress.step, "lr": rate, "loss": loss / images}
        record |= {"accuracy": float(self.correct) / images}
        record |= {"path": float(torch.stack(torch._foreach_norm(moved)).norm())}
        return record | {"images": images} | self._validate()

    def _batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        left = self.steps - self.progress.step
        for number, (pixels, labels) in enumerate(self.batches.epoch(epoch, first)):
            if number == left:
                return
            layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
            yield pixels.contiguous(memory_format=layout), labels

    def _step(self, pixels: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One update and the logits before it; it is skipped on the device when the loss is not finite."""
        dynamics = self.dynamics
        penalty = dynamics.penalty(self.model) if dynamics else None
        if dynamics and (penalty is not None or self.progress.step in self.stops):
            loss, logits = self.update.gradients(pixels, labels, penalty)
            if not (self.progress.step in self.stops and self._moved(dynamics)):
                self.update.apply(rate, loss)
        else:
            loss, logits = self.update(pixels, labels, rate)
            if self.update.remark:
                self.job.checkpoint.remark(self.update.remark)
                self.update.remark = ""
        self.unread.append(loss)
        return logits

    def _moved(self, dynamics: Dynamics) -> bool:
        """Whether the dynamics changes something in place of this update."""
        grads = {name: p.grad for name, p in self.parameters.items() if p.grad is not None}
        momentum, steps = self.optimiser.momentum, (self.progress.step, self.steps, self.batches.per_epoch)
        found = dynamics.update(Moment(self.model, self.model.state_dict(), grads, momentum, self.alive, *steps))
        if isinstance(found, Ticket):
            self.drawn = found
            self.job.checkpoint.remark(dynamics.remark())
        elif found is not None:
            self._hold(found)
        return found is not None

    def _read(self) -> None:
        """Read the losses since they were last read; stops at the first that is not finite."""
        losses: list[float] = torch.stack(self.unread).tolist() if self.unread else []
        self.unread.clear()
        for number, loss in enumerate(losses, self.progress.step - len(losses)):
            if not math.isfinite(loss):
                last = "unknown" if self.progress.last_finite is None else f"{self.progress.last_finite:g}"
                what = f"the loss of seed {self.job.seed} became {loss} at step {number} (lr {self.rates[number]:g}"
                raise self._diverged(f"{what}; the last finite loss was {last})")
            self.progress.last_finite = loss
        if self.within:
            self.within.losses += losses

    def _check_weights(self, weights: dict[str, Tensor]) -> None:
        """The last update, and statistics that training never reads, show in no loss."""
        for name, tensor in weights.items():
            if not bool(torch.isfinite(tensor).all()):
                raise self._diverged(f"{name} of seed {self.job.seed} is not finite after the last step")

    def _diverged(self, what: str) -> Diverged:
        right = "the learning rate is likely too high for this model; nothing of this round was committed"
        return Diverged(what, right, f"ticketsearch run recipe.lr={self.recipe.lr / 10:g}")

    def _validate(self) -> dict[str, float]:
        if not len(self.data.val):
            return {}
        self.logits = {"val": predict(self.model, self.data.val, check)}
        hits = self.logits["val"].argmax(1) == self.data.val.labels
        return {"val_accuracy": int(hits.sum()) / len(hits)}

    def _remember_best(self, record: dict[str, float]) -> None:
        if record.get("val_accuracy", -1.0) > self.progress.best_accuracy:
            self.progress.best_accuracy = record["val_accuracy"]
            self.progress.best_epoch = int(record["epoch"])
            self.best = _copy(self.model.state_dict())


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU in the default memory format, so that stored bytes do not depend on the layout in training."""
    return {name: t.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) for name, t in tensors.items()}
