"""What a search works with, built once: data on the device, the network, the prunable layers, the run on disk."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ticketsearch import provenance
from ticketsearch.cell import Cell
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.data.base import Data
from ticketsearch.errors import CorruptStore, DataMissing, UsageError
from ticketsearch.metrics.ticket import macs_per_weight
from ticketsearch.pruners.base import Source
from ticketsearch.rest import Zero
from ticketsearch.store import Run
from ticketsearch.ticket import Layer, Mask, prunable_layers
from ticketsearch.training.device import choose_device, choose_threads
from ticketsearch.training.engine import Engine
from ticketsearch.training.fit import fit
from ticketsearch.training.state import Assignment, Trained


@dataclass(frozen=True)
class Experiment:
    """A configuration, ready to draw, train and evaluate.

    Attributes:
        config: what is asked for.
        run: its folder.
        data: the images, on the device.
        model: one network for every ticket; its weights are whatever was loaded last.
        layers: the prunable layers.
        macs: multiply-adds of one image's forward pass through the dense model.
        fingerprint: SHA-256 of the images and labels.
        display: told of what happens.
        engine: executes the updates of every ticket.
        trained: work on the tickets that are there, and on no others.
        kept_step: of a dense model: the step that a search wants to rewind to; 0: none but those that are always kept.
    """

    config: Config
    run: Run
    data: Data
    model: nn.Module
    layers: Mapping[str, Layer]
    macs: int
    fingerprint: str
    display: Display
    engine: Engine
    trained: bool = False
    kept_step: int = 0

    @classmethod
    def open(
        cls, config: Config, display: Display, trained: bool = False, before: "Experiment | None" = None
    ) -> "Experiment":
        """Read the data and build the network: what is wrong is found before anything is on disk.

        Args:
            config: what is asked for.
            display: told of what happens.
            trained: work on the tickets that are there, and on no others.
            before: one of which the data are taken where they are the same; jobs of a sweep mostly share them.

        Raises:
            DataMissing: the images are not where they were looked for, or not those that a run has seen before.
            UsageError: there is no such device, or the split sizes are impossible.
        """
        device, wanted = choose_device(config.options.device), (config.dataset, config.options.device)
        engine = Engine(config.options.engine)
        engine.check(device)
        if before and (before.config.dataset, before.config.options.device) == wanted:
            data, fingerprint = before.data, before.fingerprint
        else:
            data, fingerprint = _read(config, device)
        layout = torch.channels_last if config.recipe.channels_last else torch.contiguous_format
        make = config.model.begin if config.model.weights else config.model.initial  # a file is checked now
        model = make(config.dataset, config.options.seed).to(device, memory_format=layout)  # type: ignore[call-overload]
        layers = prunable_layers(model, config.options.prunable)
        macs = sum(count * places for count, places in macs_per_weight(model, data.test.images[:1]).values())
        total = sum(layer.weights for layer in layers.values())
        for part in (config, *config.controls):
            if not trained:
                _check_possible(part, model, per_epoch(part, data), total)
            for used in (part, part.dense, *([part.twin] if part.twin else [])):
                _check_same_data(_folder(used), fingerprint)
                if trained and not _folder(used).path.is_dir():
                    right = "a run is compared with its dense model: copy that folder beside it"
                    raise UsageError(f"{_folder(used).path} is not there", right, "ticketsearch evaluate --help")
        return cls(config, _folder(config), data, model, layers, macs, fingerprint, display, engine, trained)

    @cached_property
    def dense(self) -> "Experiment":
        """The same for the dense model that this search starts from; itself, when it is that."""
        config = self.config.dense
        if config.run_name == self.config.run_name:
            return self
        return replace(self._stage(config), kept_step=self.config.rewind.step(self.per_epoch))

    @cached_property
    def twin(self) -> "Experiment":
        """The same for the run that this search borrows tickets from; only for a pruner that does."""
        if self.config.twin is None:
            raise ValueError(f"{self.config.run_name} has no twin")
        return self._stage(self.config.twin)

    @cached_property
    def stages(self) -> "tuple[Experiment, ...]":
        """Every run that this command works on, each once: what the search starts from, itself, its controls."""
        found = [] if self.dense is self else [self.dense]
        found += list(self.twin.stages) if self.config.twin else []
        found += [self, *(stage for control in self.config.controls for stage in self._stage(control).stages)]
        once: dict[str, Experiment] = {}
        for stage in found:
            once.setdefault(stage.run.name, stage)
        return tuple(once.values())

    def _stage(self, config: Config) -> "Experiment":
        layers = prunable_layers(self.model, config.options.prunable)
        return replace(self, config=config, run=_folder(config), layers=layers, kept_step=0)

    def needs(self, cell: Cell) -> set[Path]:
        """The cells that must be done before one of this run's: its dense model, and what its pruner looks at."""
        if cell.round == 0:
            return set()
        source, before = self.config.pruner.source, {self.dense.run.cell(cell.seed, 0).path}
        if source is Source.PREVIOUS:
            before.add(self.run.cell(cell.seed, cell.round - 1).path)
        if source is Source.TWIN:
            before.add(self.twin.run.cell(cell.seed, cell.round).path)
        return before

    @property
    def per_epoch(self) -> int:
        """Updates an epoch."""
        return per_epoch(self.config, self.data)

    @property
    def device(self) -> torch.device:
        """Where data and model are."""
        return self.data.train.labels.device

    def begin(self, command: str = "run") -> None:
        """Make the run's folder if it is new, set the threads and note the command in the run; say so where it goes on
        in another environment.

        Raises:
            UsageError: the folder cannot be written.
            CorruptStore: it holds a run with another identity.
        """
        Run.open(self.config, self.display.notice)
        threads = self.set_threads()
        before, now = {made for about in _manifests(self.run) for made in about["made"]}, self.environment
        if before and now not in before:
            told = f"{self.run.name} was trained with {' and '.join(sorted(before))}; this is {now}"
            self.display.notice(f"{told}: the last digits may differ, and each round says what it was trained with")
        cells = {"seeds": list(self.config.seeds), "rounds": list(self.config.rounds)} if command == "run" else {}
        invocation = provenance.invocation(["ticketsearch", command, *self.config.typed], now, threads)
        self.run.note(invocation | cells)

    @property
    def environment(self) -> str:
        """What decides the last digits of numbers."""
        return provenance.environment(self.device, self.engine.inexact(self.device))

    def set_threads(self) -> int:
        """Set the number of threads: a run keeps the one it began with, since it decides the last bits of sums."""
        asked = self.config.options.threads or self._threads_before()
        threads = choose_threads(asked, self.macs * self.config.recipe.batch_size)
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        return threads

    def _threads_before(self) -> int | None:
        said = [note["threads"] for note in self.run.notes()] or [about["threads"] for about in _manifests(self.run)]
        return int(said[0]) if said else None

    def train(self, jobs: Sequence[Assignment]) -> Iterator[tuple[int, Trained]]:
        """Train assignments that do not depend on each other, together; each is handed over with its number.

        Raises:
            RunFailed: a loss was not finite.
        """
        return fit(jobs, self.model, self.config.recipe, self.config.dataset, self.data, self.engine)

    def cells(self) -> list[Cell]:
        """Every cell that is asked for: all seeds of a round, then the next round."""
        if self.trained:
            return self.run.cells()
        return [self.run.cell(seed, n) for n in self.config.rounds for seed in self.config.seeds]

    def columns(self, cell: Cell, mask: Mask) -> dict[str, Any]:
        """The columns that say which ticket a row is about."""
        names, parameters = self.config.names, sum(p.numel() for p in self.model.parameters())
        order = self.config.order_seed(cell.seed)
        return {
            "run": self.run.name,
            "dense": self.config.dense.run_name,
            "label": self.config.label,
            **{part: names[part] for part in ("dataset", "model", "pruner", "schedule", "rewind", "recipe")},
            "seed": cell.seed,
            "order_seed": self.config.options.order_seed if order == cell.seed else order,
            "round": cell.round,
            "sparsity": mask.sparsity,
            "sparsity_total": (mask.total - mask.kept) / parameters,
            "kept": mask.kept,
            "prunable": self.config.options.prunable,
        }


def _folder(config: Config) -> Run:
    return Run(Path(config.options.out) / config.run_name)


def _read(config: Config, device: torch.device) -> tuple[Data, str]:
    """The images on the device, and their fingerprint."""
    try:
        data = config.dataset.load()
    except ValueError as error:
        raise UsageError(str(error), "dataset.validation and dataset.subset must fit") from error
    return data.to(device), data.fingerprint()


def per_epoch(config: Config, data: Data) -> int:
    """Updates an epoch."""
    return -(-len(data.train) // config.recipe.batch_size)


def _manifests(run: Run) -> Iterator[dict[str, Any]]:
    """What every committed cell says of itself; damaged ones are found, and set aside, when their turn comes."""
    for cell in run.cells():
        with suppress(CorruptStore):
            yield cell.manifest


def _check_same_data(run: Run, fingerprint: str) -> None:
    """Raise DataMissing if a run was trained on other images."""
    for about in _manifests(run):
        if about["data"] != fingerprint:
            what = (
                f"round {about['round']} of seed {about['seed']} of {run.name} was trained on other images than these"
            )
            raise DataMissing(
                what, "restore the images, or keep the results apart", "ticketsearch run out=ANOTHER_FOLDER"
            )


def _check_possible(config: Config, model: nn.Module, per_epoch: int, total: int) -> None:
    """Refuse what can be known to be impossible only now that data and model are there."""
    if config.pruner.unit == "channel" and not getattr(model, "channels", ()):
        what = f"pruner={config.names['pruner']} removes channels, and {config.names['model']} declares none"
        raise UsageError(what, "a model names those that it can lose in `channels`", "ticketsearch run model=resnet20")
    if total == 0:
        what = f"prunable={config.options.prunable}: {config.names['model']} has no such weights"
        raise UsageError(what, "default, conv or all: which weights may be pruned", "ticketsearch run prunable=all")
    if config.pruner.gives_start and not config.pruner.epochs and config.rest != Zero():
        what = f"pruner={config.names['pruner']} trains nothing, and finds its tickets with pruned weights at zero"
        raise UsageError(what, "rest=zero, or pruner.epochs=1", "ticketsearch run rest=zero")
    shorter = config.rewind.lr == "resume" and config.pruner.epochs
    epochs = config.recipe.epochs * (min(1.0, config.pruner.epochs) if shorter else 1)
    if config.rewind.step(per_epoch) >= round(epochs * per_epoch):
        what = f"rewind.at={config.rewind.at} is not before the end of the training"
        right = f"it takes {epochs:g} epochs of {per_epoch} updates"
        raise UsageError(what, right, "ticketsearch run rewind=step rewind.at=1ep")
    for n in config.rounds:
        if config.schedule.keep(n, total) < 1:
            right = f"there are {total:,} prunable weights; round {n - 1} is the last that keeps one"
            attempt, wrong = f"ticketsearch run schedule.rounds={n - 1}", f"schedule.rounds={config.schedule.last}"
            raise UsageError(f"round {n} would keep no weight", right, attempt, wrong)
