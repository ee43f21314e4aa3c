"""Randomness as a function: the same key gives the same numbers, in whatever order things run.

No generator is ever carried along, so nothing of it has to be stored: a resumed run asks for the same keys again.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stable_seed(seed: int, purpose: str, *key: int | str) -> int:
    """A 63-bit seed from (seed, purpose, key), the same on every machine and Python version."""
    text = json.dumps([seed, purpose, *key])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *key: int | str) -> torch.Generator:
    """A CPU generator for one purpose, for example `generator(seed, "order", epoch)`.

    Draws happen on the CPU whatever the device, so that CPU and GPU runs see the same data order.
    """
    return torch.Generator().manual_seed(stable_seed(seed, purpose, *key))


@contextmanager
def forked(seed: int, purpose: str, *key: int | str) -> Iterator[None]:
    """Seed torch's global CPU generator inside the block and put it back after it.

    For library code that takes no generator (the constructors of `torch.nn` layers).
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stable_seed(seed, purpose, *key))
        yield
