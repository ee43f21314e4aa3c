"""RigL (Evci et al. 2020, "Rigging the Lottery"): a sparse network whose mask moves while it trains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.scopes import Erk
from ticketsearch.pruners.scores import Random
from ticketsearch.pruners.view import Context, Scope, Score
from ticketsearch.ticket import Mask, keep_top
from ticketsearch.training.dynamics import Dynamics, Moment

Share = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class RigL(Pruner):
    """A random mask at ERK densities; then, every so often, in each layer, the smallest weights go and as many of those
    that are not there with the largest gradients come.

    As in google-research/rigl: the share that moves falls as a cosine, a weight that has just gone may come back and
    keeps its value, what comes starts at zero without momentum, and the move takes the place of that step's update.
    Ties go to the earlier weight, where there they are broken by noise of 1e-5.

    Attributes:
        every: updates between two moves (Delta-T).
        moves: at least so many moves are made: where `every` gives fewer, as in a short training, they are closer.
        until: the share of the training after which the mask stays (T_end).
        share: of a layer's weights, those that go in the first move (alpha).
    """

    score: Score = Random()
    source: Source = Source.INIT
    scope: Scope = Erk()
    every: Annotated[int, Ge(1)] = 100
    moves: Annotated[int, Ge(1)] = 20
    until: Share = 0.75
    share: Share = 0.3

    def during(self, keep: int, ctx: Context) -> "Moves":
        return Moves(self)


class Moves(Dynamics):
    """The moves of one training; it remembers nothing, since the mask is part of the training's state."""

    def __init__(self, rigl: RigL) -> None:
        self._rigl = rigl

    def steps(self, total: int, per_epoch: int) -> Sequence[int]:
        """Every Delta-T updates, up to T_end; none before the first update."""
        end = math.floor(self._rigl.until * total)
        return range(every := max(1, min(self._rigl.every, end // self._rigl.moves)), max(end, every), every)

    def update(self, now: Moment) -> Mask:
        """The same number of weights in each layer, some of them others."""
        progress = now.step / (self._rigl.until * now.total)
        share = self._rigl.share * (1 + math.cos(math.pi * progress)) / 2
        going = {name: int(share * kept) for name, kept in now.mask.layer_kept.items()}
        staying = {name: kept - going[name] for name, kept in now.mask.layer_kept.items()}
        stays = keep_top({name: now.weights[name].abs() for name in now.mask}, now.mask, staying)
        free = Mask({name: ~alive for name, alive in stays.items()})
        comes = keep_top({name: now.grads[name].abs() for name in now.mask}, free, going)
        return Mask({name: alive | comes[name] for name, alive in stays.items()})
