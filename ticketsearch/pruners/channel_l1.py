"""Pruning of whole channels by the size of their filters (Li et al. 2017, "Pruning Filters for Efficient ConvNets")."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ticketsearch import channels
from ticketsearch.pruners.base import Pruner
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask


@dataclass(frozen=True)
class ChannelL1(Pruner):
    """The channels whose filters have the smallest weights go, over all layers together.

    Li et al. compare sums of |w| within a layer and set each layer's share by hand. Here layers compete, so filters of
    different sizes are made comparable: by the mean of |w| over the weights that are alive.

    Attributes:
        size: what a channel is ranked by: `mean` of |w|, or their `sum` as within a layer of Li et al.
    """

    exact: ClassVar[bool] = False
    unit: ClassVar[Literal["weight", "channel"]] = "channel"

    score: Score = Magnitude()
    size: Literal["mean", "sum"] = "mean"

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        """The mask without the lowest channels.

        Raises:
            ValueError: the network declares no channels that can be removed, or a score is not a number.
        """
        weights = self.score(at, ctx)
        ranked = {
            name: self._of(weights[f"{name}.weight"], at.mask[f"{name}.weight"])
            for name in channels.alive(at.model, at.mask)
        }
        return channels.lowest_removed(at.model, at.mask, ranked, keep)

    def _of(self, weights: Tensor, mask: Tensor) -> Tensor:
        total = (weights.cpu() * mask).flatten(1).sum(1)
        return total if self.size == "sum" else total / mask.flatten(1).sum(1).clamp(min=1)
