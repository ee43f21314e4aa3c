"""Controls: tickets that should lose. Each takes one thing away from another pruner's tickets and keeps the rest; where
a control does as well, that thing was not what made the ticket win.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge

from ticketsearch import seeding
from ticketsearch.pruners.base import Pruner, Search, Source
from ticketsearch.pruners.learned import untrained
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, Twin, View
from ticketsearch.ticket import Mask, Ticket, keep_top


@dataclass(frozen=True)
class Control(Pruner):
    """The tickets of another pruner (`of`) with one thing changed; they train for as long as those.

    `reinit`, `shuffle` and `invert` are the ablations of Frankle & Carbin (2019) and of Frankle et al. (2021,
    "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?").

    Attributes:
        action: `reinit`: its mask with fresh weights, the same in every round. `shuffle`: its mask permuted within each
            layer, which keeps the layers' densities; the permutation is the same in every round, so nested masks stay
            nested. `reshuffle`: its kept start values permuted within each layer. `invert`: the weights that it ranks
            lowest, in the view that it looked at itself (for LTH: the smallest of the twin's round before). `reorder`:
            its ticket, trained with another order of the data.
        repeat: which of the possible fresh weights, permutations and orders: another number is another control.
    """

    score: Score = Magnitude()  # only the twin's is used
    source: Source = Source.TWIN
    of: str | None = "lth"
    action: Literal["reinit", "shuffle", "reshuffle", "invert", "reorder"] = "reinit"
    repeat: Annotated[int, Ge(1)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.action == "invert" and self.repeat > 1:
            raise ValueError("there is one way to invert a ranking: repeat is for actions that draw something")

    def beside(self, own: Search, twin: Search) -> "Control":
        if twin.twin:
            raise ValueError("a control of a control shows nothing")
        if (self.score, self.scope, self.epochs) != (Control.score, Control.scope, Control.epochs):
            raise ValueError("score, scope and epochs are the twin's: pruner.of_overrides changes them there")
        if twin.rounds[:1] == range(1):
            raise ValueError("the dense model has no tickets")
        mine, theirs = own.identity(), twin.identity()
        if any(mine.get(part) != theirs.get(part) for part in ("recipe", "schedule", "rewind", "rest")):
            raise ValueError("its twin has another recipe, schedule, rewind or rest: type that for both")
        if self.action == "invert" and type(twin.pruner).draw is not Pruner.draw:
            raise ValueError("it draws without a score, so there is nothing to invert")
        if self.action == "shuffle" and twin.pruner.gives_start:
            raise ValueError("its tickets bring start weights, which hold for their own masks alone")
        if self.action == "reorder" and not twin.pruner.epochs:
            raise ValueError("its tickets are not trained, so there is no order")
        if self.action == "shuffle" and (twin.rewind.weights, twin.pruner.source) == ("source", Source.PREVIOUS):
            raise ValueError("its tickets start from trained tickets, which are zero where a shuffled mask has ones")
        if self.action == "reinit" and self.repeat == 1 and twin.rewind.weights == "fresh":
            raise ValueError("its tickets have these fresh weights already; pruner.repeat=2 has others")
        return replace(self, epochs=twin.pruner.epochs)

    def label(self, name: str) -> str:
        return f"{self.of} {self.action}" + f" {self.repeat}" * (self.repeat > 1)

    def order_seed(self, order_seed: int) -> int:
        if self.action != "reorder":
            return order_seed
        seed = seeding.stable_seed(order_seed, "control/reorder", self.repeat)
        return seed % 2**31  # one may type it, and a column of floats holds it

    def draw(self, at: View, keep: int, ctx: Context) -> Mask | Ticket:
        """The ticket of one round.

        Raises:
            ValueError: a score of the twin's is not a number, or its pruner gives start weights that a mask of another
                shape cannot use.
        """
        actions: dict[str, Callable[[View, int, Context], Mask | Ticket]] = {
            "reinit": lambda at, keep, ctx: self._own(at, ctx, Ticket(at.mask, ctx.fresh(self._purpose), at.rest)),
            "shuffle": self._shuffle,
            "reshuffle": self._reshuffle,
            "invert": _invert,
            "reorder": lambda at, keep, ctx: _twin(ctx).ticket(),
        }
        return actions[self.action](at, keep, ctx)

    @property
    def _purpose(self) -> str:
        """What its randomness is for; the first `reinit` has the weights of `rewind=reinit`."""
        return self.action + f"-{self.repeat}" * (self.repeat > 1)

    def _permutation(self, name: str, count: int, ctx: Context) -> torch.Tensor:
        return torch.randperm(count, generator=ctx.rng(f"{self._purpose}/{name}"))

    def _shuffle(self, at: View, keep: int, ctx: Context) -> Mask:
        permuted = {}
        for name, alive in at.mask.items():
            permuted[name] = alive.flatten()[self._permutation(name, alive.numel(), ctx)].view_as(alive)
        return Mask(permuted)

    def _reshuffle(self, at: View, keep: int, ctx: Context) -> Ticket:
        ticket = _twin(ctx).ticket()
        start = dict(ticket.start)
        for name, alive in ticket.mask.items():
            kept = start[name][alive]
            start[name] = start[name].clone()
            start[name][alive] = kept[self._permutation(name, len(kept), ctx)]
        return self._own(at, ctx, replace(ticket, start=start))

    def _own(self, at: View, ctx: Context, ticket: Ticket) -> Ticket:
        """The ticket; one that is not trained has batch-norm statistics of its own, as its twin's has."""
        return ticket if self.epochs else untrained(ticket, at, ctx)


def _invert(at: View, keep: int, ctx: Context) -> Mask:
    twin = _twin(ctx)
    view = twin.view()
    scores = {name: -score for name, score in twin.score(view, ctx).items()}
    return keep_top(scores, view.mask, twin.scope(view, keep))


def _twin(ctx: Context) -> Twin:
    if ctx.twin is None:
        raise ValueError("a control needs a twin")
    return ctx.twin
