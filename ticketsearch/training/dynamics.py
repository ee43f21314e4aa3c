"""What a pruner may do while a ticket trains: move its mask, draw another ticket, add to the loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ticketsearch.ticket import Mask, Ticket, Weights


@dataclass(frozen=True)
class Moment:
    """A training between the gradient of a step and its update.

    Attributes:
        model: the network; to be looked at, not changed.
        weights: every entry of its state dict, on the device.
        grads: gradients of the parameters, pruned weights included, on the device.
        momentum: SGD's, by parameter name, on the device.
        mask: the weights alive, on the CPU.
        step: updates done.
        total: updates in all.
        per_epoch: updates an epoch.
    """

    model: nn.Module
    weights: Weights
    grads: Weights
    momentum: Weights
    mask: Mask
    step: int
    total: int
    per_epoch: int


class Dynamics(ABC):
    """Called at some steps of a training, after the gradient is there. One object serves one training."""

    @abstractmethod
    def steps(self, total: int, per_epoch: int) -> Sequence[int]:
        """Before which updates, counted from 0, `update` is called: numbers in [0, total)."""

    @abstractmethod
    def update(self, now: Moment) -> Mask | Ticket | None:
        """What changes.

        Returns:
            None: nothing, and the update takes place. A mask: it takes the place of that update; what it adds starts
            from `rest` (zero) without momentum, and it keeps as many as before. A ticket: training starts again from
            it, with the whole course of the learning rate, and no other `update`.
        """

    def remark(self) -> str:
        """What a person should know of the ticket that was drawn, in one line; '' nothing."""
        return ""

    def penalty(self, model: nn.Module) -> Tensor | None:
        """What is added to the loss of each step, a scalar; None: nothing. Not added after a ticket was drawn."""
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers from one `update` to the next, kept with the round in progress."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave; called before the first `update`, with {} where there is nothing."""
        if state:
            raise ValueError(f"{type(self).__name__} remembers nothing, and is given {sorted(state)}")
