"""How much noise a ticket bears, in its weights and in its pixels, before the training loss rises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from ticketsearch import seeding
from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.hessian import few, looked_at
from ticketsearch.metrics.loss import Loss


@dataclass(frozen=True)
class Flatness(Metric):
    """The greatest standard deviation of noise with which the mean cross-entropy, averaged over draws, is at most
    `rise` times what it is without: the larger, the flatter (the PAC-Bayesian measure of Jiang et al. 2020, as in the
    code released with Chen et al. 2022, whose preprint showed it).

    `magnitude_flatness`: noise on the prunable weights in proportion to each, w (1 + sigma z), pruned ones stay as they
    are (the released code perturbs every convolution, nothing else); variant `input`: noise on pixels, clipped to [0,
    1]. It is found by bisection. The released code draws anew in every step; here the draws are the
    same for every sigma and every ticket, so that what is compared differs in the tickets alone. A value at the end of
    its range means that or more. A loss of 0 bears no noise at all by this rule.

    Attributes:
        images: how many, the first of the split; None: 200, or a quarter of the dataset's `sample` where that is less.
        split: of which images.
        draws: of the noise on weights; published: 15.
        input_draws: of the noise on pixels; published: 3.
        rise: the loss that is borne, beside that without noise; published: 1.1.
        tolerance: of sigma; published: 1e-3.
        most: the greatest sigma of weights that is tried; published: 5.
        input_most: the greatest sigma of pixels; published: 2.
        batch: images that go through the network together at most.
    """

    images: Annotated[int, Ge(1)] | None = None
    split: Literal["train", "val", "test"] = "train"
    draws: Annotated[int, Ge(1)] = 5
    input_draws: Annotated[int, Ge(1)] = 3
    rise: Annotated[float, Gt(1)] = 1.1
    tolerance: Annotated[float, Gt(0)] = 1e-2
    most: Annotated[float, Gt(0)] = 5.0
    input_most: Annotated[float, Gt(0)] = 2.0
    batch: Annotated[int, Ge(1)] = 500

    def suited(self, dataset: Dataset) -> Self:
        return replace(self, images=few(dataset)) if self.images is None else self

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        part = looked_at(data, self.split, self.images)
        found = (
            ("", self._of_weights(model, part, ctx), self.most, self.draws),
            ("input", self._of_pixels(model, part), self.input_most, self.input_draws),
        )
        return [
            Value("magnitude_flatness", self._borne(loss, most, draws), 1, "", self.split, variant=variant)
            for variant, loss, most, draws in found
        ]

    def _borne(self, loss: Callable[[float, int], float], most: float, draws: int) -> float:
        """The greatest sigma."""

        def mean(sigma: float) -> float:
            return sum(loss(sigma, draw) for draw in range(draws)) / draws

        return greatest(mean, self.rise * loss(0.0, 0), most, self.tolerance)

    def _of_weights(self, model: nn.Module, part: Split, ctx: EvalContext) -> Callable[[float, int], float]:
        loss = Loss(model, part, self.batch)
        weights = {name: loss.state[name] for name in ctx.mask}
        alive = [ctx.mask[name].to(weight.device) for name, weight in weights.items()]
        drawn = [_noise([w.shape for w in weights.values()], "weights", n, part) for n in range(self.draws)]
        noise = [[z.where(own, 0.0) for z, own in zip(each, alive, strict=True)] for each in drawn]

        def of(sigma: float, draw: int) -> float:
            return loss({name: w * (1 + sigma * z) for (name, w), z in zip(weights.items(), noise[draw], strict=True)})

        return of

    def _of_pixels(self, model: nn.Module, part: Split) -> Callable[[float, int], float]:
        loss, pixels = Loss(model, part, self.batch), part.images.float().div_(255)
        noise = [_noise([pixels.shape], "pixels", n, part)[0] for n in range(self.input_draws)]
        return lambda sigma, draw: loss({}, (pixels + sigma * noise[draw]).clamp_(0, 1))


def greatest(loss: Callable[[float], float], limit: float, most: float, tolerance: float) -> float:
    """The greatest argument at which a function that rises is at most `limit`, by bisection.

    Args:
        loss: of an argument in [0, most].
        limit: at least the function at 0.
        most: returned where the function is below the limit there.
        tolerance: how much less than the true one the result may be.
    """
    low, high = 0.0, most
    if loss(most) <= limit:
        return most
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if loss(middle) <= limit else (low, middle)
    return low


def _noise(shapes: Sequence[torch.Size], purpose: str, draw: int, part: Split) -> list[Tensor]:
    """Standard normal numbers, a function of the draw alone."""
    rng = seeding.generator(0, "flatness", purpose, draw)
    return [torch.randn(shape, generator=rng).to(part.images.device) for shape in shapes]
