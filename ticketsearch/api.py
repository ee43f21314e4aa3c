"""The Python interface: `ticketsearch.run`, `ticketsearch.load`, `ticketsearch.load_results`."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ticketsearch import runner
from ticketsearch.build import build
from ticketsearch.compose import compose
from ticketsearch.console import Display
from ticketsearch.errors import UsageError
from ticketsearch.store import Run
from ticketsearch.ticket import Ticket


def run(overrides: Sequence[str] = (), display: Display | None = None) -> Path:
    """What `ticketsearch run` does.

    Args:
        overrides: as on the command line: `["pruner=lth", "schedule.rounds=3"]`.
        display: told of what happens; None: nothing is shown.

    Returns:
        The run's folder, for `load`.

    Raises:
        TicketError: see `ticketsearch.errors`.
    """
    return runner.run(compose(overrides), display or Display()).path


def load(run: str | Path, seed: int = 0, round: int = 0) -> tuple[nn.Module, Ticket]:
    """A trained ticket from disk.

    Args:
        run: the run's folder.
        seed: of the cell.
        round: of the cell; 0 is the dense model, whichever run it belongs to.

    Returns:
        The network with the trained weights, in evaluation mode on the CPU, and the ticket: its mask, the trained
        weights as `start`, and `rest`.

    Raises:
        UsageError: there is no such round.
        CorruptStore: a file is missing or is not what its checksum says.
    """
    folder = Path(run)
    stored = Run(folder).config()
    cell = Run(folder).cell(seed, round)
    if round == 0 and not cell.committed:
        cell = Run(folder.parent / Run(folder).shared(seed)).cell(seed, 0)
    if not cell.committed:
        there = sorted(
            f"seed {path.parent.name[5:]} round {int(path.name[6:])}" for path in folder.glob("seed-*/round-*/")
        )
        raise UsageError(f"{folder.name} has no round {round} of seed {seed}", f"there are: {', '.join(there)}")
    ticket = cell.ticket()
    dataset, model = (
        build({k: v for k, v in stored[part].items() if k != "name"}, part) for part in ("dataset", "model")
    )
    network = model.initial(dataset, seed)
    network.load_state_dict(dict(ticket.start))
    return network.eval(), ticket
