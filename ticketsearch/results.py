"""Tidy rows: one measurement each, with everything that tells it apart. Imports no torch."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ticketsearch.errors import UsageError
from ticketsearch.seal import unsealed, verified

_TEXT = ("run", "dense", "label", "dataset", "model", "pruner", "schedule", "rewind", "recipe")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [("seed", pa.int64()), ("order_seed", pa.int64()), ("round", pa.int64())]
    + [("sparsity", pa.float64()), ("sparsity_total", pa.float64()), ("kept", pa.int64()), ("prunable", pa.string())]
    + [("family", pa.string()), ("metric", pa.string()), ("variant", pa.string()), ("value", pa.float64())]
    + [("stderr", pa.float64()), ("better", pa.int64()), ("unit", pa.string()), ("split", pa.string())]
    + [("weights", pa.string()), ("at", pa.string()), ("settings", pa.string()), ("sequence", pa.int64())]
    + [("status", pa.string()), ("error", pa.string()), ("seconds", pa.float64())]
)
"""The columns, in order; what each holds is said in `docs/rows.md`."""

KEY = ("run", "seed", "order_seed", "round", "family", "metric", "variant", "split", "weights", "at", "settings")
"""What makes two rows measurements of the same thing; of those the highest `sequence` wins."""


_MEASURED = ("run", "seed", "order_seed", "round", "family", "settings")
"""What makes two rows results of the same measuring; an error goes when a later one succeeds."""


def encode_rows(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as one parquet file in memory; a key that is no column is an error."""
    unknown = {key for row in rows for key in row} - set(SCHEMA.names)
    if unknown:
        raise KeyError(f"not columns: {sorted(unknown)}")
    table = pa.Table.from_pylist([dict(row) for row in rows], SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read_rows(path: Path, sha: str) -> pa.Table:
    """The rows of one file.

    Args:
        path: a parquet file.
        sha: SHA-256 of the file, or its beginning.

    Raises:
        CorruptStore: the file is missing or is not what its checksum says.
    """
    return _table(verified(path, sha)).cast(SCHEMA)


def _table(content: bytes) -> pa.Table:
    """A parquet file in memory, read by this thread alone.

    Arrow's own threads, where they were still there when the interpreter ended, aborted one process in ten.
    """
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def row_files(cell: Path) -> Iterator[tuple[Path, str]]:
    """Every file of rows of a committed cell and the beginning of its SHA-256.

    Raises:
        CorruptStore: the cell has no manifest that can be read.
    """
    yield cell / "training.parquet", unsealed(cell / "manifest.json")["files"]["training.parquet"]
    for path in sorted((cell / "metrics").glob("*.parquet")):
        yield path, path.stem.rpartition("-")[2]


def _cells(out: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every committed cell under `out`, and what its rows are to say instead (a dense cell shared by a pruned run)."""
    for cell in sorted(out.glob("*/seed-*/round-*/")):
        yield cell, {}
    for pointer in sorted(out.glob("*/seed-*/round-*.json")):
        shared = unsealed(pointer)
        yield out / Path(shared["run"]).name / pointer.parent.name / pointer.stem, shared["rows"]


def _state(out: Path) -> str:
    """A digest of everything that the rows are made of; names of metric files hold their checksums."""
    found = hashlib.sha256()
    for cell, instead in _cells(out):
        found.update(f"{cell.relative_to(out)} {sorted(instead.items())}".encode())
        found.update("".join(f" {path.name} {sha}" for path, sha in row_files(cell)).encode())
    return found.hexdigest()


def collect(out: Path) -> pd.DataFrame:
    """Read the rows of every run under `out` from their own files.

    A dense cell's rows appear once for its own run and once, as round 0, for every run that uses it.

    Raises:
        UsageError: there are no runs.
        CorruptStore: a file is not what its checksum says.
    """
    tables = []
    for cell, instead in _cells(out):
        for path, sha in row_files(cell):
            table = read_rows(path, sha)
            for name, value in instead.items():
                column = pa.array([value] * table.num_rows, SCHEMA.field(name).type)
                table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
            tables.append(table)
    if not tables:
        raise UsageError(
            f"no runs in {out}",
            "`out` must be a folder that `ticketsearch run` has written to",
            "ticketsearch run pruner=lth",
        )
    frame = pa.concat_tables(tables).to_pandas()
    frame = frame.sort_values([*KEY, "sequence"], kind="stable").drop_duplicates(list(KEY), keep="last")
    measured = frame.groupby(list(_MEASURED), dropna=False)["sequence"].transform("max")
    return frame[(frame["status"] != "error") | (frame["sequence"] == measured)].reset_index(drop=True)


def load_results(out: str | Path = "outputs") -> pd.DataFrame:
    """Every row of every run under `out`, from `results.parquet` there, which is rebuilt first when it is stale.

    Raises:
        UsageError: there are no runs.
        CorruptStore: a file is not what its checksum says.
    """
    out = Path(out)
    derived, label, state = out / "results.parquet", out / "results.json", _state(out)
    try:
        stored = json.loads(label.read_text())
        content = derived.read_bytes()
        if stored == {"state": state, "sha256": hashlib.sha256(content).hexdigest()}:
            return _table(content).to_pandas()
    except (OSError, ValueError):
        stored = None  # missing or unreadable: what is derived is made again
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(collect(out), SCHEMA, preserve_index=False)
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    try:
        _replace(derived, content)
        _replace(label, json.dumps({"state": state, "sha256": hashlib.sha256(content).hexdigest()}).encode())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):  # what one may only read can be plotted too
            raise
    return table.to_pandas()


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.replace(beside, path)
