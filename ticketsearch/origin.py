"""Where a ticket comes from: the artefacts that its manifest names must still be the ones it was drawn from."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from ticketsearch.cell import Cell
from ticketsearch.errors import CorruptStore
from ticketsearch.seal import read_manifest

MAIN = ("ticket.safetensors", "state.safetensors")
"""The file whose checksum stands for a cell or a rewind point."""
AGAIN = "run its command again to have it made anew"


def check_origin(cell: Cell) -> None:
    """Compare what a committed ticket was drawn from with what is there now.

    A rewind point may be missing: it is trained again when it is asked for.

    Raises:
        CorruptStore: the ticket that it was drawn from is missing or is another one now, or a rewind point is.
    """
    out, manifest = cell.run.parent, cell.manifest
    for run, name, sha in _origins(manifest):
        path = out / Path(run).name / f"seed-{cell.seed}" / name
        what = f"{Path(run).name} seed {cell.seed} {name}"
        if not path.is_dir() and not name.startswith("rewind"):
            raise CorruptStore(f"{cell.path} was drawn from {what}, which is not there", AGAIN)
        if _sha(path) not in (None, sha):
            raise CorruptStore(f"{cell.path} was drawn from another {what} than there is now", AGAIN)


def _sha(path: Path) -> str | None:
    """The checksum of an artefact; None for one that is missing or damaged: that is told, and mended, where it lies."""
    with suppress(CorruptStore):
        ((_, sha),) = ((name, sha) for name, sha in read_manifest(path)["files"].items() if name in MAIN)
        return str(sha)
    return None


def _origins(manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(run, folder of the artefact, SHA-256) of everything that a ticket was drawn from."""
    source, start = manifest["source"], manifest["start"]
    name = f"rewind-{source['rewind']}" if "rewind" in source else f"round-{source['round']:02d}"
    points = [(start["run"], f"rewind-{step}", sha) for step, sha in start.get("points", {}).items()]
    return [(source["run"], name, source["sha256"]), *points]
