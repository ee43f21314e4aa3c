"""Training a wave: tickets that do not depend on each other. How many train together changes no result."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

import torch
from torch import nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.errors import RunFailed
from ticketsearch.stopping import Stopped
from ticketsearch.training.engine import Engine
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Trained


def fit(
    wave: Sequence[Assignment], model: nn.Module, recipe: Recipe, dataset: Dataset, data: Data, engine: Engine
) -> Iterator[tuple[int, Trained]]:
    """Train every ticket of the wave and hand each over with its number in it.

    Those of a wave take turns step by step, each on a network of its own and on a GPU in a stream of its own, so that
    the kernels of one fill what those of another leave idle. One that fails leaves the wave, and is told of when the
    others are trained; one that is asked to end asks the others.

    Args:
        wave: the tickets; each brings its own start, data order and checkpoint.
        model: a network of the right shape; its weights are overwritten.
        recipe: how to train.
        dataset: how training images are cropped and flipped.
        data: the images, on the device to train on.
        engine: executes the updates.

    Raises:
        Diverged: a loss was not finite; the others are handed over before.
    """
    if len(wave) == 1:
        yield 0, Training(model, wave[0], recipe, dataset, data, engine).run()
        return
    device = data.train.labels.device
    members = [_Member(device, engine.stream(device, number)) for number in range(len(wave))]
    for number, (member, job) in enumerate(zip(members, wave, strict=True)):
        with member.stream:
            network = engine.member(model, number)
            member.steps = Training(network, job, recipe, dataset, data, engine).steps_taken()
    _take_turns(members)
    yield from ((number, member.trained) for number, member in enumerate(members) if member.trained)
    for failed in (member.failed for member in members if member.failed):
        raise failed


@dataclass
class _Member:
    """One training of a wave."""

    device: torch.device
    stream: AbstractContextManager[object]
    steps: Generator[None, None, Trained] = field(init=False)
    trained: Trained | None = None
    failed: RunFailed | None = None

    def step(self) -> None:
        """Take one step; at the end keep what came of it."""
        try:
            with self.stream:
                next(self.steps)
        except StopIteration as end:
            self.trained = end.value
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # its logits are read outside its stream
        except RunFailed as error:
            self.failed = error

    def stop(self, asked: Stopped) -> None:
        """Keep the state after the last step; one whose loss turns out not to be finite keeps what it had."""
        with suppress(Stopped, RunFailed), self.stream:
            self.steps.throw(asked)


def _take_turns(members: Sequence[_Member]) -> None:
    """Step by step, until each is trained or has failed.

    Raises:
        Stopped: the process is asked to end; every checkpoint has the state after its last step.
    """
    left = list(members)
    while left:
        for member in left:
            try:
                member.step()
            except Stopped as asked:
                for other in left:
                    if other is not member:
                        other.stop(asked)
                raise
        left = [member for member in left if not (member.trained or member.failed)]
