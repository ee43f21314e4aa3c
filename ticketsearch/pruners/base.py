"""What a pruner is: what it looks at, how it ranks weights, and how the survivors are spread over the layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge

from ticketsearch.pruners.scopes import Global
from ticketsearch.pruners.view import Context, Scope, Score, View
from ticketsearch.rewind import Rewind
from ticketsearch.ticket import Mask, Ticket, keep_top
from ticketsearch.training.dynamics import Dynamics


class Source(StrEnum):
    """What a pruner looks at when it draws round n."""

    INIT = "init"
    """The weights at initialisation, everything alive."""
    DENSE = "dense"
    """The trained dense model, everything alive."""
    PREVIOUS = "previous"
    """Round n - 1 after its training, within its mask."""
    TWIN = "twin"
    """Round n, after its training, of the run that differs from this one in its pruner: `of` says in which."""


class Search(Protocol):
    """What a pruner may know of the configuration that it is part of, and of its twin's."""

    @property
    def pruner(self) -> "Pruner":
        """How its tickets are drawn."""

    @property
    def rewind(self) -> Rewind:
        """Where their training starts from."""

    @property
    def rounds(self) -> range:
        """Which rounds are drawn."""

    @property
    def twin(self) -> "Search | None":
        """What it borrows from itself."""

    def identity(self) -> Mapping[str, Any]:
        """What its id is made of, by part."""


@dataclass(frozen=True)
class Pruner:
    """A way of drawing tickets; its yaml composes source, score and scope.

    Attributes:
        score: ranks the weights.
        source: what it looks at.
        scope: spreads the survivors over the layers.
        epochs: training of each ticket, in multiples of the recipe's epochs.
        of: the pruner of the twin, for the source TWIN.
        of_overrides: what else is different there, as one would type it: `["pruner.epochs=2"]`.
    """

    revision: ClassVar[int] = 1
    exact: ClassVar[bool] = True
    """Whether each ticket keeps exactly what the schedule says."""
    unit: ClassVar[Literal["weight", "channel"]] = "weight"
    """What is removed."""
    gives_start: ClassVar[bool] = False
    """Whether its tickets bring start weights of their own, which hold for their own masks alone."""

    score: Score
    source: Source = Source.PREVIOUS
    scope: Scope = Global()
    epochs: Annotated[float, Ge(0)] = 1.0
    of: str | None = None
    of_overrides: tuple[str, ...] = field(default=(), metadata={"identity": False})  # the twin's id is in the identity

    def __post_init__(self) -> None:
        if (self.source is Source.TWIN) != (self.of is not None):
            raise ValueError("`of` names the twin's pruner; it goes with source=twin, and with no other source")

    def rounds(self, last: int) -> range:
        """The rounds that it draws when the schedule ends at `last`. Round 0, the dense model, is drawn by `dense`
        alone.
        """
        return range(1, last + 1)

    @property
    def budget(self) -> float:
        """Training that a ticket takes at most, searches in it and before it included, in multiples of the recipe's
        epochs.
        """
        return self.epochs

    def draw(self, at: View, keep: int, ctx: Context) -> Mask | Ticket:
        """The mask of one round: the `keep` highest scores within `at.mask` and the scope.

        Raises:
            ValueError: a score is not a number.
        """
        return keep_top(self.score(at, ctx), at.mask, self.scope(at, keep))

    def during(self, keep: int, ctx: Context) -> Dynamics | None:
        """What it does while the ticket of one round trains; None: nothing. A new object for each training."""
        return None

    def beside(self, own: Search, twin: Search) -> "Pruner":
        """This pruner, once its twin is known.

        Args:
            own: the configuration that it is of.
            twin: the one that it borrows from.

        Raises:
            ValueError: the twin's tickets are of no use to it.
        """
        return self

    def label(self, name: str) -> str:
        """What figures call it, given the name of its yaml."""
        return name

    def order_seed(self, order_seed: int) -> int:
        """The seed of the order in which its tickets see the data, given that of the dense model."""
        return order_seed
