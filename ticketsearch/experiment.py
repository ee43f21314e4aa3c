"""What a search works with, built once: data on the device, the network, the prunable layers, the run on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ticketsearch import provenance
from ticketsearch.config import Config
from ticketsearch.console import Display
from ticketsearch.data.base import Data
from ticketsearch.errors import UsageError
from ticketsearch.metrics.ticket import macs_per_weight
from ticketsearch.store import Cell, Run
from ticketsearch.ticket import Layer, Mask, prunable_layers
from ticketsearch.training.device import choose_device, choose_threads
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
        per_epoch: updates an epoch.
        display: told of what happens.
        kept_step: of a dense model: the step that a search wants to rewind to; 0: none but those that are always kept.
    """

    config: Config
    run: Run
    data: Data
    model: nn.Module
    layers: Mapping[str, Layer]
    macs: int
    per_epoch: int
    display: Display
    kept_step: int = 0

    @classmethod
    def open(cls, config: Config, display: Display) -> "Experiment":
        """Read the data, build the network and open the run's folder, in this order: what is wrong is found before it
        exists.

        Raises:
            DataMissing: the images are not where they were looked for.
            UsageError: there is no such device, the folder cannot be written, or the split sizes are impossible.
        """
        device = choose_device(config.options.device)
        try:
            data = config.dataset.load().to(device)
        except ValueError as error:
            raise UsageError(
                str(error), "dataset.validation and dataset.subset must fit", "ticketsearch run"
            ) from error
        layout = torch.channels_last if config.recipe.channels_last else torch.contiguous_format
        model = config.model.initial(config.dataset, config.options.seed).to(device, memory_format=layout)  # type: ignore[call-overload]
        layers = prunable_layers(model, config.options.prunable)
        macs = sum(count * places for count, places in macs_per_weight(model, data.test.images[:1]).values())
        per_epoch = -(-len(data.train) // config.recipe.batch_size)
        _check_possible(config, per_epoch, sum(layer.weights for layer in layers.values()))
        return cls(config, Run.open(config), data, model, layers, macs, per_epoch, display)

    @cached_property
    def dense(self) -> "Experiment":
        """The same for the dense model that this search starts from; itself, when it is that."""
        config = self.config.dense
        if config.run_name == self.config.run_name:
            return self
        step = self.config.rewind.step(self.per_epoch)
        return replace(self, config=config, run=Run.open(config), layers=prunable_layers(self.model), kept_step=step)

    @property
    def device(self) -> torch.device:
        """Where data and model are."""
        return self.data.train.labels.device

    def begin(self) -> None:
        """Set the threads and note the command in the run."""
        threads = self.set_threads()
        command = ["ticketsearch", "run", *self.config.overrides]
        self.run.note(provenance.invocation(command, self.device, threads))

    def set_threads(self) -> int:
        """Set the number of threads: a run keeps the one it began with, since it decides the last bits of sums."""
        asked = self.config.options.threads or self.run.first_invocation().get("threads")
        threads = choose_threads(asked, self.macs * self.config.recipe.batch_size)
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        return threads

    def train(self, jobs: Sequence[Assignment]) -> Iterator[Trained]:
        """Train assignments that do not depend on each other; each is handed over as soon as it is done.

        Raises:
            RunFailed: a loss was not finite.
        """
        return fit(jobs, self.model, self.config.recipe, self.config.dataset, self.data)

    def cells(self) -> list[Cell]:
        """Every cell that is asked for: all seeds of a round, then the next round."""
        return [self.run.cell(seed, n) for n in self.config.rounds for seed in self.config.seeds]

    def columns(self, cell: Cell, mask: Mask) -> dict[str, Any]:
        """The columns that say which ticket a row is about."""
        names, parameters = self.config.names, sum(p.numel() for p in self.model.parameters())
        return {
            "run": self.run.name,
            "dense": self.config.dense.run_name,
            "label": names["pruner"],
            **{part: names[part] for part in ("dataset", "model", "pruner", "schedule", "rewind", "recipe")},
            "seed": cell.seed,
            "order_seed": self.config.options.order_seed,
            "round": cell.round,
            "sparsity": mask.sparsity,
            "sparsity_total": (mask.total - mask.kept) / parameters,
            "kept": mask.kept,
            "prunable": self.config.options.prunable,
        }


def _check_possible(config: Config, per_epoch: int, total: int) -> None:
    """Refuse what can be known to be impossible only now that data and model are there."""
    epochs = config.recipe.epochs * (min(1.0, config.pruner.epochs) if config.rewind.lr == "resume" else 1)
    if config.rewind.step(per_epoch) >= round(epochs * per_epoch):
        what = f"rewind.at={config.rewind.at} is not before the end of the training"
        right = f"it takes {epochs:g} epochs of {per_epoch} updates"
        raise UsageError(what, right, "ticketsearch run rewind=step rewind.at=1ep")
    for n in config.rounds:
        if config.schedule.keep(n, total) < 1:
            right = f"there are {total:,} prunable weights; round {n - 1} is the last that keeps one"
            raise UsageError(f"round {n} would keep no weight", right, f"ticketsearch run schedule.rounds={n - 1}")
