"""Recipes: how long, how fast and in which precision a model trains."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

Share = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True)
class Recipe:
    """How a model is optimised; the learning rate of every step is a function of its number.

    Attributes:
        epochs: passes over the training images; a pruner's `epochs` multiplies it.
        batch_size: images a step.
        lr: the highest learning rate.
        optimiser: `sgd`: stochastic gradient descent with momentum; `adam` (Kingma & Ba 2015).
        momentum: of SGD, without dampening; of Adam, the decay of the first moment (beta1).
        nesterov: Nesterov's form of the momentum.
        beta2: Adam's decay of the second moment.
        eps: what Adam adds to its root.
        weight_decay: added to the gradient of every parameter, as `weight_decay` x weight.
        decay: `steps` multiplies by `gamma` at each share in `decay_at`; `cosine` falls to 0; `constant` does not fall.
        decay_at: shares of the training at which `steps` falls (0.5 and 0.75 of 160 epochs: 80 and 120).
        gamma: what `steps` multiplies by.
        warmup: epochs over which the learning rate rises linearly, to the full rate at its end.
        precision: `float32`, or `bfloat16` by autocast (weights and the update stay float32).
        channels_last: memory format of images and convolutions; changes speed and rounding, not the method.
    """

    revision: ClassVar[int] = 1

    epochs: Annotated[int, Ge(1)] = 160
    batch_size: Annotated[int, Ge(1)] = 128
    lr: Annotated[float, Gt(0)] = 0.1
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    nesterov: bool = False
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    decay: Literal["steps", "cosine", "constant"] = "steps"
    decay_at: tuple[Share, ...] = (0.5, 0.75)
    gamma: Annotated[float, Gt(0), Le(1)] = 0.1
    warmup: Annotated[float, Ge(0)] = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum > 0")
        if self.nesterov and self.optimiser == "adam":
            raise ValueError("nesterov is a form of SGD's momentum: optimiser=sgd")

    def learning_rates(self, steps: int, per_epoch: int) -> list[float]:
        """The learning rate of each of `steps` steps, `per_epoch` of them an epoch."""
        rise = self.warmup * per_epoch
        return [
            self.lr * min(1.0, (step + 1) / rise if rise else 1.0) * self._fall(step / steps) for step in range(steps)
        ]

    def _fall(self, share: float) -> float:
        """What is left of the full rate after this share of the training."""
        if self.decay == "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        if self.decay == "steps":
            return self.gamma ** sum(share >= at for at in self.decay_at)
        return 1.0
