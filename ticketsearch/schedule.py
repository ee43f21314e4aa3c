"""Schedules: how many weights each round keeps, as an absolute count of the prunable ones.

A count is always taken from the total, never compounded from the round before, so rounding cannot drift.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

Fraction = Annotated[float, Gt(0), Lt(1)]
"""A fraction strictly between 0 and 1."""


@dataclass(frozen=True)
class Schedule(ABC):
    """Sparsity per round; round 0 is dense in every schedule."""

    revision: ClassVar[int] = 1

    @property
    @abstractmethod
    def last(self) -> int:
        """The last round, >= 0."""

    @abstractmethod
    def density(self, n: int) -> float:
        """The fraction of the prunable weights that round n >= 1 keeps, in (0, 1)."""

    def keep(self, n: int, total: int) -> int:
        """The number of weights that round n keeps of `total`: round(total x density), all of them in round 0."""
        return total if n == 0 else round(total * self.density(n))


@dataclass(frozen=True)
class Geometric(Schedule):
    """Each round removes `rate` of what is left: round n keeps (1 - rate)^n (Frankle & Carbin 2019).

    Attributes:
        rounds: the last round. Not part of the identity: more rounds extend the run.
        rate: the fraction that each round removes.
    """

    rounds: Annotated[int, Ge(0)] = field(default=21, metadata={"identity": False})
    rate: Fraction = 0.2

    @property
    def last(self) -> int:
        return self.rounds

    def density(self, n: int) -> float:
        return (1 - self.rate) ** n


@dataclass(frozen=True)
class Explicit(Schedule):
    """The sparsities as listed, in rising order: round n has `sparsities[n - 1]`.

    Attributes:
        sparsities: fractions of the prunable weights that are removed.
        rounds: the last round to draw, at most as many as are listed; None: all of them.
    """

    sparsities: tuple[Fraction, ...] = (0.2, 0.36, 0.488, 0.5904, 0.67232, 0.737856)
    rounds: Annotated[int, Ge(0)] | None = field(default=None, metadata={"identity": False})

    def __post_init__(self) -> None:
        if not self.sparsities or any(b <= a for a, b in zip(self.sparsities, self.sparsities[1:], strict=False)):
            raise ValueError(f"sparsities must rise from round to round, not {list(self.sparsities)}")
        if self.rounds is not None and self.rounds > len(self.sparsities):
            raise ValueError(f"rounds={self.rounds}, but only {len(self.sparsities)} sparsities are listed")

    @property
    def last(self) -> int:
        return len(self.sparsities) if self.rounds is None else self.rounds

    def density(self, n: int) -> float:
        return 1 - self.sparsities[n - 1]


@dataclass(frozen=True)
class Iterative(Schedule):
    """A target sparsity reached in equal ratios: of `rounds` rounds, round n keeps p^(n / rounds), p = 1 - sparsity.

    Attributes:
        sparsity: the fraction removed in the last round.
        rounds: how many rounds it takes; part of the identity, since it moves every round's count.
    """

    sparsity: Fraction = 0.9
    rounds: Annotated[int, Ge(1)] = 10

    @property
    def last(self) -> int:
        return self.rounds

    def density(self, n: int) -> float:
        return (1 - self.sparsity) ** (n / self.rounds)


@dataclass(frozen=True)
class OneShot(Schedule):
    """The target sparsity at once, in round 1.

    Attributes:
        sparsity: the fraction removed.
        rounds: 1, or 0 for the dense model only.
    """

    sparsity: Fraction = 0.9
    rounds: Annotated[int, Ge(0), Lt(2)] = field(default=1, metadata={"identity": False})

    @property
    def last(self) -> int:
        return self.rounds

    def density(self, n: int) -> float:
        return 1 - self.sparsity
