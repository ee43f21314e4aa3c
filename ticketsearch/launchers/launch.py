"""A sweep on several devices at once: what is left is planned, asked for once, run, and told."""

import time
from collections.abc import Callable, Sequence

from ticketsearch.config import Config
from ticketsearch.console import console, duration
from ticketsearch.errors import SweepFailed, UsageError
from ticketsearch.estimate import Estimate
from ticketsearch.launchers.board import Board, board, failures
from ticketsearch.launchers.job import Job, jobs, own_dense_first
from ticketsearch.launchers.outcome import Outcome
from ticketsearch.launchers.pool import Pool
from ticketsearch.launchers.slot import Slot
from ticketsearch.summary import plural


def launch(configs: Sequence[Config], slots: Sequence[Slot], ask: Callable[[float], None]) -> None:
    """Run each configuration in a process of its own, as many at a time as there are slots.

    Args:
        configs: of the runs.
        slots: where.
        ask: given the seconds that it takes about, raises where that is not meant; a GPU's are not known.

    Raises:
        SweepFailed: some runs could not be finished; the others are done.
        TicketError: nothing was begun: a run is impossible.
    """
    _check_threads(configs, slots)
    device = slots[0].device
    each, left = jobs(configs, device, timed=device == "cpu")
    found = own_dense_first(each)
    seconds = left.seconds / max(min(len(slots), len(found)), 1)
    ask(seconds)
    console.print(_opening(configs, found, slots, left, seconds), markup=False)
    started = time.monotonic()
    with board(len(found)) as shown:
        outcomes = Pool(found, slots, shown).run()
    tell(outcomes, time.monotonic() - started)


def outcomes(configs: Sequence[Config], slots: Sequence[Slot]) -> list[Outcome]:
    """The same from Python: nothing is shown or asked; what came of each configuration, failures among them.

    Raises:
        TicketError: nothing was begun: a run is impossible.
    """
    _check_threads(configs, slots)
    each, _ = jobs(configs, slots[0].device, timed=False)
    found = own_dense_first(each)
    over = {outcome.job: outcome for outcome in Pool(found, slots, _Silent(len(found))).run()}
    return [over[job] for job in each]


def _check_threads(configs: Sequence[Config], slots: Sequence[Slot]) -> None:
    """Raise UsageError where a run asks for more threads than a slot has: together they would ask for more cores."""
    most, room = max(config.options.threads or 1 for config in configs), int(slots[0].env["OMP_NUM_THREADS"])
    if most > room:
        right = f"a slot has {room}; hydra.launcher.threads gives each slot as many, and so makes fewer"
        raise UsageError(f"threads={most} is typed", right, f"ticketsearch run -m hydra.launcher.threads={most}", "")


class _Silent(Board):
    def notice(self, text: str) -> None:
        """Nobody looks."""


def _opening(
    configs: Sequence[Config], found: Sequence[Job], slots: Sequence[Slot], left: Estimate, seconds: float
) -> str:
    names = ", ".join(dict.fromkeys(config.options.out for config in configs))
    train = f"{plural(len(left.cells), 'ticket')} to train" if left.cells else "everything is trained"
    about = f", about {duration(seconds)}" if left.cells and seconds else ""
    on = f"{plural(len(slots), 'slot')} ({' '.join(slot.name for slot in slots)})"
    return f"{plural(len(found), 'run')} in {names} on {on}; {train}{about}"


def tell(outcomes: Sequence[Outcome], seconds: float) -> None:
    """The last lines: how many runs came to what, and what failed and why.

    Raises:
        SweepFailed: something did.
    """
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in ("done", "there", "failed")}
    there = f", {counts['there']} were done already" if counts["there"] else ""
    console.print(
        f"{counts['done']} of {plural(len(outcomes), 'run')} done in {duration(seconds)}{there}", markup=False
    )
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if failed:
        failures(failed)
        raise SweepFailed(
            f"{plural(len(failed), 'run')} of {len(outcomes)} failed",
            "it is said above why, and more in their logs; the same command runs only what is missing",
        )
