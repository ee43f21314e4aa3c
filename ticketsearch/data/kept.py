"""Arrays of bytes on disk with their SHA-256 beside them: `NAME.npy` and `NAME.sha256`.

Both appear in one rename each, the checksum last: what is read without its checksum is made again.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ticketsearch.errors import UsageError
from ticketsearch.files import sync_folder, write_atomic

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
"""An array of uint8."""


def read(path: Path, shape: tuple[int, ...]) -> Bytes | None:
    """The stored array, or None where it is not there, not whole, or not uint8 of this shape.

    Its pages come from the file as they are looked at, and writing to it does not reach the file.
    """
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == path.with_suffix(".sha256").read_text()
        found = np.load(path, mmap_mode="c", allow_pickle=False) if same else None
    except (OSError, ValueError, EOFError):
        return None
    return found if found is not None and found.shape == shape and found.dtype == np.uint8 else None


def write(path: Path, shape: tuple[int, ...], parts: Iterable[Bytes]) -> None:
    """Put both files in their places; one part is in memory at a time. Processes that make the same write the same.

    Args:
        path: the `.npy`; its folder is made.
        shape: of the whole array.
        parts: what it is made of, along its first dimension.

    Raises:
        UsageError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            digest = _streamed(beside, shape, parts)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(path.parent)
        write_atomic(path.with_suffix(".sha256"), digest.encode())
    except OSError as error:
        what = f"images cannot be kept in {path.parent}: {error.strerror}"
        raise UsageError(what, "XDG_CACHE_HOME names a folder that may be written to") from error


def _streamed(path: Path, shape: tuple[int, ...], parts: Iterable[Bytes]) -> str:
    """Write a `.npy` part by part; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in _pieces(shape, parts):
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _pieces(shape: tuple[int, ...], parts: Iterable[Bytes]) -> Iterator[bytes | memoryview]:
    """The bytes of a `.npy`: its header, and then part after part."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    yield header.getvalue()
    for part in parts:
        yield memoryview(np.ascontiguousarray(part))  # type: ignore[arg-type]  # numpy says so from Python 3.12 on
