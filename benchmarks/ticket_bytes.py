"""Bytes of stored tickets against those of a dense checkpoint, round by round, at 1 - 0.8^n.

    python benchmarks/ticket_bytes.py

A dense checkpoint is a state dict and SGD's momentum, four bytes a number and nothing else: less than any file of
it takes. A ticket is the file that a round commits: mask, survivors, everything that is not prunable, names.
"""

import sys
from dataclasses import dataclass

import torch
from torch import nn

from ticketsearch.files import encode_ticket
from ticketsearch.models.base import Normalise
from ticketsearch.models.lenet import LeNet300
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.schedule import Geometric
from ticketsearch.ticket import Mask, Ticket, keep_top, prunable_layers

ROUNDS = 16


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


def main() -> None:
    """Print the table."""
    found = {name: measure(model) for name, model in models().items()}
    sys.stdout.write("round  " + "".join(f"{name:>24}" for name in found) + "\n")
    for n in range(ROUNDS + 1):
        columns = (f"{b.tickets[n]:>14,} {b.dense / b.tickets[n]:7.2f}x " for b in found.values())
        sys.stdout.write(f"{n:5}  " + "".join(columns) + "\n")
    sys.stdout.write("all    " + "".join(f"{sum(b.tickets):>14,} {b.over_all:7.2f}x " for b in found.values()) + "\n")
    sys.stdout.write("dense  " + "".join(f"{b.dense:>14,}          " for b in found.values()) + "\n")


if __name__ == "__main__":
    main()
