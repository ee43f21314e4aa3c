"""What a pruner is: what it looks at, how it ranks weights, and how the survivors are spread over the layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Protocol

import torch
from annotated_types import Ge
from torch import nn

from ticketsearch import seeding
from ticketsearch.pruners.scopes import Global
from ticketsearch.ticket import Layer, Mask, Scores, Ticket, Weights, keep_top


class Source(StrEnum):
    """What a pruner looks at when it draws round n."""

    INIT = "init"
    """The weights at initialisation, everything alive."""
    DENSE = "dense"
    """The trained dense model, everything alive."""
    PREVIOUS = "previous"
    """Round n - 1 after its training, within its mask."""


@dataclass(frozen=True)
class View:
    """What a score sees.

    Attributes:
        model: the network, holding `weights`; scores leave it as it was.
        weights: its whole state dict.
        mask: the weights alive.
        rest: what pruned weights hold, by layer; None: zero.
        layers: the prunable layers, in the mask's order.
    """

    model: nn.Module
    weights: Weights
    mask: Mask
    rest: Weights | None
    layers: Mapping[str, Layer]


@dataclass(frozen=True)
class Context:
    """What a draw may use besides its view.

    Attributes:
        seed: of the cell.
        initial: the weights at initialisation.
    """

    seed: int
    initial: Weights

    def rng(self, purpose: str) -> torch.Generator:
        """A generator for one purpose; the round is no part of its key, so that what it ranks is nested over rounds."""
        return seeding.generator(self.seed, f"pruner/{purpose}")


class Score(Protocol):
    """Ranks weights: one number for each, higher = keep. Pure."""

    def __call__(self, at: View, ctx: Context) -> Scores: ...


class Scope(Protocol):
    """Where `keep` survivors may be: a number for all layers together, or one for each, never more than are alive."""

    def __call__(self, at: View, keep: int) -> int | Mapping[str, int]: ...


@dataclass(frozen=True)
class Pruner:
    """A way of drawing tickets; its yaml composes source, score and scope.

    Attributes:
        score: ranks the weights.
        source: what it looks at.
        scope: spreads the survivors over the layers.
        epochs: training of each ticket, in multiples of the recipe's epochs.
    """

    revision: ClassVar[int] = 1
    rounds_at_most: ClassVar[int | None] = None
    """The last round it draws, whatever the schedule; None: the schedule's."""
    exact: ClassVar[bool] = True
    """Whether each ticket keeps exactly what the schedule says."""

    score: Score
    source: Source = Source.PREVIOUS
    scope: Scope = Global()
    epochs: Annotated[float, Ge(0)] = 1.0

    def rounds(self, last: int) -> range:
        """The rounds that it draws when the schedule ends at `last`. Round 0, the dense model, is drawn by `dense`
        alone.
        """
        return range(1, 1 + (last if self.rounds_at_most is None else min(last, self.rounds_at_most)))

    def draw(self, at: View, keep: int, ctx: Context) -> Mask | Ticket:
        """The mask of one round: the `keep` highest scores within `at.mask` and the scope.

        Raises:
            ValueError: a score is not a number.
        """
        return keep_top(self.score(at, ctx), at.mask, self.scope(at, keep))
