"""Runs on disk: a folder per run, a folder per cell that appears by one rename and never changes.

outputs/<dataset>-<model>-<pruner>-<id8>/
    config.yaml                identity; compared when the run is opened again
    invocations.jsonl          every command that worked on it: versions, threads, hardware
    seed-0/round-00.json       the dense cell that round 0 is, for pruned runs
    seed-0/round-03/           ticket.safetensors, training.parquet, manifest.json, metrics/
    seed-0/round-04.part       the round in progress
    seed-0/round-04.lock       held while a process works on the cell
    seed-0/rewind-8/           the dense model after 8 updates
    aside/                     what was damaged, with the reason
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from ticketsearch.aside import set_aside
from ticketsearch.cell import Cell
from ticketsearch.config import Config
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.files import UNREADABLE, commit_folder, decode_state, encode_state, write_atomic
from ticketsearch.layout import rounds, seeds
from ticketsearch.lock import clear_litter, locked
from ticketsearch.seal import (
    REMEDY,
    read_manifest,
    sealed_json,
    sealed_line,
    sealed_yaml,
    sha256,
    unsealed,
    unsealed_line,
    verified,
)
from ticketsearch.ticket import Weights
from ticketsearch.training.state import TrainState


class Run:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The folder's name: dataset, model, pruner and id."""
        return self.path.name

    @classmethod
    def open(cls, config: Config, notice: Callable[[str], None] = lambda text: None) -> "Run":
        """The run of a configuration; its folder is made when it is new.

        Args:
            config: which run.
            notice: told, in one line each, of damaged files that were set aside.

        Raises:
            UsageError: the folder cannot be written.
            CorruptStore: the folder holds a run with another identity.
        """
        run = cls(Path(config.options.out) / config.run_name)
        try:
            with locked(run.path / "config.lock", notice):
                run._make_whole(config, notice)
        except OSError as error:
            raise UsageError(
                f"cannot write to {run.path}: {error.strerror}", "`out` must be a folder that you may write to"
            ) from error
        differs = _difference(run.config()["identity"], config.identity())
        if differs:
            what = f"{run.path / 'config.yaml'} is of another run than its folder's name says: {'; '.join(differs)}"
            raise CorruptStore(what, "restore it, or move the folder away", "ticketsearch run out=ANOTHER_FOLDER")
        return run

    def _make_whole(self, config: Config, notice: Callable[[str], None]) -> None:
        """Write what a run has one of; what is there and damaged is set aside first."""
        stored, log = self.path / "config.yaml", self.path / "invocations.jsonl"
        clear_litter(self.path, log.stem)
        if not stored.exists():
            self._say_if_lost(stored, notice)
        else:
            try:
                unsealed(stored)
            except CorruptStore as error:
                why = "; ".join([error.what, *_edited(stored, config.identity())])
                notice(f"{why}: it is now {set_aside(self.path, stored, why)}, and written anew")
        if not stored.exists():
            write_atomic(stored, sealed_yaml(config.stored()))
        if not log.exists() or not log.stat().st_size:
            self._say_if_lost(log, notice)
        if self.damaged_notes():
            notes, why = self.notes(), f"a line of {log} cannot be read"
            notice(f"{why}: it is now {set_aside(self.path, log, why)}, and the other lines are kept")
            write_atomic(log, b"".join(map(sealed_line, notes)))

    def _say_if_lost(self, path: Path, notice: Callable[[str], None]) -> None:
        if self.cells():
            notice(f"{path} is missing or empty: it is written anew")

    def config(self) -> dict[str, Any]:
        """What `config.yaml` holds: data, never code.

        Raises:
            CorruptStore: it cannot be read.
        """
        return unsealed(self.path / "config.yaml")

    def note(self, invocation: Mapping[str, Any]) -> None:
        """Append one line to `invocations.jsonl`."""
        with locked(self.path / "config.lock"), (self.path / "invocations.jsonl").open("ab") as file:
            file.write(sealed_line(invocation))

    def notes(self) -> list[dict[str, Any]]:
        """The lines of `invocations.jsonl` that are as they were written, without their `check`."""
        return [line for line in self._lines() if line is not None]

    def damaged_notes(self) -> int:
        """How many lines of `invocations.jsonl` are not as they were written."""
        return sum(line is None for line in self._lines())

    def _lines(self) -> Iterator[dict[str, Any] | None]:
        path = self.path / "invocations.jsonl"
        for text in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
            yield unsealed_line(text)

    def cell(self, seed: int, round_: int) -> "Cell":
        """One cell of the run, whether it exists yet or not."""
        return Cell(self.path, seed, round_)

    def shared(self, seed: int) -> str:
        """The name of the dense run that round 0 of a seed is.

        Raises:
            CorruptStore: it is not said.
        """
        return str(unsealed(self.pointer(seed))["run"])

    def pointer(self, seed: int) -> Path:
        """The file that says which dense cell round 0 of a seed is."""
        return self.path / f"seed-{seed}" / "round-00.json"

    def cells(self) -> list[Cell]:
        """Every committed cell."""
        return [Cell(self.path, seed, round_) for seed, folder in seeds(self.path) for round_, _ in rounds(folder)]

    def rewinds(self, seed: int | str = "*") -> "list[RewindPoint]":
        """Every rewind point that is kept, of one seed or of all."""
        return [RewindPoint(path) for path in sorted(self.path.glob(f"seed-{seed}/rewind-*/"))]

    def rewind(self, seed: int, step: int) -> "RewindPoint":
        """The dense model after `step` updates, whether it is kept yet or not."""
        return RewindPoint(self.path / f"seed-{seed}" / f"rewind-{step}")

    def share(self, dense: Cell, rows: Mapping[str, Any], notice: Callable[[str], None]) -> None:
        """Let round 0 of this run be a dense cell.

        Args:
            dense: the committed cell.
            rows: columns in which its rows differ when they are this run's round 0.
            notice: told, in one line, when what says so was lost or damaged.
        """
        pointer = self.pointer(dense.seed)
        content = {"run": dense.run.name, "seed": dense.seed, "sha256": dense.sha, "rows": dict(rows)}
        with locked(pointer.with_suffix(".lock"), notice):
            if not pointer.exists() and any(cell.seed == dense.seed for cell in self.cells()):
                notice(f"{pointer} is missing: it is written anew")
            if pointer.exists():
                try:
                    unsealed(pointer)
                except CorruptStore as error:
                    notice(f"{error.what}: it is now {set_aside(self.path, pointer, error.what)}, and written anew")
            if not pointer.exists() or pointer.read_bytes() != sealed_json(content):
                write_atomic(pointer, sealed_json(content))


@dataclass(frozen=True)
class RewindPoint:
    """The dense model's state after some updates, an artefact of its own."""

    path: Path

    @property
    def committed(self) -> bool:
        """Whether its folder is there; folders appear whole."""
        return self.path.is_dir()

    @property
    def sha(self) -> str:
        """SHA-256 of its state."""
        return str(read_manifest(self.path)["files"]["state.safetensors"])

    def lock(self) -> AbstractContextManager[None]:
        """Hold the point while it is written."""
        return locked(self.path.with_suffix(".lock"))

    def keep(self, state: TrainState) -> None:
        """Keep a state, weights and momentum; the caller holds the point. One of another training is set aside first.

        Raises:
            CorruptStore: what is kept already has no manifest that can be read.
        """
        kept = TrainState(state.weights, state.momentum, {}, type(state.progress)(step=state.progress.step))
        content = encode_state(kept, {})
        if self.committed and self.sha != sha256(content):
            set_aside(self.path.parents[1], self.path, "the dense model has been trained anew, and is another one")
        if not self.committed:
            commit_folder(self.path, {"state.safetensors": content}, {"step": state.progress.step})

    def read(self) -> tuple[Weights, dict[str, Tensor]]:
        """State dict and momentum.

        Raises:
            CorruptStore: the file is not what the manifest says.
        """
        path = self.path / "state.safetensors"
        content = verified(path, self.sha)
        try:
            state, _ = decode_state(content)
        except UNREADABLE as error:
            raise CorruptStore(f"{path} is no stored state", REMEDY) from error
        return state.weights, state.momentum


def _edited(stored: Path, identity: Mapping[str, Any]) -> list[str]:
    """What a damaged configuration that can still be read says otherwise."""
    try:
        return _difference(yaml.safe_load(stored.read_text())["identity"], identity)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return []


def _difference(stored: Any, asked: Any, path: str = "") -> list[str]:
    """Where two identities differ, as `recipe.epochs is 20 and not 12`."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        keys = sorted({*stored, *asked})
        return [line for key in keys for line in _difference(stored.get(key), asked.get(key), f"{path}.{key}")]
    return [] if stored == asked else [f"{path[1:]} is {stored} and not {asked}"]
