"""What is measured beside what it should be, as lines that `python -m benchmarks` gathers."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.ratios import isa


@dataclass(frozen=True)
class Goal:
    """One number that should not be greater, or smaller, than another.

    Attributes:
        name: what is measured.
        found: once for each time that it was.
        limit: what it should be; None: it is told, and judged by nobody.
        unit: behind the numbers.
        least: whether `limit` is the least that it should be; otherwise it is the most.
    """

    name: str
    found: Sequence[float]
    limit: float | None = None
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the median is as it should be."""
        if self.limit is None:
            return True
        return median(self.found) >= self.limit if self.least else median(self.found) <= self.limit

    def line(self) -> str:
        """It as a line: median, least and greatest, the goal, and what became of it."""
        spread = f"{median(self.found):.3g} [{min(self.found):.3g}-{max(self.found):.3g}]{self.unit}"
        if self.limit is None:
            return f"{self.name}: {spread}"
        sign = ">=" if self.least else "<="
        return f"{self.name}: {spread}, goal {sign} {self.limit:g}{self.unit}: {'met' if self.met else 'missed'}"


def machine() -> str:
    """The processor's architecture and what it has for bfloat16, and the versions that matter."""
    import torch

    return f"{platform.machine()} {isa()}, Python {platform.python_version()}, torch {torch.__version__}"
