"""What a pruner is: what it looks at, how it ranks weights, and how the survivors are spread over the layers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from annotated_types import Ge

from ticketsearch.pruners.scopes import Global
from ticketsearch.pruners.view import Context, Scope, Score, View
from ticketsearch.ticket import Mask, Ticket, keep_top


class Source(StrEnum):
    """What a pruner looks at when it draws round n."""

    INIT = "init"
    """The weights at initialisation, everything alive."""
    DENSE = "dense"
    """The trained dense model, everything alive."""
    PREVIOUS = "previous"
    """Round n - 1 after its training, within its mask."""


@dataclass(frozen=True)
class Pruner:
    """A way of drawing tickets; its yaml composes source, score and scope.

    Attributes:
        score: ranks the weights.
        source: what it looks at.
        scope: spreads the survivors over the layers.
        epochs: training of each ticket, in multiples of the recipe's epochs.
    """

    revision: ClassVar[int] = 1
    exact: ClassVar[bool] = True
    """Whether each ticket keeps exactly what the schedule says."""

    score: Score
    source: Source = Source.PREVIOUS
    scope: Scope = Global()
    epochs: Annotated[float, Ge(0)] = 1.0

    def rounds(self, last: int) -> range:
        """The rounds that it draws when the schedule ends at `last`. Round 0, the dense model, is drawn by `dense`
        alone.
        """
        return range(1, last + 1)

    def draw(self, at: View, keep: int, ctx: Context) -> Mask | Ticket:
        """The mask of one round: the `keep` highest scores within `at.mask` and the scope.

        Raises:
            ValueError: a score is not a number.
        """
        return keep_top(self.score(at, ctx), at.mask, self.scope(at, keep))
