"""Masks written and shown as strings of zeros and ones."""

import torch
from torch import Tensor

from ticketsearch.ticket import Mask


def bits(text: str) -> Tensor:
    """A bool vector: "101" is [True, False, True]."""
    return torch.tensor([c == "1" for c in text])


def shown(mask: Mask) -> dict[str, str]:
    """The layers of a mask as strings, flattened."""
    return {name: "".join(str(int(b)) for b in alive.flatten()) for name, alive in mask.items()}
