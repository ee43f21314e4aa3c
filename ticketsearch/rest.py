"""Mask-0 actions: what pruned weights hold during and after training (Zhou et al. 2019)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from ticketsearch.ticket import Mask, Weights


@dataclass(frozen=True)
class Rest(ABC):
    """What pruned weights hold."""

    revision: ClassVar[int] = 1

    @abstractmethod
    def apply(self, mask: Mask, start: Weights, source: Weights) -> Weights | None:
        """What the pruned weights of `mask` hold, by layer; entries of weights that are alive are not used.

        Args:
            mask: of the ticket.
            start: the state dict that training starts from.
            source: the state dict that the pruner looked at; pruned weights hold there what they held in its training.

        Returns:
            Layer -> values of the weight's shape; None: zero.
        """


@dataclass(frozen=True)
class Zero(Rest):
    """Pruned weights are zero."""

    def apply(self, mask: Mask, start: Weights, source: Weights) -> Weights | None:
        return None


@dataclass(frozen=True)
class FreezeOrZero(Rest):
    """A pruned weight stays at the value that training starts from, unless the training that the pruner looked at has
    brought it nearer to zero: then it is zero (Zhou et al. 2019, section 4.2, "freeze init, zero if it moved toward
    zero"; a weight of the same size has not moved toward zero).

    A weight that was pruned before keeps what it holds: frozen it has not moved, and zero is nearer to zero. That needs
    a training that starts at the same values in each round, as with rewind=init or rewind=step.
    """

    def apply(self, mask: Mask, start: Weights, source: Weights) -> Weights | None:
        nearer = {name: source[name].abs() < start[name].abs() for name in mask}
        return {name: torch.where(gone, 0.0, start[name]) + 0.0 for name, gone in nearer.items()}  # never -0.0
