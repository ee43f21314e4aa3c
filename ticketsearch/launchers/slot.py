"""Where a run of a sweep takes place."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time.

    Attributes:
        name: of the device, and which share of it.
        device: what the run is told: `cpu`, or `cuda`, of which it sees one.
        env: what is different in its environment.
    """

    name: str
    device: str
    env: Mapping[str, str]
