"""Updates through `torch.compile`: fused kernels, made once for all rounds."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ticketsearch.errors import RunFailed
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.update import Update


class Compiled(Update):
    """Forward and backward pass of full batches are compiled; what is left over at the end of an epoch is not, since
    every other size would be compiled for itself. Masks are held outside, so that one compilation serves every round.

    Its sums are in another order than those of `Update`: the loss of a step agrees to rounding, a long training to
    what chaos makes of it.
    """

    name, exact = "compiled", False

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ticketsearch", "inductor")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))  # its own default is where others may write
        self._compiled: Callable[[Tensor], Tensor] = torch.compile(model, dynamic=False)

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) != self.recipe.batch_size:
            return super().forward(pixels)
        try:
            return self._compiled(pixels)
        except torch._dynamo.exc.TorchDynamoException as error:
            what = f"torch.compile fails on this network here: {str(error).strip().splitlines()[0]}"
            raise RunFailed(what, "on a CPU it needs a C++ compiler", "ticketsearch run engine=eager") from error
