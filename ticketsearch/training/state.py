"""What training is given and gives back, and its state in between."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ticketsearch.ticket import Mask, Ticket, Weights
from ticketsearch.training.dynamics import Dynamics


@dataclass(frozen=True)
class Start:
    """Where training starts from, each part a choice of its own (see `ticketsearch.rewind`).

    Attributes:
        momentum: SGD's momentum by parameter name; None: zero.
        lr_step: the step at which the learning rate's course is entered; that many steps fewer are taken.
        data_step: the step at which the order of the data is entered.
        last_lr: train at the course's last learning rate throughout.
    """

    momentum: Weights | None = None
    lr_step: int = 0
    data_step: int = 0
    last_lr: bool = False


@dataclass
class Progress:
    """How far a training has come: the part of its state that is not a tensor. JSON through `vars`.

    Attributes:
        step: updates done.
        history: one record an epoch: epoch, step, lr, train loss, train and validation accuracy (fractions), path (L2).
        best_epoch: the epoch with the highest validation accuracy so far, the first of equals; None without validation.
        best_accuracy: its validation accuracy.
        last_finite: the loss of the last step that was checked; None before the first.
        seconds: training time over all processes that worked on it.
        searched: updates before a ticket was drawn in the middle of it; they are not among `step` and `history`.
        made: the environments of those processes (`ticketsearch.provenance`), each once.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_accuracy: float = -1.0
    last_finite: float | None = None
    seconds: float = 0.0
    searched: int = 0
    made: list[str] = field(default_factory=list)


@dataclass
class Within:
    """An epoch in progress: what its record is made of.

    Attributes:
        began: the parameters when it began.
        losses: of its steps so far, as far as they are read.
        sizes: the images in each of these steps.
        correct: how many of them were classified correctly.
    """

    began: dict[str, Tensor]
    losses: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    correct: int = 0


@dataclass
class TrainState:
    """A training between two steps.

    Attributes:
        weights: the model's state dict.
        momentum: SGD's momentum by parameter name.
        best: the weights with the best validation accuracy so far; empty without validation.
        progress: everything else.
        mask: the weights alive, where that changes in training; None: the assignment's.
        began: the ticket that training started again from; None: the assignment's.
        dynamics: what the dynamics remembers.
        within: the epoch in progress; None between two epochs.
    """

    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    best: dict[str, Tensor]
    progress: Progress
    mask: Mask | None = None
    began: Ticket | None = None
    dynamics: dict[str, Tensor] = field(default_factory=dict)
    within: Within | None = None


class Checkpoint:
    """What a training reports to; this one keeps nothing."""

    def load(self) -> TrainState | None:
        """The state last saved, or None."""
        return None

    def save(self, state: Callable[[], TrainState]) -> None:
        """Replace what was saved before; `state` is called only when it is wanted, since it copies every tensor."""

    def stop(self, state: TrainState) -> None:
        """Replace what was saved before, whatever it costs: the process is asked to end."""

    def snapshot(self, state: TrainState) -> None:
        """Keep the state at one of the steps in `Assignment.snapshots` for good."""

    def remark(self, text: str) -> None:
        """Hear what a person should know; '' nothing."""

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        """Hear of a finished epoch: its record and how many there will be."""


@dataclass(frozen=True)
class Assignment:
    """One ticket to train.

    Attributes:
        ticket: mask, start weights and rest.
        seed: of the cell; names it in errors.
        order_seed: of data order and augmentation.
        checkpoint: where the state of the round in progress is kept.
        start: where the optimiser, the learning rate and the data order start.
        epochs: multiple of the recipe's epochs.
        snapshots: steps after which the state is handed to `checkpoint.snapshot`; 0 is the start.
        stop: the step to stop at, for a rewind point; None: train to the end.
        dynamics: what its pruner does meanwhile.
    """

    ticket: Ticket
    seed: int
    order_seed: int
    checkpoint: Checkpoint = Checkpoint()
    start: Start = Start()
    epochs: float = 1.0
    snapshots: frozenset[int] = frozenset()
    stop: int | None = None
    dynamics: Dynamics | None = None


@dataclass(frozen=True)
class Trained:
    """A trained ticket.

    Attributes:
        weights: the state dict at the end, pruned weights at `rest`; on the CPU.
        best: the state dict at the best validation accuracy; empty without validation; on the CPU.
        progress: history and totals.
        began: the ticket that training started from: the assignment's, unless another was drawn in the middle.
        mask: the weights alive at the end.
        logits: of the weights at the end, as far as they are known: split name -> float32 [N, classes], on the device.
    """

    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    progress: Progress
    began: Ticket
    mask: Mask
    logits: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_is_last(self) -> bool:
        """Whether validation was best at the end."""
        history = self.progress.history
        return bool(history) and self.progress.best_epoch == history[-1]["epoch"]
