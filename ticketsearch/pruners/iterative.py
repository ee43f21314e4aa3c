"""Pruning at once in many steps, each of which scores what the one before has left."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge

from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, keep_top


@dataclass(frozen=True)
class Iterative(Pruner):
    """A score that is asked again and again within one draw, while the number of weights falls to that of the round.

    SynFlow (Tanaka et al. 2020) needs 100 exponential steps; Iter-SNIP and FORCE (de Jorge et al. 2021) take 60. Each
    step ranks the network as the step before has left it. Every round is drawn from the view anew, so that the masks of
    two rounds need not be nested.

    Attributes:
        steps: how many times the score is asked.
        towards: how the number of weights falls from step to step: by a constant factor (`exponential`) or by a
            constant number (`linear`).
        recover: whether a weight that a step has removed may come back in a later one (FORCE), by the gradient that it
            would have; else it is gone (Iter-SNIP, SynFlow).
    """

    source: Source = Source.INIT
    steps: Annotated[int, Ge(1)] = 100
    towards: Literal["exponential", "linear"] = "exponential"
    recover: bool = False

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        """The mask of one round.

        Raises:
            ValueError: a score is not a number.
        """
        mask = at.mask
        for count in self._counts(at.mask.kept, keep):
            now = replace(at, mask=mask)
            scores, within = self.score(now, ctx), at if self.recover else now
            mask = keep_top(scores, within.mask, self.scope(within, count))
        return mask

    def _counts(self, alive: int, keep: int) -> Iterator[int]:
        """How many weights each step leaves; the last leaves `keep`."""
        for step in range(1, self.steps + 1):
            part = step / self.steps
            exact = alive * (keep / alive) ** part if self.towards == "exponential" else alive + (keep - alive) * part
            yield keep if step == self.steps else max(keep, round(exact))
