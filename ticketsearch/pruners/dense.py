"""The dense model: round 0 of every run, made once for all pruners of the same dataset, model, recipe and seed."""

from dataclasses import dataclass

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask


@dataclass(frozen=True)
class Dense(Pruner):
    """Draws round 0 only, with everything alive, whatever the schedule says."""

    score: Score = Magnitude()
    source: Source = Source.INIT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs != 1 or self.source is not Source.INIT:
            raise ValueError(
                "the dense model trains from its initialisation for the recipe's epochs; change recipe.epochs"
            )

    def rounds(self, last: int) -> range:
        return range(1)

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        return at.mask
