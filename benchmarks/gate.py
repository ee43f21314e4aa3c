"""Whether two sides have done the same work: a ratio of anything else says nothing."""

from collections.abc import Mapping, Sequence

from benchmarks.report import Outcome

STEP_TOLERANCE = 1e-3
"""How far the loss of each of the first steps may differ, in nats; both sides in float32."""
LOSS_TOLERANCE = 0.05
"""How far the mean training loss of the timed run may differ, as a share of the plain side's."""


def void(gates: Mapping[str, Outcome], timed: Sequence[Mapping[str, Outcome]]) -> str | None:
    """Why no ratio may be told, or None.

    Args:
        gates: side -> what its first steps gave; empty where nothing is trained.
        timed: of each round, side -> what its work gave.
    """
    for side in gates.keys() - {"plain"}:
        reason = _of_first_steps(gates[side], gates["plain"])
        if reason:
            return f"{side}: {reason}"
    for number, outcomes in enumerate(timed, 1):
        for side in outcomes.keys() - {"plain"}:
            reason = _of_work(outcomes[side], outcomes["plain"])
            if reason:
                return f"{side}, round {number}: {reason}"
    return None


def difference(gates: Mapping[str, Outcome], side: str) -> float:
    """The largest difference of a first step's loss from the plain side's."""
    mine, plain = gates[side].losses[0], gates["plain"].losses[0]
    return max(abs(one - other) for one, other in zip(mine, plain, strict=True))


def _of_first_steps(mine: Outcome, plain: Outcome) -> str | None:
    ours, theirs = mine.losses[0], plain.losses[0]
    if len(ours) != len(theirs):
        return f"{len(ours)} first steps, and {len(theirs)} of the plain side"
    for step, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if not abs(one - other) <= STEP_TOLERANCE:  # a loss that is no number is not near
            return f"the loss of step {step} is {one:.6f}, and {other:.6f} on the plain side"
    return _of_course(mine, plain)


def _of_work(mine: Outcome, plain: Outcome) -> str | None:
    if mine.pixels != plain.pixels:
        return "its pixels are not those of the plain side"
    if (reason := _of_course(mine, plain)) or not plain.losses:
        return reason
    if not abs(mine.loss - plain.loss) <= LOSS_TOLERANCE * plain.loss:
        return f"the mean training loss is {mine.loss:.4f}, and {plain.loss:.4f} on the plain side"
    return None


def _of_course(mine: Outcome, plain: Outcome) -> str | None:
    if mine.initial != plain.initial:
        return "it began with other weights than the plain side"
    if mine.order != plain.order:
        return "its images came in another order than on the plain side"
    if mine.kept != plain.kept:
        return f"it kept {mine.kept} weights, and the plain side {plain.kept}"
    return None
