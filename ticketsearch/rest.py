"""Mask-0 actions: what pruned weights hold during and after training (Zhou et al. 2019)."""

from dataclasses import dataclass
from typing import ClassVar

from ticketsearch.ticket import Mask, Weights


@dataclass(frozen=True)
class Zero:
    """Pruned weights are zero."""

    revision: ClassVar[int] = 1

    def apply(self, mask: Mask, start: Weights) -> Weights | None:
        """What the pruned weights of `mask` hold, by layer, given the weights that training starts from; None: zero."""
        return None
