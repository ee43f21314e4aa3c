"""Supermasks (Zhou et al. 2019, "Deconstructing Lottery Tickets"): masks that are learned, of weights that are not."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.learned import MaskedNetwork, straight_through, untrained
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Ticket, Weights, keep_top


@dataclass(frozen=True)
class Supermask(Pruner):
    """Each weight has a probability of being kept, the sigmoid of a number that is trained: every step draws a mask by
    them, and gradients pass it straight through. The ticket keeps the weights of the highest probabilities, and the
    weights stay as they are: `epochs` is 0.

    In Zhou et al. the sum of the probabilities, and with it the sparsity, is whatever comes out. Here one shift of all
    logits holds it at the count of the round in every step, as Zhou et al. 2021 (ProbMask) do by a projection; so the
    probabilities are trained for this count, anew in each round. Their rescaling of kept weights (DWR) changes nothing
    before a batch norm, and is left out also where there is none. `rewind` chooses the frozen weights.

    Attributes:
        search: training of the probabilities, in multiples of the recipe's epochs.
        lr: its learning rate, in the course of the recipe; SGD with momentum 0.9 (100 in the authors' code).
    """

    gives_start: ClassVar[bool] = True

    score: Score = Magnitude()  # the probabilities are what is ranked
    source: Source = Source.INIT
    epochs: Annotated[float, Ge(0)] = 0.0
    search: Annotated[float, Gt(0)] = 3.0
    lr: Annotated[float, Gt(0)] = 100.0

    @property
    def budget(self) -> float:
        return self.epochs + self.search

    def draw(self, at: View, keep: int, ctx: Context) -> Ticket:
        weights = ctx.rewound
        network = Bernoulli(at, weights, keep, ctx)
        sgd = replace(ctx.recipe, optimiser="sgd", momentum=0.9, nesterov=False, lr=self.lr, weight_decay=0.0)
        ctx.fit(network, sgd, self.search)
        return untrained(Ticket(keep_top(network.learned(), at.mask, self.scope(at, keep)), weights), at, ctx)


class Bernoulli(MaskedNetwork):
    """Masks drawn by probabilities that sum to `keep`; in evaluation always the same one, since the running statistics
    of the batch norms are of masks that were drawn.
    """

    def __init__(self, at: View, weights: Weights, keep: int, ctx: Context) -> None:
        super().__init__(at, weights, {name: torch.zeros(layer.shape) for name, layer in at.layers.items()})
        self._keep, self._ctx, self._living = keep, ctx, torch.cat([mask.flatten() for mask in self.alive])
        self.draws: Tensor  # how many; on the CPU, since the key of the next draw is made of it
        self.shift: Tensor  # of all logits
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self.register_buffer("shift", torch.tensor(keep / at.mask.kept, device=self._living.device).logit(1e-6))

    def masks(self) -> list[Tensor]:
        logits = torch.cat([score.flatten() for score in self.scores])
        kept = torch.sigmoid(logits + self._solved(logits.detach())) * self._living
        which = int(self.draws) if self.training else "evaluation"
        self.draws += int(self.training)
        chance = torch.rand(len(kept), generator=self._ctx.rng(f"supermask/{which}")).to(kept.device)
        parts = straight_through((chance < kept).float(), kept).split([mask.numel() for mask in self.alive])
        return [part.view_as(mask) for part, mask in zip(parts, self.alive, strict=True)]

    def _solved(self, logits: Tensor) -> Tensor:
        """The shift with which the probabilities sum to `keep`: Newton's method from the last one, which is near. The
        steps are as many as usual learning rates need; to ask whether more are needed would wait for the device.
        """
        for _ in range(4):
            kept = torch.sigmoid(logits + self.shift) * self._living
            slope = (kept * (1 - kept)).sum().clamp(min=1e-3)
            self.shift += ((self._keep - kept.sum()) / slope).clamp(-2, 2)
        return self.shift.clone()
