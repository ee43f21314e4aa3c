"""One update of a network: gradients, optimiser, mask. This one is eager; others give the same numbers faster."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ticketsearch.ticket import Ticket
from ticketsearch.training.adam import Adam
from ticketsearch.training.hold import Hold
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.sgd import SGD


class Update:
    """The updates of one network by one recipe. Its tensors stay in their places from one training to the next, so
    that whatever was made of them once serves every round.

    Attributes:
        name: of the engine.
        exact: whether its numbers are those of this class, bit for bit.
        model: the network; its parameters are updated in place.
        recipe: how it is optimised.
        parameters: the network's, by name.
        optimiser: with the momentum.
        held: what holds the mask.
        remark: what a person should know of how it went, in one line; '' nothing.
    """

    name, exact = "eager", True

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.parameters = dict(model.named_parameters())
        self.optimiser = (Adam if recipe.optimiser == "adam" else SGD)(self.parameters, recipe)
        self.device = next(iter(self.parameters.values())).device
        half = recipe.precision == "bfloat16"
        self.precision = torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext()
        self.held: Hold | None = None
        self.remark = ""

    def hold(self, ticket: Ticket) -> None:
        """From here on pruned weights stay at the ticket's `rest`, without momentum."""
        self.held = Hold(self.parameters, self.optimiser, ticket)
        self.held.apply()

    def gradients(self, pixels: Tensor, labels: Tensor, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the logits [B, classes]; the gradients of loss and penalty are with the parameters.

        Args:
            pixels: float32 [B, C, H, W] in [0, 1].
            labels: int64 [B].
            penalty: a scalar that is added to the loss.
        """
        with self.precision:
            logits = self.forward(pixels)
            loss = F.cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
        return loss.detach(), logits.detach()

    def forward(self, pixels: Tensor) -> Tensor:
        """The logits, with what gradients need."""
        logits: Tensor = self.model(pixels)
        return logits

    def apply(self, rate: float | Tensor, loss: Tensor) -> None:
        """Update by the gradients that are there, or not at all if the loss is not finite; pruned weights stay."""
        if self.held:
            self.held.before_update()
        self.optimiser.step(rate, loss)
        if self.held:
            self.held.after_update()

    def __call__(self, pixels: Tensor, labels: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """One update and the loss and logits before it; the logits may be overwritten by the next."""
        loss, logits = self.gradients(pixels, labels)
        self.apply(rate, loss)
        return loss, logits
