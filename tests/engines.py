"""Trainings by one engine or another, and what it means that they are the same."""

from typing import Any

from torch import nn

from tests.tiny import DATASET, Memory, same
from ticketsearch.ticket import Ticket
from ticketsearch.training.engine import Engine
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Trained
from ticketsearch.training.update import Update

DATA = DATASET.load()


class Given(Engine):
    """Gives these updates, whatever the network."""

    def __init__(self, update: Update) -> None:
        super().__init__()
        self.given = update

    def update(self, model: nn.Module, recipe: Recipe) -> Update:
        assert (model, recipe) == (self.given.model, self.given.recipe)
        return self.given


def trained(model: nn.Module, drawn: Ticket, recipe: Recipe, engine: Engine, **job: Any) -> tuple[Training, Trained]:
    """A training, and what came of it."""
    run = Training(
        model, Assignment(drawn, 5, 5, job.pop("checkpoint", Memory()), **job), recipe, DATASET, DATA, engine
    )
    return run, run.run()


def alike(one: Trained, other: Trained) -> None:
    """Assert that two trainings gave the same, bit for bit."""
    assert same(one.weights, other.weights)
    assert same(one.best, other.best)
    assert one.progress.history == other.progress.history
    assert one.mask == other.mask
