"""What a command would do and what that costs, before it does it. Creates nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ticketsearch.cell import Cell
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.data.base import Dataset
from ticketsearch.errors import CorruptStore, DataMissing
from ticketsearch.estimate import seconds_an_epoch, timed
from ticketsearch.experiment import Experiment
from ticketsearch.models.base import Model
from ticketsearch.status import BROKEN, DONE, HELD, OPEN, STARTED, look, stored_epoch
from ticketsearch.store import Run
from ticketsearch.ticket import Mask, Prunable, prunable_layers

STATES = {OPEN: "new", STARTED: "resume", DONE: "done", HELD: "held", BROKEN: "damaged"}
"""What becomes of a cell: it is trained; gone on with; left as it is; left to the process that holds it; done anew."""


@dataclass(frozen=True)
class PlannedCell:
    """One round of one seed.

    Attributes:
        seed: of the cell.
        round: 0 is the dense model.
        state: one of `STATES`.
        why: of a state that is neither new nor done.
        epochs: that are left to train.
        bytes: that its ticket will take, without rows.
    """

    seed: int
    round: int
    state: str
    why: str
    epochs: float
    bytes: int


@dataclass
class PlannedRun:
    """A run that the command works on.

    Attributes:
        name: its folder.
        label: what figures call it.
        cells: every one that is asked for.
        seconds: that an epoch takes; None: nobody knows.
        measured: where that is from: `past rounds`, `timed now`, or why it is unknown.
        used_by: names of runs that start from this one, where it is a dense model.
    """

    name: str
    label: str
    cells: list[PlannedCell]
    seconds: float | None = None
    measured: str = ""
    used_by: list[str] = field(default_factory=list)

    @property
    def left(self) -> list[PlannedCell]:
        """The cells that this command would train."""
        return [cell for cell in self.cells if cell.state not in ("done", "held")]

    @property
    def epochs(self) -> float:
        """Epochs that are left."""
        return sum(cell.epochs for cell in self.left)

    @property
    def time(self) -> float | None:
        """Seconds that these take on one device, training alone."""
        return None if self.seconds is None and self.left else (self.seconds or 0.0) * self.epochs


def plan(configs: Sequence[Config], probe: bool = True, display: Display | None = None) -> list[PlannedRun]:
    """What commands would do.

    Args:
        configs: of the runs that are asked for.
        probe: time a few steps where no past round tells how long an epoch takes.
        display: told what is timed.

    Returns:
        Every run that they work on, each once, dense models first.
    """
    works, asked = dict[str, Config](), dict[str, set[tuple[int, int]]]()
    for stage in (stage for config in configs for stage in stages(config)):
        works.setdefault(stage.run_name, stage)
        cells = ((n, seed) for n in stage.rounds for seed in stage.seeds)
        asked.setdefault(stage.run_name, set()).update(cells)
    found, known = dict[str, PlannedRun](), dict[str, tuple[float | None, str]]()
    for name, stage in sorted(works.items(), key=lambda item: item[0] != item[1].dense.run_name):
        run = PlannedRun(name, stage.label, _cells(stage, asked[name]))
        found[name], dense = run, stage.dense.run_name
        if dense != name and dense in found:
            found[dense].used_by.append(name)
        if run.left and dense not in known:
            known[dense] = _seconds(stage, probe, display or Display())
        run.seconds, run.measured = known.get(dense, (None, ""))
    return list(found.values())


def stages(config: Config) -> Iterator[Config]:
    """Every run that a configuration works on."""
    yield config.dense
    if config.twin:
        yield from stages(config.twin)
    yield config
    for control in config.controls:
        yield from stages(control)


def _cells(config: Config, asked: Iterable[tuple[int, int]]) -> list[PlannedCell]:
    """Every cell that is asked for of a run, as (round, seed)."""
    path, whole, found = Path(config.options.out) / config.run_name, config.recipe.epochs * config.pruner.budget, []
    for round_, seed in sorted(asked):
        cell = Cell(path, seed, round_).path
        mark, why = look(cell)
        done = stored_epoch(cell.with_suffix(".part")) if mark == STARTED else 0
        found.append(PlannedCell(seed, round_, STATES[mark], why, max(whole - done, 0.0), _bytes(config, round_)))
    return found


def _bytes(config: Config, round_: int) -> int:
    """A bit for each prunable weight, four bytes for each that is kept and for everything else."""
    prunable, others = _sizes(config.model, config.dataset, config.options.prunable)
    return prunable // 8 * bool(round_) + 4 * (config.schedule.keep(round_, prunable) + others)


@cache
def _sizes(model: Model, dataset: Dataset, prunable: Prunable) -> tuple[int, int]:
    """Prunable weights and all other numbers of a network, of which nothing is computed."""
    with torch.device("meta"), _Unfilled():
        network = model.initial(dataset, 0)
    total = Mask.ones(prunable_layers(network, prunable)).total
    return total, sum(tensor.numel() for tensor in network.state_dict().values()) - total


class _Unfilled(TorchFunctionMode):
    """Within it, tensors are not filled: those of the device `meta` hold nothing, and pretending takes a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func.__name__ in ("normal_", "uniform_") or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _seconds(stage: Config, probe: bool, display: Display) -> tuple[float | None, str]:
    """How long an epoch takes, and how that is known."""
    for config in (stage.dense, stage):
        run = Run(Path(config.options.out) / config.run_name)
        with suppress(CorruptStore):
            past = seconds_an_epoch(run, config.recipe.epochs * config.pruner.budget)
            if past is not None:
                return past, "past rounds"
    if not probe:
        return None, "no round of it was trained before"
    display.notice(f"timing a few steps of {stage.names['model']} on {stage.names['dataset']}")
    try:
        return timed(Experiment.open(stage.dense, Display())), "timed now"
    except DataMissing as error:
        return None, error.what


def totals(runs: Sequence[PlannedRun]) -> Mapping[str, int]:
    """State -> how many cells of all runs are in it."""
    return {state: sum(cell.state == state for run in runs for cell in run.cells) for state in STATES.values()}
