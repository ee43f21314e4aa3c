"""Small records that carry their own checksum: manifests, pointers and configurations of runs. Imports no torch."""

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ticketsearch.errors import CorruptStore, UsageError

REMEDY = "the same `ticketsearch run` as before sets it aside and makes it again"
FORMAT = 3
"""Raised when a stored file changes its meaning."""


DAMAGED = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO)
"""Errors of the system that mean that a file is lost or damaged, and not that it cannot be read just now or by us."""


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def verified(path: Path, sha: str) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        sha: its SHA-256, or the beginning of it.

    Raises:
        CorruptStore: it is missing or is not what its checksum says.
        OSError: it cannot be read for another reason: permissions, too many open files.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno not in DAMAGED:
            raise  # it may well be whole, for who may read it
        raise CorruptStore(f"{path} cannot be read: {error.strerror}", REMEDY) from error
    if not sha256(content).startswith(sha):
        raise CorruptStore(f"{path} is not what its checksum says", REMEDY)
    return content


def digest(content: object) -> str:
    """SHA-256 of JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


_JSON = (b',\n "check": "', b'"\n}\n')
_LINE = (b', "check": "', b'"}\n')
_YAML = (b"check: ", b"\n")
"""What stands before and after the check of a record, which is its last entry."""


def _seal(text: bytes, around: tuple[bytes, bytes]) -> bytes:
    """A record with the SHA-256 of every byte before its check, so that no version of a writer matters to a reader."""
    before, after = around
    return text + before + sha256(text).encode() + after


def _is_sealed(record: bytes, around: tuple[bytes, bytes]) -> bool:
    """Whether every byte of a record is as it was sealed."""
    return record == _seal(record[: -64 - sum(map(len, around))], around)


def sealed_json(content: Mapping[str, Any]) -> bytes:
    """A record as JSON for people and programs, with its own checksum as `check`."""
    return _seal(json.dumps(dict(content), sort_keys=True, indent=1).encode()[:-2], _JSON)


def sealed_line(content: Mapping[str, Any]) -> bytes:
    """A record as one line of JSON, with its own checksum as `check`."""
    return _seal(json.dumps(dict(content), sort_keys=True).encode()[:-1], _LINE)


def sealed_yaml(content: Mapping[str, Any]) -> bytes:
    """A record as yaml, with its own checksum as `check`."""
    return _seal(yaml.safe_dump(dict(content), sort_keys=False).encode(), _YAML)


def unsealed_line(line: bytes) -> dict[str, Any] | None:
    """What a line of `sealed_line` says, without its `check`; None: it is not as it was written."""
    if not _is_sealed(line, _LINE):
        return None
    content = dict(json.loads(line))
    del content["check"]
    return content


def unsealed(path: Path) -> dict[str, Any]:
    """What a sealed file says, without its `check`; data, never code.

    Args:
        path: a file of `sealed_json` or `sealed_yaml`.

    Raises:
        CorruptStore: it is missing, cannot be read, or is not what it was sealed with.
    """
    raw = verified(path, "")
    if not _is_sealed(raw, _JSON if path.suffix == ".json" else _YAML):
        raise CorruptStore(f"{path} is not what its checksum says", REMEDY)
    content = dict(json.loads(raw) if path.suffix == ".json" else yaml.safe_load(raw))
    del content["check"]
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the manifest of a folder says.

    Raises:
        CorruptStore: it is missing or damaged.
        UsageError: it is of another format than this version's.
    """
    try:
        manifest = unsealed(folder / "manifest.json")
    except CorruptStore:
        older = _of_format_1(folder / "manifest.json")
        if older is None:
            raise
        manifest = older
    if manifest.get("format") != FORMAT:
        what = f"{folder} is of format {manifest.get('format')}, and this version reads format {FORMAT}"
        raise UsageError(what, "run the version that wrote it, or choose another folder", "ticketsearch run out=OTHER")
    return manifest


def _of_format_1(path: Path) -> dict[str, Any] | None:
    """A manifest that was sealed as format 1 did, with a digest of what it says; None: it is none."""
    try:
        content = dict(json.loads(path.read_bytes()))
        return content if content.pop("check", None) == digest(content) else None
    except (OSError, ValueError, TypeError):
        return None
