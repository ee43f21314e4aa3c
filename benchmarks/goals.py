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
        spread = f"{_short(median(self.found))} [{_short(min(self.found))}-{_short(max(self.found))}]{self.unit}"
        if self.limit is None:
            return f"{self.name}: {spread}"
        sign = ">=" if self.least else "<="
        return f"{self.name}: {spread}, goal {sign} {self.limit:g}{self.unit}: {'met' if self.met else 'missed'}"


def _short(value: float) -> str:
    """Three digits, or all in front of the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> str:
    """The processor's architecture and what it has for bfloat16, and the versions that matter."""
    import torch

    return f"{platform.machine()} {isa()}, Python {platform.python_version()}, torch {torch.__version__}"
