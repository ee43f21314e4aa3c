"""What a pruner may look at when it draws, and what its score and its scope are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ticketsearch import seeding
from ticketsearch.ticket import Layer, Mask, Scores, Ticket, Weights


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
class Twin:
    """The same round of the run that this one borrows from.

    Attributes:
        score: how its weights were ranked.
        scope: how the survivors were spread over the layers.
        ticket: computes it as its training began: mask, start (every entry of the state dict) and rest.
        view: computes what its pruner looked at; the network holds those weights then.
    """

    score: "Score"
    scope: "Scope"
    ticket: Callable[[], Ticket]
    view: Callable[[], View]


@dataclass(frozen=True)
class Context:
    """What a draw may use besides its view.

    Attributes:
        seed: of the cell.
        initial: the weights at initialisation.
        fresh: computes other initial weights, a state dict for each purpose.
        twin: for the source TWIN.
    """

    seed: int
    initial: Weights
    fresh: Callable[[str], Weights]
    twin: Twin | None = None

    def rng(self, purpose: str) -> torch.Generator:
        """A generator for one purpose; the round is no part of its key, so that what it ranks is nested over rounds."""
        return seeding.generator(self.seed, f"pruner/{purpose}")


class Score(ABC):
    """Ranks weights: one number for each, higher = keep. Pure."""

    @abstractmethod
    def __call__(self, at: View, ctx: Context) -> Scores:
        """The scores of every prunable weight, by layer."""


class Scope(ABC):
    """Where `keep` survivors may be: a number for all layers together, or one for each, never more than are alive."""

    @abstractmethod
    def __call__(self, at: View, keep: int) -> int | Mapping[str, int]:
        """How many may survive, in all or by layer."""
