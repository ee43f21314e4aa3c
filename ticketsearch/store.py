"""Runs on disk: a folder per run, a folder per cell that appears by one rename and never changes.

outputs/<dataset>-<model>-<pruner>-<id8>/
    config.yaml                identity; compared when the run is opened again
    invocations.jsonl          every command that worked on it: versions, threads, hardware
    seed-0/round-00.json       the dense cell that round 0 is, for pruned runs
    seed-0/round-03/           ticket.safetensors, training.parquet, manifest.json, metrics/
    seed-0/round-04.part       the round in progress
    seed-0/round-04.lock       held while a process works on the cell
    seed-0/rewind-8/           the dense model after 8 updates
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from ticketsearch.config import Config
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.files import (
    commit_folder,
    decode_state,
    decode_ticket,
    encode_state,
    write_atomic,
)
from ticketsearch.lock import locked
from ticketsearch.results import encode_rows, read_rows, row_files
from ticketsearch.seal import REMEDY, sealed_json, sealed_yaml, sha256, unsealed, verified
from ticketsearch.ticket import Ticket, Weights
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
    def open(cls, config: Config) -> "Run":
        """The run of a configuration; its folder is made when it is new.

        Raises:
            UsageError: the folder cannot be written.
            CorruptStore: the folder holds a run with another identity.
        """
        run = cls(Path(config.options.out) / config.run_name)
        stored = run.path / "config.yaml"
        try:
            with locked(run.path / "config.lock"):
                if not stored.exists():
                    write_atomic(stored, sealed_yaml(config.stored()))
        except OSError as error:
            raise UsageError(
                f"cannot write to {run.path}: {error.strerror}", "`out` must be a folder that you may write to"
            ) from error
        if run.config().get("identity") != config.identity():
            what = f"{stored} is of another run than its folder's name says"
            raise CorruptStore(what, "restore it, or move the folder away", "ticketsearch run out=ANOTHER_FOLDER")
        return run

    def config(self) -> dict[str, Any]:
        """What `config.yaml` holds: data, never code.

        Raises:
            CorruptStore: it cannot be read.
        """
        return unsealed(self.path / "config.yaml")

    def note(self, invocation: Mapping[str, Any]) -> None:
        """Append one line to `invocations.jsonl`."""
        with (self.path / "invocations.jsonl").open("a") as file:
            file.write(json.dumps(invocation, sort_keys=True) + "\n")

    def first_invocation(self) -> dict[str, Any]:
        """The first whole line of `invocations.jsonl`; empty when there is none."""
        path = self.path / "invocations.jsonl"
        for line in path.read_text().splitlines() if path.is_file() else []:
            with suppress(ValueError):  # a killed writer may have torn its line
                return dict(json.loads(line))
        return {}

    def cell(self, seed: int, round_: int) -> "Cell":
        """One cell of the run, whether it exists yet or not."""
        return Cell(self.path, seed, round_)

    def shared(self, seed: int) -> str:
        """The name of the dense run that round 0 of a seed is.

        Raises:
            CorruptStore: it is not said.
        """
        return str(unsealed(self.path / f"seed-{seed}" / "round-00.json")["run"])

    def rewind(self, seed: int, step: int) -> "RewindPoint":
        """The dense model after `step` updates, whether it is kept yet or not."""
        return RewindPoint(self.path / f"seed-{seed}" / f"rewind-{step}")

    def share(self, dense: "Cell", rows: Mapping[str, Any]) -> None:
        """Let round 0 of this run be a dense cell.

        Args:
            dense: the committed cell.
            rows: columns in which its rows differ when they are this run's round 0.
        """
        pointer = self.path / f"seed-{dense.seed}" / f"round-{dense.round:02d}.json"
        content = {"run": dense.run.name, "seed": dense.seed, "sha256": dense.sha, "rows": dict(rows)}
        with locked(pointer.with_suffix(".lock")):
            if not pointer.is_file() or pointer.read_bytes() != sealed_json(content):
                write_atomic(pointer, sealed_json(content))


@dataclass(frozen=True)
class Cell:
    """One round of one seed of one run."""

    run: Path
    seed: int
    round: int

    @property
    def path(self) -> Path:
        """Its folder once it is committed."""
        return self.run / f"seed-{self.seed}" / f"round-{self.round:02d}"

    @property
    def committed(self) -> bool:
        """Whether its folder is there; folders appear whole."""
        return self.path.is_dir()

    @property
    def manifest(self) -> dict[str, Any]:
        """What the cell is: checksums, counts, where it comes from.

        Raises:
            CorruptStore: it cannot be read.
        """
        return unsealed(self.path / "manifest.json")

    @property
    def sha(self) -> str:
        """SHA-256 of its ticket."""
        return str(self.manifest["files"]["ticket.safetensors"])

    def ticket(self) -> Ticket:
        """The mask, the trained weights (as `start`) and the rest.

        Raises:
            CorruptStore: the file is not what the manifest says.
        """
        path = self.path / "ticket.safetensors"
        content = verified(path, self.sha)
        try:
            return decode_ticket(content)
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CorruptStore(f"{path} is no stored ticket", REMEDY) from error

    def commit(self, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        """Make the cell appear, with a manifest of every file, in one rename; what was in progress is then removed.

        Args:
            files: name -> content; `ticket.safetensors` and `training.parquet` among them.
            about: what the manifest says besides.
        """
        commit_folder(self.path, files, {"run": self.run.name, "seed": self.seed, "round": self.round, **about})
        self.part.unlink(missing_ok=True)

    def add_rows(self, family: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add what one family measured, as a file of its own that never changes.

        Args:
            family: of the rows; names the file.
            rows: columns -> values; `sequence` is filled in here.
        """
        folder = self.path / "metrics"
        folder.mkdir(exist_ok=True)
        sequence = self._highest_sequence() + 1
        content = encode_rows([dict(row) | {"sequence": sequence} for row in rows])
        write_atomic(folder / f"{family}-{sha256(content)[:12]}.parquet", content)

    def _highest_sequence(self) -> int:
        found = [read_rows(path, sha)["sequence"].to_pylist() for path, sha in row_files(self.path)]
        return max((number for numbers in found for number in numbers), default=0)

    def measured(self) -> set[tuple[str, str]]:
        """The (family, settings) whose last measurement has no error in it."""
        found = []
        for path, sha in row_files(self.path):
            rows = read_rows(path, sha).to_pylist()
            fine = all(row["status"] != "error" for row in rows)
            found += [(row["sequence"], (row["family"], row["settings"]), fine) for row in rows[:1]]
        last = {key: fine for _, key, fine in sorted(found)}
        return {key for key, fine in last.items() if fine}

    def keep_logits(self, split: str, content: bytes) -> None:
        """Keep the logits of a split, as safetensors, for other cells."""
        (self.path / "metrics").mkdir(exist_ok=True)
        write_atomic(self.path / "metrics" / f"logits-{split}-{sha256(content)[:12]}.safetensors", content)

    def logits(self, split: str) -> bytes | None:
        """The logits kept for other cells, or None.

        Raises:
            CorruptStore: the file is not what its name says.
        """
        for path in sorted((self.path / "metrics").glob(f"logits-{split}-*.safetensors")):
            return verified(path, path.stem.rpartition("-")[2])
        return None

    @property
    def part(self) -> Path:
        """The file of the round in progress."""
        return self.path.with_suffix(".part")

    def save_part(self, state: TrainState, about: Mapping[str, Any]) -> None:
        """Replace the round in progress: 32 bytes of SHA-256, then the state."""
        content = encode_state(state, about)
        write_atomic(self.part, bytes.fromhex(sha256(content)) + content)

    def load_part(self, about: Mapping[str, Any]) -> TrainState | None:
        """The round in progress, if there is one, it is whole, and it belongs to what `about` says."""
        content = self.part.read_bytes() if self.part.is_file() else b""
        if bytes.fromhex(sha256(content[32:])) != content[:32]:
            return None
        state, belongs = decode_state(content[32:])
        return state if belongs == dict(about) else None

    def lock(self, notice: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the cell, so that no two processes work on it; waits while another does.

        Args:
            notice: called with one line when waiting begins.
        """
        waiting = f"waiting for {self.run.name} seed {self.seed} round {self.round}, which another process works on"
        return locked(self.path.with_suffix(".lock"), lambda: notice(waiting), self.path / "metrics")


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
        return str(unsealed(self.path / "manifest.json")["files"]["state.safetensors"])

    def lock(self) -> AbstractContextManager[None]:
        """Hold the point while it is written."""
        return locked(self.path.with_suffix(".lock"))

    def commit(self, state: TrainState) -> None:
        """Keep a state: weights and momentum."""
        kept = TrainState(state.weights, state.momentum, {}, type(state.progress)(step=state.progress.step))
        commit_folder(self.path, {"state.safetensors": encode_state(kept, {})}, {"step": state.progress.step})

    def read(self) -> tuple[Weights, dict[str, Tensor]]:
        """State dict and momentum.

        Raises:
            CorruptStore: the file is not what the manifest says.
        """
        path = self.path / "state.safetensors"
        content = verified(path, self.sha)
        try:
            state, _ = decode_state(content)
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CorruptStore(f"{path} is no stored state", REMEDY) from error
        return state.weights, state.momentum
