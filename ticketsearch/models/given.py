"""Weights that a user has, for a search to start from: a state dict in a file, checked against the network."""

import hashlib
import io
import pickle
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from ticketsearch.errors import UsageError
from ticketsearch.seal import sha256

TRY = "ticketsearch run model.weights=FILE.safetensors"


def digest_of(path: str) -> str:
    """SHA-256 of a file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        right = "model.weights is a file of a state dict: .safetensors, or .pt of torch.save"
        raise UsageError(f"model.weights={path}: {error.strerror}", right, TRY) from error


def given(path: str, sha: str, network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a file. Nothing of it is executed: a pickle is read as tensors and plain containers only.

    Args:
        path: a safetensors file if its name says so, else one of `torch.save`.
        sha: the file's SHA-256.
        network: it is for. Names may lack what a network of a library has before the library's own (`prefix`).

    Returns:
        Name -> tensor, on the CPU: those of the network's own state dict, with its shapes and dtypes.

    Raises:
        UsageError: the file has changed or is no state dict, or it is one of another network.
    """
    digest_of(path)  # says what is wrong where it cannot be read
    content = Path(path).read_bytes()
    if sha256(content) != sha:
        right = "a run knows its weights by their content: leave model.weights_sha256 out for those that are there now"
        raise UsageError(
            f"{path} does not have the SHA-256 {sha[:12]}...", right, f"ticketsearch run model.weights={path}"
        )
    found = _read(path, content)
    prefix = getattr(network, "prefix", "")
    if not any(name.startswith(prefix) for name in found):
        found = {f"{prefix}{name}": tensor for name, tensor in found.items()}
    _check(path, found, network.state_dict())
    return found


def _read(path: str, content: bytes) -> dict[str, Tensor]:
    """Name -> tensor, whatever the network."""
    try:
        if path.endswith(".safetensors"):
            found: Any = load(content)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a foreign pickle's version; what cannot be read is told below
                found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UsageError(f"{path} holds no state dict that can be read", _first_line(error), TRY) from error
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        holds = " ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        right = "save model.state_dict() by itself: names and tensors, nothing else"
        raise UsageError(f"{path} is no state dict but holds {holds}", right, TRY)
    return dict(found)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(path: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse what is not exactly a state dict of the network."""
    missing, more = [n for n in wanted if n not in found], [n for n in found if n not in wanted]
    if missing or more:
        near = get_close_matches(missing[0], more, 1) if missing else []
        both = (("lacks {}", missing), ("has {} besides", more))
        parts = [text.format(_some(names)) for text, names in both if names]
        right = "its names must be those of the chosen model" + (f"; {near[0]} may be {missing[0]}" if near else "")
        raise UsageError(f"{path} {' and '.join(parts)}", right, TRY)
    for name, tensor in wanted.items():
        theirs = found[name]
        if (theirs.shape, theirs.dtype) != (tensor.shape, tensor.dtype):
            what = f"{path}: {name} is {_shown(theirs)}, not {_shown(tensor)}"
            raise UsageError(what, "it must be of the chosen model, for images and classes of this dataset", TRY)
        if theirs.is_floating_point() and not bool(theirs.isfinite().all()):
            raise UsageError(f"{path}: {name} is not finite", "a training that diverged is no start", TRY)


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _shown(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {'x'.join(map(str, tensor.shape)) or 'number'}"
