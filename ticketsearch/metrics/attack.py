"""Adversarial attacks: how often the model is right where every pixel may have been moved against it.

Attacks live in pixel space, in [0, 1]; the model normalises by itself. They go up the gradient of the cross-entropy of
the true label, in float32. The sign of 0 is 0: a pixel that does not matter stays where it is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from ticketsearch import seeding
from ticketsearch.data.base import Data
from ticketsearch.metrics.base import EvalContext, Metric, Value

BLOCK = 500
"""Images that are attacked together; random starts are drawn for so many."""

Levels = Annotated[float, Gt(0), Le(255)]


@dataclass(frozen=True)
class Fgsm(Metric):
    """Accuracy after one step of eps against the sign of the gradient, without a random start (Goodfellow et al. 2015),
    with the binomial standard error.

    The code released with Chen et al. (2022) runs the projected attack of advertorch with one step and no random start,
    which is the same.

    Attributes:
        images: how many test images, the first of them; None: the dataset's `sample`.
        eps: by how much a pixel may change at most, in 255ths of the range.
    """

    images: Annotated[int, Ge(1)] | None = None
    eps: Levels = 8.0

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        right, eps = [], self.eps / 255
        for _, pixels, labels in _blocks(data, self.images):
            moved = ascended(model, pixels, labels, pixels, eps, eps, 1)
            right.append(_right(model, moved, labels))
        return [_accuracy("fgsm_accuracy", torch.cat(right))]


@dataclass(frozen=True)
class Pgd(Metric):
    """Accuracy after projected gradient ascent in the L-infinity ball (Madry et al. 2018), at its last step, with the
    binomial standard error.

    Each restart begins at a point uniform in the ball, a function of the image's number and the restart alone, clipped
    to [0, 1].

    Attributes:
        images: how many test images, the first of them; None: the dataset's `sample`.
        eps: by how much a pixel may change at most, in 255ths of the range.
        step: by how much it changes in a step, in the same unit.
        steps: how many.
        restarts: how often; an image counts as right only if it is right after every one.
    """

    images: Annotated[int, Ge(1)] | None = None
    eps: Levels = 8.0
    step: Levels = 2.0
    steps: Annotated[int, Ge(1)] = 10
    restarts: Annotated[int, Ge(1)] = 1

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        right, eps = [], self.eps / 255
        for block, pixels, labels in _blocks(data, self.images):
            worst = torch.ones_like(labels, dtype=torch.float32)
            for restart in range(self.restarts):
                start = (pixels + eps * noise(pixels, restart, block)).clamp(0, 1)
                moved = ascended(model, pixels, labels, start, eps, self.step / 255, self.steps)
                worst *= _right(model, moved, labels)
            right.append(worst)
        return [_accuracy("pgd_accuracy", torch.cat(right))]


def ascended(
    model: nn.Module, pixels: Tensor, labels: Tensor, start: Tensor, eps: float, step: float, steps: int
) -> Tensor:
    """Images after `steps` steps along the sign of the gradient, each time put back into the ball and into [0, 1].

    The model's parameters get no gradients. Nothing waits for the device.

    Args:
        model: in evaluation mode, so that an image does not depend on the others.
        pixels: the images, [N, C, H, W] in [0, 1]: the centre of the ball.
        labels: int64 [N].
        start: where to begin, in the ball.
        eps: the radius of the ball.
        step: the length of a step.
        steps: how many.
    """
    low, high = (pixels - eps).clamp_min(0), (pixels + eps).clamp_max(1)
    moved = start
    with torch.enable_grad():
        for _ in range(steps):
            moved = moved.detach().requires_grad_()
            loss = F.cross_entropy(model(moved), labels, reduction="sum")  # a sum: no image's gradient knows how many
            (gradient,) = torch.autograd.grad(loss, moved)
            moved = (moved.detach() + step * gradient.sign()).clamp(low, high)
    return moved


def noise(pixels: Tensor, restart: int, block: int) -> Tensor:
    """Uniform numbers in [-1, 1), as many as pixels; whole blocks are drawn, so that fewer images have the same."""
    generator = seeding.generator(0, "pgd", restart, block)
    return torch.rand(BLOCK, *pixels.shape[1:], generator=generator)[: len(pixels)].to(pixels.device) * 2 - 1


def _blocks(data: Data, count: int | None) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The first `count` test images, block by block: its number, pixels in [0, 1] and labels."""
    test = data.test[:count]
    for number, (images, labels) in enumerate(zip(test.images.split(BLOCK), test.labels.split(BLOCK), strict=True)):
        yield number, images.float().div_(255), labels


@torch.no_grad()
def _right(model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """1 where the prediction is the label, else 0; NaN where the logits are no numbers: float32 [N]."""
    logits = model(pixels)
    right = (logits.argmax(1) == labels).float()
    return right.where(logits.isfinite().all(1), math.nan)


def _accuracy(name: Literal["fgsm_accuracy", "pgd_accuracy"], right: Tensor) -> Value:
    share = float(right.double().mean())
    return Value(name, share, 1, stderr=math.sqrt(share * (1 - share) / len(right)))
