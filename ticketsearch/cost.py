"""What a draw computes: images that go through the network, counted as they do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from ticketsearch.metrics.base import Value


@dataclass
class Cost:
    """What was computed so far. What a killed process computed in vain is not in it.

    Attributes:
        forwards: images of which the network's output was computed.
        backwards: images of which a gradient was propagated back from the output.
        seconds: of trainings, over all processes that worked on them.
        made: the environments of those processes (`ticketsearch.provenance`), each once.
        scoring: images a class -> SHA-256 of the places in the training images of the scoring sets that were looked at.
    """

    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    made: list[str] = field(default_factory=list)
    scoring: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def counting(self, network: nn.Module) -> Iterator[None]:
        """Count every pass through a network, and through deep copies that are made of it meanwhile."""

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.forwards += len(output)
            if output.requires_grad:
                output.register_hook(note_backward)

        def note_backward(grad: Tensor) -> None:
            self.backwards += len(grad)

        hook = network.register_forward_hook(note)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """What happens inside is counted by the caller, who knows of it what other processes did before this one."""
        before = self.forwards, self.backwards
        try:
            yield
        finally:
            self.forwards, self.backwards = before

    def values(self, macs: int) -> list[Value]:
        """As values; a backward pass takes two multiply-adds where a forward pass takes one.

        Args:
            macs: multiply-adds of one image's forward pass. Masks simulate sparsity, so it is the dense network's.
        """
        work = (self.forwards + 2 * self.backwards) * macs
        return [
            Value("draw_images", self.forwards, -1, "images", "train"),
            Value("draw_images", self.backwards, -1, "images", "train", variant="backward"),
            Value("draw_macs", work, -1, "multiply-adds", "train"),
        ]
