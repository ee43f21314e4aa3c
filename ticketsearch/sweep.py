"""A sweep: several runs, one after another in this process. One that fails does not stop the others."""

import shlex
import sys
from collections.abc import Sequence

from ticketsearch.config import Config
from ticketsearch.console import Display, console
from ticketsearch.errors import SweepFailed, told
from ticketsearch.estimate import Estimate, estimate
from ticketsearch.experiment import Experiment
from ticketsearch.live import display
from ticketsearch.runner import run
from ticketsearch.summary import plural, remaining


def planned(configs: Sequence[Config]) -> Estimate:
    """What is left of all of them. Each is prepared for it, so that what cannot run is refused before anything begins.

    Raises:
        TicketError: one of them cannot run.
    """
    left, known, before = Estimate({}), dict[str, float](), None
    for config in configs:
        before = Experiment.open(config, Display(), before=before)
        left |= estimate(before, known)
        before.engine.forget()
    return left


def sweep(configs: Sequence[Config], left: Estimate) -> None:
    """Run them in turn.

    Raises:
        SweepFailed: some could not be finished; each has said why, and the others are done.
    """
    names = ", ".join(dict.fromkeys(config.options.out for config in configs))
    console.print(f"{plural(len(configs), 'run')} in {names}; {remaining(left)}", markup=False)
    failed, before = list[str](), None
    for number, config in enumerate(configs):
        console.print(f"[{number + 1}/{len(configs)}] {' '.join(config.overrides)}", markup=False)
        try:
            with display() as shown:
                before = Experiment.open(config, shown, before=before)
                run(before, shown)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are not to be lost for it
            sys.stderr.write(f"{told(error, f'ticketsearch run {shlex.join(config.typed)}')}\n")
            failed.append(config.run_name)
        finally:
            if before:
                before.engine.forget()
    if failed:
        raise SweepFailed(
            f"{plural(len(failed), 'run')} of {len(configs)} failed: {' '.join(failed)}",
            "each has said why above; the others are done, and the same command does only what is missing",
        )
