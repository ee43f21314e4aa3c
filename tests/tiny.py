"""A network of 4,934 parameters and 150 digits: an epoch of training takes a fiftieth of a second."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ticketsearch.data.base import Data
from ticketsearch.data.digits import Digits
from ticketsearch.files import decode_state, encode_state
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.ticket import Mask, Ticket, Weights, keep_top, prunable_layers
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Checkpoint, TrainState

DATASET = Digits(subset=150, validation=50)
RECIPE = Recipe(epochs=3, batch_size=32, lr=0.1, weight_decay=5e-4, decay="cosine", warmup=1.0)
PER_EPOCH = 5  # batches of 32, 32, 32, 32 and 22


def network(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A ResNet-8 of width 4 with the initial weights of a seed."""
    return SmallImageResNet(depth=8, width=4).initial(DATASET, seed).to(dtype)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the whole state dict."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def magnitude_mask(model: nn.Module, density: float) -> Mask:
    """The largest weights of a model; every layer loses some, and keeps some, at a density of 0.4."""
    layers = prunable_layers(model)
    scores = {name: model.state_dict()[name].abs() for name in layers}
    return keep_top(scores, Mask.ones(layers), round(density * Mask.ones(layers).total))


def ticket(density: float = 0.4, seed: int = 0, dtype: torch.dtype = torch.float32, rest: Any = None) -> Ticket:
    """A ticket drawn from an untrained network; its start is not masked."""
    model = network(seed, dtype)
    return Ticket(magnitude_mask(model, density), weights_of(model), rest)


class Memory(Checkpoint):
    """Keeps what a training hands over, as copies; `resumed` is what it loads."""

    def __init__(self, resumed: TrainState | None = None) -> None:
        self.resumed = resumed
        self.saved: list[bytes] = []
        self.snapshots: dict[int, TrainState] = {}
        self.epochs: list[tuple[Mapping[str, float], int]] = []

    def load(self) -> TrainState | None:
        return self.resumed

    def save(self, state: Any) -> None:
        self.saved.append(encode_state(state(), {}))

    def snapshot(self, state: TrainState) -> None:
        assert state.progress.step not in self.snapshots
        self.snapshots[state.progress.step] = deepcopy(state)

    def epoch(self, record: Mapping[str, float], epochs: int) -> None:
        self.epochs.append((record, epochs))


def decoded(content: bytes) -> TrainState:
    """A state out of `Memory.saved`."""
    return decode_state(content)[0]


def training(chosen: Ticket, memory: Memory | None = None, data: Data | None = None, **job: Any) -> Training:
    """A training of a ticket that is ready to run. `recipe` fields may be among `job`, the rest is of the assignment.

    The network's weights are of another seed, so nothing of the ticket can be there by chance.
    """
    fields = {name: job.pop(name) for name in list(job) if name in RECIPE.__dataclass_fields__ and name != "epochs"}
    recipe = replace(RECIPE, **fields)
    dtype = next(iter(chosen.start.values())).dtype
    assignment = Assignment(chosen, 5, job.pop("order_seed", 5), memory or Memory(), **job)
    return Training(network(99, dtype), assignment, recipe, DATASET, data or DATASET.load())


def same(one: Weights, other: Weights) -> bool:
    """Whether two sets of tensors are the same, bit for bit."""
    if one.keys() != other.keys():
        return False
    return all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)
