"""What a metric is and what it may look at."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.ticket import Layer, Mask, Ticket


@dataclass(frozen=True)
class Value:
    """One measurement.

    Attributes:
        name: of the metric: `accuracy`, `nll`, ... (`docs/rows.md` lists them)
        value: raw; accuracies and errors are fractions in [0, 1].
        better: +1 if higher is better, -1 if lower is, None if neither.
        unit: "" for pure numbers.
        split: the images it was measured on: train, val or test.
        stderr: standard error of a value that was sampled or estimated, else None.
        variant: what tells values of one name apart: a class, a layer, another convention; "" is the one that figures
            show.
        at: of which weights of the ticket: those at the `end` of its training, or at its `start`.
        skipped: why it was not measured, where `value` is NaN because something that it needs is not there.
    """

    name: str
    value: float
    better: Literal[1, -1] | None
    unit: str = ""
    split: str = "test"
    stderr: float | None = None
    variant: str = ""
    at: Literal["start", "end"] = "end"
    skipped: str = ""


@dataclass(frozen=True)
class Dense:
    """What a metric may know of the dense model of the same seed.

    Attributes:
        logits: split name -> float32 [N, classes].
    """

    logits: Mapping[str, Tensor]


@dataclass(frozen=True)
class EvalContext:
    """What a metric may look at besides the model and the data.

    Attributes:
        mask: of the ticket.
        layers: its prunable layers.
        dense: of the same seed; None while the dense model itself is evaluated.
        forward: the logits of a split, computed once for all metrics.
        dataset: that the images are of: where its folder is, and what images of its shape can be compared with.
        known: split name -> its logits, as far as they have been computed.
        start: the ticket as its training began, read when it is asked for; the model may hold other weights then. None:
            nobody knows.
    """

    mask: Mask
    layers: Mapping[str, Layer]
    dense: Dense | None
    forward: Callable[[Split], Tensor]
    dataset: Dataset
    known: dict[str, Tensor] = field(default_factory=dict)
    start: Callable[[], Ticket] | None = None

    def logits(self, name: str, split: Split) -> Tensor:
        """Logits of a split by name, float32 [N, classes]: one forward pass however many metrics ask."""
        if name not in self.known:
            self.known[name] = self.forward(split)
        return self.known[name]

    def forget(self) -> None:
        """Forget the logits: the model that gave them may not have been the ticket."""
        self.known.clear()


@dataclass(frozen=True)
class Metric(ABC):
    """A family of measurements of one trained ticket. Pure: the model comes back bit-identical.

    Fields of subclasses are its settings; rows carry a hash of them, so that values of two settings are told apart.
    """

    revision: ClassVar[int] = 1

    def suited(self, dataset: Dataset) -> Self:
        """The same with what its settings leave to the dataset: here `images`, how many test images it looks at."""
        return replace(self, images=dataset.sample) if getattr(self, "images", 0) is None else self  # type: ignore[call-arg]

    def lacks(self, dataset: Dataset) -> frozenset[str]:
        """Why values would be `skipped` now, found without reading any image. When that changes, the family is measured
        again.
        """
        return frozenset()

    @abstractmethod
    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        """Measure.

        Args:
            model: the trained ticket, in evaluation mode.
            data: the images, on the model's device.
            ctx: mask, dense predictions, shared logits.
        """
