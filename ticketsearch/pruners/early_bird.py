"""Early-Bird tickets (You et al. 2020): channels drawn in the middle of training, as soon as their ranking settles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from ticketsearch import channels
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask, Ticket, Weights
from ticketsearch.training.dynamics import Dynamics, Moment


@dataclass(frozen=True)
class EarlyBird(Pruner):
    """The dense network trains with an L1 penalty on the scales of its batch norms (Liu et al. 2017, network slimming).
    After each epoch the channels with the lowest scales are marked; when the last of `window` markings is near each of
    the earlier ones, the ticket is drawn and trained on.

    As in the authors' code (GATECH-EIC/Early-Bird-Tickets, main.py), the last marking is compared with each of the
    earlier ones, where their text says consecutive ones. There training goes on from the epoch of the draw; here the
    ticket is trained for the whole course, and the updates before it are told as `search_steps`. A ranking that never
    settles gives the ticket of the last marking, and a notice says so.

    Attributes:
        slimming: factor of the penalty, the sum of |scale| over all batch norms.
        window: markings that are looked at.
        near: the largest share of channels in which two of them may differ.
        begin: the weights that the ticket starts from: `continue`: those of the draw; `init`: initialisation.
    """

    exact: ClassVar[bool] = False
    unit: ClassVar[Literal["weight", "channel"]] = "channel"
    gives_start: ClassVar[bool] = True

    score: Score = Magnitude()  # the scales of the channels are what is ranked
    source: Source = Source.INIT
    slimming: Annotated[float, Ge(0)] = 1e-4
    window: Annotated[int, Ge(2)] = 5
    near: Annotated[float, Ge(0), Le(1)] = 0.1
    begin: Literal["continue", "init"] = "continue"

    @property
    def budget(self) -> float:
        return 2 * self.epochs  # where the ranking never settles

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        """Everything: the search trains the dense network.

        Raises:
            ValueError: the network declares no channels that can be removed.
        """
        channels.declared(at.model)
        return at.mask

    def during(self, keep: int, ctx: Context) -> "Settling":
        return Settling(self, keep, ctx.initial)


class Settling(Dynamics):
    """The search of one training. It remembers the last markings, a row of one byte a channel for each."""

    def __init__(self, pruner: EarlyBird, keep: int, initial: Weights) -> None:
        self._pruner, self._keep, self._initial = pruner, keep, initial
        self._markings: list[Tensor] = []
        self._narrowest = False

    def steps(self, total: int, per_epoch: int) -> Sequence[int]:
        """The first update of each epoch but the first, and the last of all."""
        return [*range(per_epoch, total - 1, per_epoch), total - 1]

    def update(self, now: Moment) -> Ticket | None:
        """The ticket, once the markings settle, or at the last update."""
        names = channels.alive(now.model, now.mask)
        norms = {group.layer: group.norm for group in channels.declared(now.model)}
        scales = {name: now.weights[f"{norms[name]}.weight"].detach().abs().cpu() for name in names}
        mask = channels.lowest_removed(now.model, now.mask, scales, self._keep)
        marking = torch.cat(list(channels.alive(now.model, mask).values()))
        self._markings = [*self._markings, marking][-self._pruner.window :]
        if not self.settled and now.step < now.total - 1:
            return None
        self._narrowest = channels.narrowest(now.model, mask)
        start = self._initial if self._pruner.begin == "init" else now.weights
        return Ticket(mask, {name: tensor.detach().cpu().clone() for name, tensor in start.items()})

    @property
    def settled(self) -> bool:
        """Whether the last marking is near each of the earlier ones in a full window."""
        *earlier, last = self._markings
        shares = [float((last ^ marking).float().mean()) for marking in earlier]
        return len(self._markings) == self._pruner.window and max(shares) <= self._pruner.near

    def remark(self) -> str:
        unsettled = "the ranking of the channels has not settled: the ticket is the one of the last epoch"
        told = [unsettled] * (not self.settled) + ["one channel a layer is left"] * self._narrowest
        return "; ".join(told)

    def penalty(self, model: nn.Module) -> Tensor | None:
        scales = [module.weight for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        return self._pruner.slimming * torch.stack([scale.abs().sum() for scale in scales]).sum()

    def state_dict(self) -> dict[str, Tensor]:
        return {"markings": torch.stack(self._markings).to(torch.uint8)} if self._markings else {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._markings = list(state["markings"].bool()) if state else []
