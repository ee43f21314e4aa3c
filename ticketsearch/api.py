"""The Python interface: `ticketsearch.run`, `ticketsearch.launch`, `ticketsearch.load`, `ticketsearch.load_results`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ticketsearch import runner
from ticketsearch.build import build, importable
from ticketsearch.compose import compose
from ticketsearch.conf import Conf
from ticketsearch.config import PARTS
from ticketsearch.console import Display
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.estimate import Estimate
from ticketsearch.experiment import Experiment
from ticketsearch.seal import REMEDY
from ticketsearch.store import Run
from ticketsearch.ticket import Ticket

if TYPE_CHECKING:
    from ticketsearch.launchers.outcome import Outcome


def run(overrides: Sequence[str] = (), display: Display | None = None, config_dir: str | Path | None = None) -> Path:
    """What `ticketsearch run` does; it never asks whether a long search is meant.

    Args:
        overrides: as on the command line: `["pruner=lth", "schedule.rounds=3"]`.
        display: told of what happens; None: nothing is shown.
        config_dir: a folder of yamls of your own, as for `--config-dir`.

    Returns:
        The run's folder, for `load`.

    Raises:
        TicketError: see `ticketsearch.errors`.
    """
    if isinstance(overrides, str):
        raise UsageError(f"overrides={overrides!r}", 'they are a list: ["pruner=lth", "seed=1"]')
    shown = display or Display()
    untold = None if display else Estimate({})  # nobody is told how long it takes, so it need not be timed
    return runner.run(Experiment.open(compose(overrides, Conf.beside(config_dir)), shown), shown, untold).path


def launch(
    runs: Sequence[Sequence[str]],
    devices: Sequence[str] = ("auto",),
    per_device: int = 1,
    slots: int | None = None,
    threads: int | None = None,
    config_dir: str | Path | None = None,
) -> "list[Outcome]":
    """What `ticketsearch run -m hydra/launcher=devices` does, for sweepers: a process for each run, several at a time.

    Args:
        runs: the overrides of each: `[["pruner=lth", "recipe.lr=0.1"], ["pruner=lth", "recipe.lr=0.2"]]`.
        devices: this and the next three: see `ticketsearch.launchers.devices.Devices`.
        per_device: runs on one GPU at a time.
        slots: runs at a time.
        threads: of a run.
        config_dir: a folder of yamls of your own, as for `--config-dir`.

    Returns:
        Of each run, in order, whether it is done, the reason if it is not, and its value: the last round's validation
        accuracy after its last epoch, a fraction, the mean over seeds.

    Raises:
        UsageError: a run or a device is impossible; nothing was begun.
    """
    from ticketsearch.launchers.devices import Devices
    from ticketsearch.launchers.launch import outcomes

    conf = Conf.beside(config_dir)
    settings = {"devices": list(devices), "per_device": per_device, "slots": slots, "threads": threads}
    node = {"_target_": f"{Devices.__module__}.{Devices.__qualname__}", **settings}
    launcher: Devices = build(node, "hydra.launcher")
    return outcomes([compose(overrides, conf) for overrides in runs], launcher.here())


def load(run: str | Path, seed: int = 0, round: int = 0, extensions: Sequence[str] = ()) -> tuple[nn.Module, Ticket]:
    """A trained ticket from disk.

    Args:
        run: the run's folder.
        seed: of the cell.
        round: of the cell; 0 is the dense model, whichever run it belongs to.
        extensions: packages of your own that the run's model or dataset comes from.

    Returns:
        The network with the trained weights, in evaluation mode on the CPU, and the ticket: its mask, the trained
        weights as `start`, and `rest`.

    Raises:
        UsageError: there is no such round, or its model or dataset is of a package that `extensions` does not list.
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
    listed = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    importable(listed)
    try:
        nodes = {part: {k: v for k, v in stored[part].items() if k != "name"} for part in ("dataset", "model")}
    except (KeyError, AttributeError) as error:
        raise CorruptStore(f"{folder / 'config.yaml'} is no stored configuration", REMEDY) from error
    dataset, model = (build(node, part, listed, PARTS[part]) for part, node in nodes.items())
    network = model.initial(dataset, seed)
    network.load_state_dict(dict(ticket.start))
    return network.eval(), ticket
