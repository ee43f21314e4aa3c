"""What a side tells of its work: enough to see whether the others have done the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        initial: digest of the weights that training started from.
        order: digest of the labels of the dense model's training, in the order of their use.
        kept: weights alive, of each level.
        losses: mean training loss, of each epoch of each level.
        accuracies: on the test images, of each level.
        pixels: digest of the first pass of the loader.
    """

    initial: str = ""
    order: str = ""
    kept: list[int] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    pixels: str = ""

    @property
    def loss(self) -> float:
        """The mean training loss over all epochs and levels."""
        every = [loss for level in self.losses for loss in level]
        return sum(every) / len(every)


@dataclass(frozen=True)
class Report:
    """What a side's process writes.

    Attributes:
        imports: CPU seconds, user and system, from the start of the process until everything is imported.
        seconds: the same of the work alone.
        outcome: what came out.
    """

    imports: float
    seconds: float
    outcome: Outcome

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Report":
        """What `text` has written."""
        found = json.loads(text)
        return cls(found["imports"], found["seconds"], Outcome(**found["outcome"]))


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of values in their order, whatever the memory format, and however they are cut into batches."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def of_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of named weights."""
    parts = [f"{name} {digest([weights[name]])}" for name in sorted(weights)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
