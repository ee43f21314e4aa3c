"""SGD with momentum in one kernel, which skips the update on the device when the loss was not finite."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ticketsearch.training.recipe import Recipe


def not_finite(loss: Tensor) -> Tensor:
    """1.0 if a loss is infinite or NaN, else 0.0, float32 []: two small kernels where `isfinite` takes four."""
    return loss.sub(loss).ne_(0)


class SGD:
    """The update of `torch.optim.SGD(fused=True)`, through the same kernel.

    The class itself is not used, because making one imports torch's compiler (3.6 CPU-seconds a process), and because
    here the momentum exists from the start: a first step that is skipped must not leave it undefined.

    Attributes:
        momentum: by parameter name; the kernel updates it in place.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], recipe: Recipe) -> None:
        self._parameters, self._recipe = parameters, recipe
        self.momentum = {name: torch.zeros_like(parameter.detach()) for name, parameter in parameters.items()}

    def load(self, momentum: dict[str, Tensor]) -> None:
        """Set the momentum, by parameter name; what is not given is zero, as at initialisation."""
        for name, buffer in self.momentum.items():
            buffer.copy_(momentum[name]) if name in momentum else buffer.zero_()

    def buffers(self, name: str) -> list[Tensor]:
        """What is remembered of one parameter, in its shape."""
        return [self.momentum[name]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float | Tensor, loss: Tensor) -> None:
        """One update of every parameter that has a gradient; none at all if `loss` is not finite."""
        used = {name: p for name, p in self._parameters.items() if p.grad is not None}
        torch._fused_sgd_(
            list(used.values()),
            [p.grad for p in used.values() if p.grad is not None],
            [self.momentum[name] for name in used] if self._recipe.momentum else [],
            weight_decay=self._recipe.weight_decay,
            momentum=self._recipe.momentum,
            lr=cast(Any, lr),  # a number, or a tensor that a graph reads
            dampening=0.0,
            nesterov=self._recipe.nesterov,
            maximize=False,
            is_first_step=False,
            found_inf=not_finite(loss),
        )
