"""A cell on disk: one trained ticket and what was measured of it. Its folder appears by one rename and never changes;
rows are added to it as files of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketsearch.errors import CorruptStore
from ticketsearch.files import UNREADABLE, commit_folder, decode_ticket, write_atomic
from ticketsearch.lock import Lock
from ticketsearch.results import encode_rows, metric_files, read_rows, row_files, rows_about, with_sha
from ticketsearch.seal import REMEDY, read_manifest, sealed_json, sha256, unsealed, verified
from ticketsearch.ticket import Ticket


@dataclass(frozen=True)
class Cell:
    """One round of one seed of one run.

    Attributes:
        run: the run's folder.
        seed: of the cell.
        round: 0 is the dense model.
    """

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
        return read_manifest(self.path)

    @property
    def sha(self) -> str:
        """SHA-256 of its ticket."""
        return str(self.manifest["files"]["ticket.safetensors"])

    def ticket(self) -> Ticket:
        """The mask, the trained weights (as `start`) and the rest.

        Raises:
            CorruptStore: the file is not what the manifest says.
        """
        return self._ticket("ticket.safetensors")

    def start(self) -> Ticket | None:
        """The ticket as it was drawn, where the pruner gave the weights itself; None: they can be found again.

        Raises:
            CorruptStore: the file is not what the manifest says.
        """
        return self._ticket("start.safetensors") if "start.safetensors" in self.manifest["files"] else None

    def _ticket(self, name: str) -> Ticket:
        content = verified(self.path / name, self.manifest["files"][name])
        try:
            return decode_ticket(content)
        except UNREADABLE as error:
            raise CorruptStore(f"{self.path / name} is no stored ticket", REMEDY) from error

    def commit(self, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        """Make the cell appear, with a manifest of every file, in one rename; what was in progress is then removed.

        Args:
            files: name -> content; `ticket.safetensors` and `training.parquet` among them.
            about: what the manifest says besides.
        """
        commit_folder(self.path, files, {"run": self.run.name, "seed": self.seed, "round": self.round, **about})
        self.tidy()

    def tidy(self) -> None:
        """Remove what was in progress; the cell is committed."""
        self.part.unlink(missing_ok=True)
        self.drawn.unlink(missing_ok=True)

    def check(self) -> None:
        """Read every file that the manifest names, and count what the mask keeps.

        Raises:
            CorruptStore: something is missing or is not what it was.
        """
        manifest = self.manifest
        if [manifest[key] for key in ("run", "seed", "round")] != [self.run.name, self.seed, self.round]:
            raise CorruptStore(f"{self.path} is another cell: its manifest says so", REMEDY)
        for name in manifest["files"].keys() - {"ticket.safetensors", "start.safetensors"}:  # verified when decoded
            verified(self.path / name, manifest["files"][name])
        mask = self.ticket().mask
        if (mask.kept, mask.total) != (manifest["kept"], manifest["total"]):
            what = f"{self.path} keeps {mask.kept} of {mask.total} weights"
            raise CorruptStore(f"{what}, but its manifest says {manifest['kept']} of {manifest['total']}", REMEDY)
        self.start()

    @property
    def index(self) -> Path:
        """The list of the files that were added, so that one that is lost is missed."""
        return self.path / "metrics" / "index.json"

    def added(self) -> list[str]:
        """The names of the files that were added.

        Raises:
            CorruptStore: the list is damaged, or missing where there are files.
        """
        if self.index.exists():
            return list(unsealed(self.index)["files"])
        if any(metric_files(self.path)):
            raise CorruptStore(f"{self.index} is missing", REMEDY)
        return []

    def add(self, name: str, content: bytes) -> None:
        """Add a file of rows or logits, and its name to the list.

        Raises:
            CorruptStore: the list is damaged.
        """
        before = self.added()
        if not self.index.exists():
            self.list_added([])  # there is a list before there are files, so that a lost one is missed
        write_atomic(self.index.with_name(name), content)
        self.list_added([*before, name])

    def list_added(self, names: Iterable[str]) -> None:
        """Replace the list of the files that were added."""
        self.index.parent.mkdir(exist_ok=True)
        write_atomic(self.index, sealed_json({"files": sorted(set(names))}))

    def damaged_metrics(self) -> list[tuple[Path, str]]:
        """Every added file that is missing or is not what its name says, the list itself included, and why."""
        found = []
        try:
            missing = [self.index.with_name(name) for name in self.added()]
        except CorruptStore as error:
            found, missing = [(self.index, error.what)], []
        for path, sha in dict.fromkeys([*metric_files(self.path), *map(with_sha, missing)]):
            try:
                verified(path, sha)
            except CorruptStore as error:
                found.append((path, error.what))
        return found

    def add_rows(self, family: str, rows: Sequence[Mapping[str, Any]], dense: str) -> None:
        """Add what one family measured, as a file of its own that never changes.

        Args:
            family: of the rows; names the file.
            rows: columns -> values; `sequence` is filled in here.
            dense: SHA-256 of the dense ticket that they were compared with.
        """
        sequence = self._highest_sequence() + 1
        content = encode_rows([dict(row) | {"sequence": sequence} for row in rows], {"of": self.sha, "dense": dense})
        self.add(f"{family}-{sha256(content)[:12]}.parquet", content)

    def _highest_sequence(self) -> int:
        found = [read_rows(path, sha)["sequence"].to_pylist() for path, sha in row_files(self.path)]
        return max((number for numbers in found for number in numbers), default=0)

    def measured(self, dense: str) -> dict[tuple[str, str], frozenset[str]]:
        """The (family, settings) whose last measurement is of this ticket and has no error in it, and the reasons with
        which rows of it were skipped.

        Args:
            dense: SHA-256 of the dense ticket that they must have been compared with.
        """
        found, wanted = [], {"of": self.sha, "dense": dense}
        for path, sha in row_files(self.path):
            table = read_rows(path, sha)
            rows = table.to_pylist()
            fine = all(row["status"] != "error" for row in rows) and rows_about(table) == wanted
            reasons = sorted({row["error"] for row in rows if row["status"] == "skipped"})
            found += [(row["sequence"], (row["family"], row["settings"]), fine, reasons) for row in rows[:1]]
        last = {key: (fine, reasons) for _, key, fine, reasons in sorted(found)}
        return {key: frozenset(reasons) for key, (fine, reasons) in last.items() if fine}

    def keep_logits(self, split: str, content: bytes) -> None:
        """Keep the logits of a split, as safetensors, for other cells."""
        self.add(f"logits-{split}-{sha256(content)[:12]}.safetensors", content)

    def logits(self, split: str) -> bytes | None:
        """The logits kept for other cells, or None.

        Raises:
            CorruptStore: the file is not what its name says.
        """
        for path, sha in metric_files(self.path, f"logits-{split}-*.safetensors"):
            return verified(path, sha)
        return None

    @property
    def part(self) -> Path:
        """The file of the training in progress."""
        return self.path.with_suffix(".part")

    @property
    def drawn(self) -> Path:
        """The file of the ticket that was drawn, while it trains; only where drawing it was work."""
        return self.path.with_suffix(".drawn")

    def lock(self) -> Lock:
        """What a process holds while it works on the cell."""
        return Lock(self.lock_file, self.path / "metrics")

    @property
    def lock_file(self) -> Path:
        """The file that says who does."""
        return self.path.with_suffix(".lock")
