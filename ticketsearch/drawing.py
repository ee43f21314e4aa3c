"""A draw in progress: what it trains and computes, kept so that an interrupted one is not begun again."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ticketsearch.cell import Cell
from ticketsearch.cost import Cost
from ticketsearch.errors import CorruptStore, Diverged
from ticketsearch.experiment import Experiment
from ticketsearch.part import other_circumstances, read_part, save_part
from ticketsearch.points import CellCheckpoint
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Progress, TrainState


class Drawing:
    """The draw of one cell.

    Args:
        experiment: whose ticket is drawn.
        cell: that it is for.
        belongs: what decides what comes out; what was kept under other circumstances is not used.

    Attributes:
        cost: what it has computed.
    """

    def __init__(self, experiment: Experiment, cell: Cell, belongs: Mapping[str, Any]) -> None:
        self._experiment, self._cell, self._belongs = experiment, cell, dict(belongs)
        self._trainings = 0
        self.cost = Cost()

    def kept(self) -> Mask | Ticket | None:
        """What was drawn before the ticket's training was interrupted; None: it is to be drawn."""
        if not self._cell.drawn.is_file():
            return None
        try:
            state, about = read_part(self._cell.drawn)
        except CorruptStore as error:
            self._experiment.display.notice(f"{error.what}: the ticket is drawn again")
            return None
        cost = about.pop("cost", {})
        if about != self._belongs or cost.keys() != vars(self.cost).keys():
            if other := other_circumstances(about, self._belongs):
                name = f"{self._cell.run.name} round {self._cell.round} of seed {self._cell.seed}"
                self._experiment.display.notice(f"{name}: its ticket was drawn with {other}, and is drawn anew")
            return None
        self.cost = Cost(**cost)
        return state.began or state.mask

    def draw(self, at: View, keep: int, ctx: Context) -> Mask | Ticket:
        """What the pruner draws.

        Raises:
            ValueError: it cannot, such as where a score is not a number.
        """
        with self.cost.counting(at.model):
            return self._experiment.config.pruner.draw(at, keep, ctx)

    def keep(self, drawn: Mask | Ticket) -> None:
        """Keep what was drawn until it is trained, where drawing it was work; what was in progress is over."""
        if not self.cost.forwards:
            return
        mask, ticket = (drawn, None) if isinstance(drawn, Mask) else (None, drawn)
        state = TrainState({}, {}, {}, Progress(), mask, ticket)
        save_part(self._cell.drawn, state, {**self._belongs, "cost": vars(self.cost)})
        self._cell.part.unlink(missing_ok=True)

    def train(self, module: nn.Module, recipe: Recipe, epochs: float) -> int:
        """Train a module of the pruner's in place, going on where an interrupted process was; on how many images.

        Raises:
            Diverged: the loss was not finite.
            ValueError: that is less than one update.
        """
        if round(recipe.epochs * epochs * self._experiment.per_epoch) < 1:
            raise ValueError(f"{epochs:g} of {recipe.epochs} epochs are less than one update: nothing would be learned")
        config, self._trainings = self._experiment.config, self._trainings + 1
        checkpoint = CellCheckpoint(self._experiment, self._cell, {**self._belongs, "training": self._trainings})
        ticket, order = Ticket(Mask({}), module.state_dict()), config.order_seed(self._cell.seed)
        job = Assignment(ticket, self._cell.seed, order, checkpoint, epochs=epochs)
        try:
            trained = Training(module, job, recipe, config.dataset, self._experiment.data).run()
        except Diverged as error:
            right = "the learning rate of the search is likely too high; nothing of this round was committed"
            raise Diverged(error.what, right, f"ticketsearch run pruner.lr={recipe.lr / 10:g}") from error
        self.cost.seconds += trained.progress.seconds
        self.cost.made = sorted({*self.cost.made, *trained.progress.made})
        return int(sum(record["images"] for record in trained.progress.history))
