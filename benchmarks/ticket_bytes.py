"""Bytes of stored tickets against those of a dense checkpoint, round by round, at 1 - 0.8^n.

    python -m benchmarks.ticket_bytes

A dense checkpoint is a state dict and SGD's momentum, four bytes a number and nothing else: less than any file of
it takes. A ticket is the file that a round commits: mask, survivors, everything that is not prunable, names.

open_lth (Frankle 2020, as of commit 2ce732f) writes five times the parameters a round, four bytes each: the weights
that training starts from, those that it ends with, the mask as numbers, and a checkpoint with its momentum.
"""

import sys
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.goals import Goal
from ticketsearch.files import encode_ticket
from ticketsearch.models.base import Normalise
from ticketsearch.models.lenet import LeNet300
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.schedule import Geometric
from ticketsearch.ticket import Mask, Ticket, keep_top, prunable_layers

ROUNDS = 16
OPEN_LTH = {"LeNet-300-100": 5.34e6, "ResNet-20": 5.63e6}
"""Bytes that open_lth writes a round."""
TIMES, LAST_TIMES = 16, 100
"""How many times fewer bytes all rounds, and the last one, should take than its."""


@dataclass(frozen=True)
class Bytes:
    """Sizes of one model's tickets.

    Attributes:
        dense: bytes of the dense checkpoint.
        tickets: bytes of the ticket of each round, the dense model's own first.
    """

    dense: int
    tickets: tuple[int, ...]

    @property
    def over_all(self) -> float:
        """How many times fewer bytes all rounds take together."""
        return self.dense * len(self.tickets) / sum(self.tickets)

    @property
    def last(self) -> float:
        """How many times fewer bytes the last round takes."""
        return self.dense / self.tickets[-1]


def measure(model: nn.Module) -> Bytes:
    """Draw tickets by magnitude at the sparsities of 17 rounds and encode them."""
    weights, layers = model.state_dict(), prunable_layers(model)
    dense = sum(t.numel() * t.element_size() for t in weights.values()) + sum(4 * p.numel() for p in model.parameters())
    sizes, mask = [], Mask.ones(layers)
    for n in range(ROUNDS + 1):
        mask = keep_top({name: weights[name].abs() for name in layers}, mask, Geometric().keep(n, mask.total))
        sizes.append(len(encode_ticket(Ticket(mask, {}).masked(weights), mask, None)))
    return Bytes(dense, tuple(sizes))


def models() -> dict[str, nn.Module]:
    """The two networks of the table, with the weights of seed 0."""
    torch.manual_seed(0)
    normalise = Normalise((0.5,) * 3, (0.5,) * 3)
    return {
        "LeNet-300-100": LeNet300().build((1, 28, 28), 10, normalise),
        "ResNet-20": SmallImageResNet(depth=20).build((3, 32, 32), 10, normalise),
    }


def goals(found: dict[str, Bytes]) -> list[Goal]:
    """How many times fewer bytes than open_lth."""
    told = []
    for name, theirs in OPEN_LTH.items():
        sizes = found[name].tickets
        whole = theirs * len(sizes) / sum(sizes)
        told.append(Goal(f"{name}, {len(sizes)} rounds, fewer bytes than open_lth", [whole], TIMES, "x", least=True))
        told.append(Goal(f"{name}, round {ROUNDS}", [theirs / sizes[-1]], LAST_TIMES, "x", least=True))
    return told


def main() -> int:
    """Print the table; 1 where a goal is missed."""
    found = {name: measure(model) for name, model in models().items()}
    sys.stdout.write("round  " + "".join(f"{name:>24}" for name in found) + "\n")
    for n in range(ROUNDS + 1):
        columns = (f"{b.tickets[n]:>14,} {b.dense / b.tickets[n]:7.2f}x " for b in found.values())
        sys.stdout.write(f"{n:5}  " + "".join(columns) + "\n")
    sys.stdout.write("all    " + "".join(f"{sum(b.tickets):>14,} {b.over_all:7.2f}x " for b in found.values()) + "\n")
    sys.stdout.write("dense  " + "".join(f"{b.dense:>14,}          " for b in found.values()) + "\n")
    told = goals(found)
    sys.stdout.write("".join(f"{goal.line()}\n" for goal in told))
    return int(not all(goal.met for goal in told))


if __name__ == "__main__":
    sys.exit(main())
