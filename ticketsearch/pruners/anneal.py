"""Simulated annealing over masks (Kirkpatrick et al. 1983): the loss of the masked network decides, and no gradient."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Generator

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.scopes import Global
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask, keep_top

Share = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class Anneal(Pruner):
    """Starts from the mask of a score; each proposal exchanges some kept weights for as many others. It is taken where
    the loss of a scoring set falls, or by chance: with probability exp(-rise / temperature), while the temperature
    falls geometrically. The ticket is the best mask that was seen.

    The loss is that of the weights that the pruner looks at, within the mask, in evaluation mode.

    Attributes:
        proposals: masks that are tried.
        swap: share of the kept weights that the first proposal exchanges; it falls with the temperature, to one weight.
        hot: the first temperature, in nats as the loss.
        cold: the last.
        per_class: images of each class in the scoring set.
    """

    score: Score = Magnitude()
    source: Source = Source.DENSE
    proposals: Annotated[int, Ge(1)] = 200
    swap: Share = 0.02
    hot: Annotated[float, Gt(0)] = 1e-2
    cold: Annotated[float, Gt(0)] = 1e-4
    per_class: Annotated[int, Ge(1)] = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cold > self.hot:
            raise ValueError(f"annealing cools: cold={self.cold:g} must not be above hot={self.hot:g}")
        if not isinstance(self.scope, Global):
            raise ValueError("annealing exchanges weights between layers: no other scope than Global holds")

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        now = best = keep_top(self.score(at, ctx), at.mask, self.scope(at, keep))
        loss = least = ctx.loss(at, now, self.per_class)
        if not math.isfinite(loss):
            raise ValueError(f"the loss of the first mask is {loss}")
        rng = ctx.rng("anneal")
        for proposal in range(self.proposals):
            cooled = (self.cold / self.hot) ** (proposal / self.proposals)
            tried = exchanged(now, at.mask, math.ceil(self.swap * cooled * keep), rng)
            found = ctx.loss(at, tried, self.per_class)
            chance, rise = torch.rand((), generator=rng), found - loss
            if rise <= 0 or chance < math.exp(-rise / (self.hot * cooled)):  # never, where the loss is not a number
                now, loss = tried, found
            if found < least:
                best, least = tried, found
        return best


def exchanged(mask: Mask, within: Mask, count: int, rng: Generator) -> Mask:
    """The mask with `count` of its weights, or as many as there are, replaced by others of `within`, all by chance."""
    flat = mask.flat()
    kept, others = flat.nonzero().squeeze(1), (within.flat() & ~flat).nonzero().squeeze(1)
    count = min(count, len(kept), len(others))
    flat[kept[torch.randperm(len(kept), generator=rng)[:count]]] = False
    flat[others[torch.randperm(len(others), generator=rng)[:count]]] = True
    return mask.like(flat)
