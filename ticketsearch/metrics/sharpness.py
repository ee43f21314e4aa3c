"""How far the training loss can rise near a ticket's weights."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from annotated_types import Ge, Gt
from torch import nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.hessian import directions, few, looked_at
from ticketsearch.metrics.loss import Loss, Weights


@dataclass(frozen=True)
class Sharpness(Metric):
    """The greatest rise of the mean cross-entropy that is found within a box around the weights, in percent: 100 (max
    L(w + y) - L(w)) / (1 + L(w)), |y_i| <= epsilon (|w_i| + 1) (Keskar et al. 2017, metric 2.1, in the whole space).

    Keskar et al. maximise with ten iterations of L-BFGS-B; this takes `steps` along the sign of the gradient, each 2.5
    epsilon (|w_i| + 1) / steps long, within the box, and the greatest loss on the way. Both are lower bounds. Pruned
    weights do not move, so that a ticket's box has fewer dimensions than the dense model's. Variant `sam`:
    likewise at the one point that sharpness-aware minimisation looks at, w + rho g / |g| (Foret et al. 2021).

    The model is in evaluation mode; a batch norm after a layer makes the loss blind to that layer's scale, but not to
    perturbations that do not grow with it.

    Attributes:
        images: how many, the first of the split; None: 200, or a quarter of the dataset's `sample` where that is less.
        split: of which images.
        parameters: `prunable`: weights alive within the mask; `all`: also what is never pruned.
        epsilon: half the side of the box, beside |w_i| + 1; Keskar et al. take 1e-3 and 5e-4.
        steps: of the ascent.
        rho: length of the step of variant `sam`.
        batch: images that go through the network together at most.
    """

    images: Annotated[int, Ge(1)] | None = None
    split: Literal["train", "val", "test"] = "train"
    parameters: Literal["prunable", "all"] = "prunable"
    epsilon: Annotated[float, Gt(0)] = 1e-3
    steps: Annotated[int, Ge(1)] = 10
    rho: Annotated[float, Gt(0)] = 0.05
    batch: Annotated[int, Ge(1)] = 500

    def suited(self, dataset: Dataset) -> Self:
        return replace(self, images=few(dataset)) if self.images is None else self

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        part = looked_at(data, self.split, self.images)
        loss = Loss(model, part, self.batch)
        alive = {
            name: entries.to(part.images.device)
            for name, entries in directions(model, ctx.mask, self.parameters).items()
        }
        weights = {name: loss.state[name] for name in alive}
        at, gradient = loss.gradient(weights, alive)
        highest = self._highest(loss, weights, alive, gradient)
        length = torch.stack([part.double().square().sum() for part in gradient.values()]).sum().sqrt().float()
        scale = self.rho / length if length > 0 else 0.0  # at a flat place there is no direction
        ahead = loss({name: weight + scale * gradient[name] for name, weight in weights.items()})
        found = ("", max(highest, at)), ("sam", ahead)
        return [
            Value("sharpness", 100 * (top - at) / (1 + at), -1, "%", self.split, variant=name) for name, top in found
        ]

    def _highest(self, loss: Loss, start: Weights, alive: Weights, gradient: Weights) -> float:
        """The greatest loss on the way."""
        side = {name: self.epsilon * (weight.abs() + 1) for name, weight in start.items()}
        moved, highest, stride = dict(start), float("-inf"), 2.5 / self.steps
        for step in range(self.steps):
            if step:
                found, gradient = loss.gradient(moved, alive)
                highest = max(highest, found)
            moved = {
                name: torch.clamp(
                    moved[name] + stride * side[name] * gradient[name].sign(),
                    weight - side[name],
                    weight + side[name],
                )
                for name, weight in start.items()
            }
        return max(highest, loss(moved))
