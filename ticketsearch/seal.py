"""Small records that carry their own checksum: manifests, pointers and configurations of runs. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ticketsearch.errors import CorruptStore, UsageError

REMEDY = "the same `ticketsearch run` as before sets it aside and makes it again"
FORMAT = 2
"""Raised when a stored file changes its meaning."""


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
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptStore(f"{path} cannot be read: {error.strerror}", REMEDY) from error
    if not sha256(content).startswith(sha):
        raise CorruptStore(f"{path} is not what its checksum says", REMEDY)
    return content


def digest(content: object) -> str:
    """SHA-256 of JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def sealed_json(content: Mapping[str, Any]) -> bytes:
    """A record as JSON for people and programs, with the digest of everything else as `check`."""
    return (json.dumps({**content, "check": digest(dict(content))}, sort_keys=True, indent=1) + "\n").encode()


def sealed_yaml(content: Mapping[str, Any]) -> bytes:
    """A record as yaml, with the digest of everything else as `check`."""
    return yaml.safe_dump({**content, "check": digest(dict(content))}, sort_keys=False).encode()


def unsealed(path: Path) -> dict[str, Any]:
    """What a sealed file says, without its `check`; data, never code.

    Args:
        path: a file of `sealed_json` or `sealed_yaml`.

    Raises:
        CorruptStore: it is missing, cannot be read, or does not say what it was sealed with.
    """
    try:
        read, seal = (json.loads, sealed_json) if path.suffix == ".json" else (yaml.safe_load, sealed_yaml)
        raw = path.read_bytes()
        content = dict(read(raw.decode()))
        content.pop("check", None)
        whole = seal(content) == raw  # byte by byte: `False` reads as `false` does, and is damage all the same
    except OSError as error:
        raise CorruptStore(f"{path} cannot be read: {error.strerror}", REMEDY) from error
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise CorruptStore(f"{path} cannot be read: it is damaged", REMEDY) from error
    if not whole:
        raise CorruptStore(f"{path} is not what its checksum says", REMEDY)
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the manifest of a folder says.

    Raises:
        CorruptStore: it is missing or damaged.
        UsageError: it is of another format than this version's.
    """
    manifest = unsealed(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        what = f"{folder} is of format {manifest.get('format')}, and this version reads format {FORMAT}"
        raise UsageError(what, "run the version that wrote it, or choose another folder", "ticketsearch run out=OTHER")
    return manifest
