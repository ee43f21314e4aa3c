"""One draw of a pruner on the network of three layers, with everything that went through it meanwhile."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from tests.three import Three, context, keep_of, pruner, view
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.recipe import Recipe


@dataclass(frozen=True)
class Recording(Context):
    """A context that notes what randomness was asked for; a search sees its images in an order that is random."""

    asked: list[str] = field(default_factory=list)

    def rng(self, purpose: str) -> torch.Generator:
        self.asked.append(purpose)
        return super().rng(purpose)

    def fit(self, module: nn.Module, recipe: Recipe, epochs: float) -> None:
        self.asked.append("order")
        super().fit(module, recipe, epochs)


@dataclass
class Passes:
    """Images that went through any network of three layers, and gradients that came back; without the validation of a
    search, which is no part of what it needs.
    """

    forwards: int = 0
    backwards: int = 0
    searching: bool = False

    @contextmanager
    def counted(self, ctx: Context) -> Iterator[Context]:
        """A context whose searches are known to be some."""

        def train(module: nn.Module, recipe: Recipe, epochs: float) -> int:
            self.searching = True
            images = ctx.train(module, recipe, epochs)
            self.searching = False
            return images

        hook = torch.nn.modules.module.register_module_forward_hook(self._note)
        try:
            yield replace(ctx, train=train)
        finally:
            hook.remove()

    def _note(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, Three) and (module.training or not self.searching):
            self.forwards += len(output)
            if output.requires_grad:
                output.register_hook(self._back)

    def _back(self, grad: Tensor) -> None:
        self.backwards += len(grad)


@dataclass(frozen=True)
class Draw:
    """A draw, what it asked for, and what went through a network meanwhile."""

    at: View
    ticket: Ticket
    ctx: Recording
    passes: Passes


@cache
def drawn(name: str, seed: int = 0, state: int = 1) -> Draw:
    """What a pruner draws, with the global generators in one state or another."""
    chosen = pruner(name)
    at, passes = view(chosen), Passes()
    _scatter(state)
    ctx = context(at, seed, Recording)
    with passes.counted(ctx) as counting, ctx.cost.counting(at.model):
        found = chosen.draw(at, keep_of(chosen, at), counting)
    assert isinstance(ctx, Recording)
    return Draw(at, ticket_of(found, ctx), ctx, passes)


def ticket_of(found: Mask | Ticket, ctx: Context) -> Ticket:
    return found if isinstance(found, Ticket) else Ticket(found, ctx.rewound)


def _scatter(state: int) -> None:
    torch.manual_seed(state)
    np.random.seed(state)
    random.seed(state)
