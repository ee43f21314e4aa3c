"""What every model shares: its yaml's specification and the normalisation that is its first layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ticketsearch import seeding
from ticketsearch.data.base import Dataset


class Normalise(nn.Module):
    """(x - mean) / std per channel, for pixels in [0, 1]. Inside the model, so attacks and corruptions live in pixel
    space.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


@dataclass(frozen=True)
class Model(ABC):
    """What a model's yaml says. `build` returns a plain module that names its classifier in the attribute `classifier`.

    Attributes:
        recipe: the recipe that `recipe=auto` means for this model; None: the dataset's.
    """

    revision: ClassVar[int] = 1
    recipe: ClassVar[str | None] = None

    @abstractmethod
    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        """A network for images of `shape` (C, H, W), with `normalise` as its first layer and random weights."""

    def initial(self, dataset: Dataset, seed: int, purpose: str = "init") -> nn.Module:
        """The network for `dataset` with the initial weights of `seed`; another `purpose` gives other weights."""
        with seeding.forked(seed, purpose):
            return self.build(dataset.shape, dataset.outputs, Normalise(dataset.mean, dataset.std))
