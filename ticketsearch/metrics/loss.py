"""The loss of some images as a function of a model's weights and of the pixels."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch.data.base import Split
from ticketsearch.metrics.hessian import copied

Weights = Mapping[str, Tensor]


class Loss:
    """The mean cross-entropy of images as a function of some of a model's parameters.

    Attributes:
        state: copies of everything that the model computes with.
    """

    def __init__(self, model: nn.Module, part: Split, batch: int) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: in evaluation mode; stays as it is.
            part: the images and labels.
            batch: images that go through the network together at most.
        """
        self._model, self._part, self._batch = model, part, batch
        self.state = copied(model, torch.float32)

    def __call__(self, weights: Weights, pixels: Tensor | None = None) -> float:
        """The loss with other weights than the state's, in nats; given `pixels` in [0, 1] take the images' place."""
        with torch.no_grad():
            return float(torch.stack([self._of(weights, *batch) for batch in self._batches(pixels)]).sum())

    def gradient(self, weights: Weights, alive: Weights) -> tuple[float, dict[str, Tensor]]:
        """The loss, and its gradient where entries are alive, 0 elsewhere."""
        asked = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        total, found = 0.0, {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for batch in self._batches():
            with torch.enable_grad():
                loss = self._of(asked, *batch)
                parts = torch.autograd.grad(loss, list(asked.values()), materialize_grads=True)
            total += loss.item()
            for (name, own), part in zip(found.items(), parts, strict=True):
                own.add_(part.where(alive[name], 0.0))
        return total, found

    def _of(self, weights: Weights, pixels: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(self._model, self.state | dict(weights), (pixels,))
        return F.cross_entropy(logits, labels, reduction="sum") / len(self._part)

    def _batches(self, pixels: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        images = self._part.images.float().div_(255) if pixels is None else pixels
        return list(zip(images.split(self._batch), self._part.labels.split(self._batch), strict=True))
