"""edge-popup (Ramanujan et al. 2020, "What's Hidden in a Randomly Weighted Neural Network?")."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.learned import MaskedNetwork, largest, straight_through, untrained
from ticketsearch.pruners.scopes import Global, Layerwise
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Scope, Score, View
from ticketsearch.ticket import Scores, Ticket, Weights, keep_top


@dataclass(frozen=True)
class EdgePopup(Pruner):
    """Each weight has a score that is trained; in every step the largest scores of each layer are its mask, and
    gradients pass it straight through, also to weights outside. The weights stay as they are: `epochs` is 0.

    As in allenai/hidden-networks: scores start uniform within 1 / sqrt(fan-in) (Kaiming, a = sqrt(5)), their absolute
    values are ranked, and layers keep equal shares. There `prune_rate` is the fraction that is kept. `rewind` chooses
    the frozen weights.

    Attributes:
        search: training of the scores, in multiples of the recipe's epochs.
        lr: its learning rate, in the course of the recipe; SGD with momentum 0.9 (0.1 in the authors' configurations).
    """

    gives_start: ClassVar[bool] = True

    score: Score = Magnitude()  # what is trained is what is ranked
    source: Source = Source.INIT
    scope: Scope = Layerwise()
    epochs: Annotated[float, Ge(0)] = 0.0
    search: Annotated[float, Gt(0)] = 3.0
    lr: Annotated[float, Gt(0)] = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scope, Global):
            raise ValueError("edge-popup ranks within each layer: its scope must say how many each keeps")

    @property
    def budget(self) -> float:
        return self.epochs + self.search

    def draw(self, at: View, keep: int, ctx: Context) -> Ticket:
        shares, weights = self.scope(at, keep), ctx.rewound
        if isinstance(shares, int):
            raise ValueError("edge-popup ranks within each layer: its scope must say how many each keeps")
        network = Popup(at, weights, _first(at, ctx), shares)
        sgd = replace(ctx.recipe, optimiser="sgd", momentum=0.9, nesterov=False, lr=self.lr)
        ctx.fit(network, sgd, self.search)
        scores = {name: score.abs() for name, score in network.learned().items()}
        return untrained(Ticket(keep_top(scores, at.mask, shares), weights), at, ctx)


class Popup(MaskedNetwork):
    """The weights with the largest scores of each layer, as many as it may keep."""

    def __init__(self, at: View, weights: Weights, scores: Scores, shares: Mapping[str, int]) -> None:
        super().__init__(at, weights, scores)
        self._kept = [shares[name] for name in scores]

    def masks(self) -> list[Tensor]:
        return [self._mask(*layer) for layer in zip(self.scores, self.alive, self._kept, strict=True)]

    def _mask(self, score: Tensor, alive: Tensor, keep: int) -> Tensor:
        size = score.abs().masked_fill(~alive, -1)
        return straight_through(largest(size, keep), size)


def _first(at: View, ctx: Context) -> dict[str, Tensor]:
    return {
        name: (torch.rand(layer.shape, generator=ctx.rng(f"edge_popup/{name}")) * 2 - 1) / math.sqrt(layer.fan_in)
        for name, layer in at.layers.items()
    }
