"""Files of what is in progress: a state behind 32 bytes of SHA-256, and what it belongs to. Gone after the commit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticketsearch.errors import CorruptStore
from ticketsearch.files import UNREADABLE, decode_state, encode_state, write_atomic
from ticketsearch.seal import REMEDY, sha256, verified
from ticketsearch.training.state import TrainState


def save_part(path: Path, state: TrainState, about: Mapping[str, Any]) -> None:
    """Replace what is in progress, in one rename.

    Args:
        path: the file.
        state: how far it has come.
        about: what it belongs to.
    """
    content = encode_state(state, about)
    write_atomic(path, bytes.fromhex(sha256(content)) + content)


def read_part(path: Path) -> tuple[TrainState, dict[str, Any]]:
    """What is in progress, and what it belongs to.

    Raises:
        CorruptStore: it cannot be read or is not what its checksum says.
    """
    content = verified(path, "")
    try:
        if bytes.fromhex(sha256(content[32:])) == content[:32]:
            return decode_state(content[32:])
    except UNREADABLE as error:
        raise CorruptStore(f"{path} is no stored state", REMEDY) from error
    raise CorruptStore(f"{path} is not what its checksum says", REMEDY)


def other_circumstances(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In which circumstances something was made that decide the last digits of numbers, and in which nothing is now.

    Args:
        before: what it belongs to.
        now: what it would have to.

    Returns:
        Words for a person; '' where they are the same, or something else than they has changed too.
    """
    pairs = {key: (before.get(key, "auto"), now.get(key, "auto")) for key in {*before, *now}}
    other = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    if not other.keys() <= {"device", "threads", "engine"}:
        return ""
    return ", ".join(f"{key}={was} (now {to})" for key, (was, to) in sorted(other.items()))
