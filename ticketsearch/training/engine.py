"""Which engine executes the updates of a training. None changes the method, and `eager` is the reference.

`auto` gives the numbers of `eager` bit for bit on a CPU, where it takes the gradients of a perceptron by hand; on a GPU
it replays a CUDA graph, and says so where it cannot. `compiled` fuses kernels. Where the last digits may differ from
those of `eager`, a round says so where it says what it was trained with.
"""

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Literal

import torch
from torch import nn

from ticketsearch.errors import UsageError
from ticketsearch.training.compiled import Compiled
from ticketsearch.training.graph import Graph
from ticketsearch.training.perceptron import Perceptron, is_perceptron
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.update import Update

Name = Literal["auto", "eager", "compiled", "graph"]


class Engine:
    """Makes the updates of networks, and keeps what was costly to make: a search has one for all its rounds.

    Args:
        name: what was asked for.
    """

    def __init__(self, name: Name = "eager") -> None:
        self.name = name
        self._kept: dict[tuple[int, Recipe], Update] = {}
        self._copies: dict[tuple[int, int], nn.Module] = {}
        self._streams: dict[tuple[torch.device, int], torch.cuda.Stream] = {}

    def check(self, device: torch.device) -> None:
        """Raise UsageError where this device cannot do what was asked for."""
        if self.name == "graph" and device.type != "cuda":
            raise UsageError("engine=graph is a CUDA graph", "it needs device=cuda", "ticketsearch run engine=auto")

    def inexact(self, device: torch.device) -> str:
        """The name of the engine where its numbers may differ from those of `eager` in their last digits, else ''."""
        chosen = "graph" if self.name == "auto" and device.type == "cuda" else self.name
        return chosen if chosen in (Compiled.name, Graph.name) else ""

    def update(self, model: nn.Module, recipe: Recipe) -> Update:
        """The updates of a network that is on the device to train on."""
        device = next(model.parameters()).device
        if not self.inexact(device):
            hand = self.name == "auto" and device.type == "cpu" and is_perceptron(model)
            return Perceptron(model, recipe) if hand else Update(model, recipe)
        key = (id(model), recipe)  # which lives as long as what is kept of it
        if key not in self._kept:
            strict, compiled = self.name == "graph", self.name == "compiled"
            self._kept[key] = Compiled(model, recipe) if compiled else Graph(model, recipe, strict)
        return self._kept[key]

    def member(self, model: nn.Module, number: int) -> nn.Module:
        """The network of one member of a wave: the first works on the given one, the others on copies that are kept."""
        if number == 0:
            return model
        key = (id(model), number)
        if key not in self._copies:
            self._copies[key] = deepcopy(model)
        return self._copies[key]

    def stream(self, device: torch.device, number: int) -> AbstractContextManager[object]:
        """Where one member of a wave works: on a GPU a stream of its own, the same in every round, since memory that
        was used in one serves no other. What is asked of the device already comes first.
        """
        if device.type != "cuda":
            return nullcontext()
        if (device, number) not in self._streams:
            self._streams[device, number] = torch.cuda.Stream(device)
        stream = self._streams[device, number]
        stream.wait_stream(torch.cuda.current_stream(device))
        return torch.cuda.stream(stream)

    def forget(self) -> None:
        """Let go of everything that is kept, and of the memory that graphs hold."""
        self._kept.clear()
        self._copies.clear()
        self._streams.clear()
