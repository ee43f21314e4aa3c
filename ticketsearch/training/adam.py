"""Adam (Kingma & Ba 2015) in one kernel, which skips the update on the device when the loss was not finite."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ticketsearch.training.recipe import Recipe
from ticketsearch.training.sgd import SGD, not_finite

SQUARE, STEPS = "/square", "/steps"
"""How the second moment of a parameter, behind its name, and the number of updates are named among the momentum."""


class Adam(SGD):
    """The update of `torch.optim.Adam(fused=True)`, through the same kernel; why not the class itself, `SGD` says.

    Weight decay is added to the gradient, as there. `momentum` holds first moments, second moments and the number of
    updates.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        device = next(iter(parameters.values())).device
        self.momentum |= {name + SQUARE: torch.zeros_like(buffer) for name, buffer in self.momentum.items()}
        self.momentum[STEPS] = torch.zeros((), device=device)

    def buffers(self, name: str) -> list[Tensor]:
        return [self.momentum[name], self.momentum[name + SQUARE]]

    @torch.no_grad()
    def step(self, lr: float | Tensor, loss: Tensor) -> None:
        used = {name: p for name, p in self._parameters.items() if p.grad is not None}
        skipped, steps = not_finite(loss), self.momentum[STEPS]
        steps += 1
        torch._fused_adam_(
            list(used.values()),
            [p.grad for p in used.values() if p.grad is not None],
            [self.momentum[name] for name in used],
            [self.momentum[name + SQUARE] for name in used],
            [],
            [steps] * len(used),
            lr=cast(Any, lr),  # a number, or a tensor that a graph reads
            beta1=self._recipe.momentum,
            beta2=self._recipe.beta2,
            weight_decay=self._recipe.weight_decay,
            eps=self._recipe.eps,
            amsgrad=False,
            maximize=False,
            found_inf=skipped,
        )
        steps -= skipped
