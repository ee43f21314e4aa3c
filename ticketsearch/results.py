"""Tidy rows: one measurement each, with everything that tells it apart. Imports no torch, and pandas where rows are
read alone.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.layout import rounds, seeds
from ticketsearch.seal import REMEDY, sealed_json, sha256, unsealed, verified

if TYPE_CHECKING:
    import pandas as pd

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

ON_TRAIN = (
    "hessian_trace_weight", "hessian_trace_input", "hessian_eigen_weight", "hessian_eigen_input", "sharpness",
    "magnitude_flatness", "gradient_flow", "synaptic_flow",
)  # fmt: skip
"""Metrics of the training loss: how flat it is, is told beside what the test images say."""

_ORDER = ("run", "seed", "order_seed", "round", "family", "metric")
"""What the rows are sorted by."""

_MEASURED = ("run", "seed", "order_seed", "round", "family", "settings")
"""What makes two rows results of the same measuring; an error goes when a later one succeeds."""


def of_split(rows: "pd.DataFrame", split: str = "test") -> "pd.Series[bool]":
    """Which rows tell of a split. With those of test come those of the training loss that are told beside them."""
    own = rows["split"] == split
    return own | (rows["metric"].isin(ON_TRAIN) & (rows["split"] == "train")) if split == "test" else own


def encode_rows(rows: Sequence[Mapping[str, Any]], about: Mapping[str, str] | None = None) -> bytes:
    """Rows as one parquet file in memory.

    Args:
        rows: columns -> values; a key that is no column is an error.
        about: what all rows have in common and no column says; `rows_about` gives it back.
    """
    unknown = {key for row in rows for key in row} - set(SCHEMA.names)
    if unknown:
        raise KeyError(f"not columns: {sorted(unknown)}")
    table = pa.Table.from_pylist([dict(row) for row in rows], SCHEMA.with_metadata(dict(about or {})))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def rows_about(table: pa.Table) -> dict[str, str]:
    """What `encode_rows` was told about the rows: `of`, the SHA-256 of the ticket that was measured, and `dense`, of
    the dense ticket that it was compared with; nothing for rows of a training.
    """
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def read_rows(path: Path, sha: str) -> pa.Table:
    """The rows of one file.

    Args:
        path: a parquet file.
        sha: SHA-256 of the file, or its beginning.

    Raises:
        CorruptStore: the file is missing or is not what its checksum says.
    """
    table = _table(verified(path, sha))
    return table.cast(SCHEMA.with_metadata(table.schema.metadata))


def _table(content: bytes) -> pa.Table:
    """A parquet file in memory, read by this thread alone.

    Arrow's own threads, where they were still there when the interpreter ended, aborted one process in ten.
    """
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def metric_files(cell: Path, pattern: str = "*-*") -> Iterator[tuple[Path, str]]:
    """Every file that was added to a committed cell, and the beginning of its SHA-256."""
    for path in sorted((cell / "metrics").glob(pattern)):
        if not path.name.startswith("."):  # what a writer has not finished
            yield with_sha(path)


def with_sha(path: Path) -> tuple[Path, str]:
    """The path of an added file and the beginning of its SHA-256, which its name ends with."""
    return path, path.stem.rpartition("-")[2]


def row_files(cell: Path) -> Iterator[tuple[Path, str]]:
    """Every file of rows of a committed cell and the beginning of its SHA-256.

    Raises:
        CorruptStore: the cell has no manifest that can be read.
    """
    yield cell / "training.parquet", unsealed(cell / "manifest.json")["files"]["training.parquet"]
    yield from metric_files(cell, "*-*.parquet")


def check_complete(cell: Path) -> None:
    """Raise CorruptStore if a file that was added to a committed cell is missing, by the list of them."""
    index = cell / "metrics" / "index.json"
    for name in unsealed(index)["files"] if index.exists() else []:
        if not index.with_name(name).is_file():
            raise CorruptStore(f"{index.with_name(name)} is missing", REMEDY)


LeaveOut = Callable[[CorruptStore], None]
"""Told why the rows of a round are left out."""


def _refuse(error: CorruptStore) -> None:
    raise error


def _cells(out: Path, leave_out: LeaveOut) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every committed cell under `out`, and what its rows are to say instead (a dense cell shared by a pruned run)."""
    folders = [folder for run in sorted(out.glob("*/")) for _, folder in seeds(run)]
    for cell in (cell for folder in folders for _, cell in rounds(folder)):
        yield cell, {}
    for pointer in (pointer for folder in folders for _, pointer in rounds(folder, ".json")):
        try:
            shared = unsealed(pointer)
        except CorruptStore as error:
            leave_out(error)
            continue
        yield out / Path(shared["run"]).name / pointer.parent.name / pointer.stem, shared["rows"]


def _state(out: Path) -> str:
    """A digest of everything that the rows are made of; names of metric files hold their checksums."""
    found = hashlib.sha256(b"2")  # raised when the same files make other rows, or rows in another order
    for cell, instead in _cells(out, _refuse):
        found.update(f"{cell.relative_to(out)} {sorted(instead.items())}".encode())
        check_complete(cell)
        found.update("".join(f" {path.name} {sha}" for path, sha in row_files(cell)).encode())
    return found.hexdigest()


def collect(out: Path, leave_out: LeaveOut = _refuse) -> "pd.DataFrame":
    """Read the rows of every run under `out` from their own files.

    A dense cell's rows appear once for its own run and once, as round 0, for every run that uses it. The variants of a
    metric stay in the order of measuring: layers as in the model, corruptions as in their paper.

    Args:
        out: the folder of runs.
        leave_out: told of each round of which a file is not what its checksum says, or is about another ticket; all of
            its rows are left out. By default that is an error.

    Raises:
        UsageError: there are no runs.
        CorruptStore: raised by `leave_out`.
    """
    tables, cells = [], list(_cells(out, leave_out))
    for cell, instead in cells:
        try:
            check_complete(cell)
            found = [read_rows(path, sha) for path, sha in row_files(cell)]
            check_about(out, cell, found)
        except CorruptStore as error:
            leave_out(error)
            continue
        tables += [_saying(table, instead) for table in found]
    if cells and not tables:
        raise CorruptStore(f"no round in {out} is whole", REMEDY, f"ticketsearch verify out={out}")
    if not tables:
        raise UsageError(
            f"no runs in {out}",
            "`out` must be a folder that `ticketsearch run` has written to",
            "ticketsearch run pruner=lth",
        )
    frame = pa.concat_tables(tables).to_pandas()
    frame = frame.sort_values("sequence", kind="stable").drop_duplicates(list(KEY), keep="last")
    frame = frame.sort_values(list(_ORDER), kind="stable")
    measured = frame.groupby(list(_MEASURED), dropna=False)["sequence"].transform("max")
    return frame[(frame["status"] != "error") | (frame["sequence"] == measured)].reset_index(drop=True)


def _saying(table: pa.Table, instead: Mapping[str, Any]) -> pa.Table:
    """Rows with other values in some columns, and no metadata."""
    for name, value in instead.items():
        column = pa.array([value] * table.num_rows, SCHEMA.field(name).type)
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    return table.replace_schema_metadata()


def check_about(out: Path, cell: Path, tables: Sequence[pa.Table]) -> None:
    """Raise CorruptStore if rows are about another ticket, or compared with another dense one, than there is now."""
    for table in tables:
        about = rows_about(table)
        if about and table.num_rows:
            dense = out / table["dense"][0].as_py() / cell.parent.name / "round-00"
            now = {"of": _ticket_sha(cell), "dense": _ticket_sha(dense)}
            for key, sha in about.items():
                if sha != now.get(key):
                    family = table["family"][0].as_py()
                    what = f"rows of family {family} in {cell} are about another {'dense ' * (key == 'dense')}ticket"
                    raise CorruptStore(f"{what} than there is now", "run the same command again to measure them anew")


def _ticket_sha(cell: Path) -> str:
    return str(unsealed(cell / "manifest.json")["files"]["ticket.safetensors"])


def load_results(out: str | Path = "outputs", leave_out: LeaveOut = _refuse) -> "pd.DataFrame":
    """Every row of every run under `out`, from `results.parquet` there, which is rebuilt first when it is stale.

    Args:
        out: the folder of runs.
        leave_out: see `collect`; by default a damaged round is an error. Rows that lack a round are not kept.

    Raises:
        UsageError: there are no runs.
        CorruptStore: a file is not what its checksum says.
    """
    out, missing = Path(out), list[CorruptStore]()
    derived, label = derived_files(out)
    try:
        state = _state(out)
        if intact(out) and unsealed(label)["state"] == state:
            return _table(derived.read_bytes()).to_pandas()
    except CorruptStore:
        state = ""  # a damaged round: what is derived cannot be told to be fresh
    except (OSError, ValueError):
        pass  # unreadable: what is derived is made again

    def missed(error: CorruptStore) -> None:
        leave_out(error)
        missing.append(error)

    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(collect(out, missed), SCHEMA, preserve_index=False)
    if missing or not state:
        return table.to_pandas()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    try:
        label.unlink(missing_ok=True)  # a kill between the two leaves rows without a label, not with a wrong one
        _replace(derived, content)
        _replace(label, sealed_json({"state": state, "sha256": sha256(content)}))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):  # what one may only read can be plotted too
            raise
    return table.to_pandas()


def derived_files(out: Path) -> tuple[Path, Path]:
    """Where the collected rows are kept, and their checksum with the state that they were collected from."""
    return out / "results.parquet", out / "results.json"


def intact(out: Path) -> bool:
    """Whether what is derived is there and is what its checksum says."""
    derived, label = derived_files(out)
    try:
        return unsealed(label)["sha256"] == sha256(derived.read_bytes())
    except (CorruptStore, OSError, KeyError):
        return False


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.replace(beside, path)
