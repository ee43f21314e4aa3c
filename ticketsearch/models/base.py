"""What every model shares: its yaml's specification and the normalisation that is its first layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from annotated_types import MaxLen, MinLen
from torch import Tensor, nn

from ticketsearch import seeding
from ticketsearch.data.base import Dataset
from ticketsearch.errors import UsageError
from ticketsearch.models import given


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
        weights: a file with the state dict that a search starts from, in place of initial weights; null: none. The seed
            then decides the order of the data, and what `reinit` draws, but not where a search starts.
        weights_sha256: what the file is known by, in the id; null: worked out from `weights`.
    """

    revision: ClassVar[int] = 1
    recipe: ClassVar[str | None] = None

    weights: str | None = field(default=None, kw_only=True, metadata={"identity": False})
    weights_sha256: Annotated[str, MinLen(64), MaxLen(64)] | None = field(default=None, kw_only=True)

    @abstractmethod
    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        """A network for images of `shape` (C, H, W), with `normalise` as its first layer and random weights."""

    def initial(self, dataset: Dataset, seed: int, purpose: str = "init") -> nn.Module:
        """The network for `dataset` with the initial weights of `seed`; another `purpose` gives other weights."""
        with seeding.forked(seed, purpose):
            return self.build(dataset.shape, dataset.outputs, Normalise(dataset.mean, dataset.std))

    def settled(self) -> Self:
        """The same, with the SHA-256 of `weights`.

        Raises:
            UsageError: the file cannot be read, or is another one than `weights_sha256` says.
        """
        if self.weights is None:
            return self
        sha, wanted = given.digest_of(self.weights), self.weights_sha256
        if wanted not in (None, sha):
            right = f"its SHA-256 is {sha}"
            attempt = f"ticketsearch run model.weights={self.weights}"
            raise UsageError(f"model.weights={self.weights} is not what model.weights_sha256 says", right, attempt)
        return replace(self, weights_sha256=sha)

    def begin(self, dataset: Dataset, seed: int) -> nn.Module:
        """The network that a search starts from: with the weights of the file, else with the initial ones of `seed`.

        Raises:
            UsageError: the file is not known, has changed, or is not one of this network.
        """
        network = self.initial(dataset, seed)
        if self.weights_sha256 is not None:
            if self.weights is None:
                what = f"the search starts from weights with the SHA-256 {self.weights_sha256[:12]}..."
                raise UsageError(what, "say in which file they are", given.TRY)
            network.load_state_dict(given.given(self.weights, self.weights_sha256, network))
        return network
