"""Files that are whole or absent: atomic writes, checksums, and tensors as safetensors."""

import errno
import json
import math
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ticketsearch.seal import FORMAT, sealed_json, sha256
from ticketsearch.ticket import Mask, Ticket, Weights
from ticketsearch.training.state import Progress, TrainState, Within

UNREADABLE = (ValueError, KeyError, TypeError, RuntimeError, IndexError, SafetensorError)
"""What reading tensors raises where they are not what they should be."""


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file in one rename, after its bytes have reached the disk. A killed writer leaves the old file.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_synced(beside, content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until its bytes have reached the disk.

    Raises:
        OSError: the disk is full or the folder cannot be written; it names the file, and how many bytes lack room.
    """
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}{_room(path, error, len(content))}", str(path)) from error


def _room(path: Path, error: OSError, needed: int) -> str:
    """How much room a file needs and has, where it lacks that."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ""
    return f"; {needed:,} bytes are needed, {shutil.disk_usage(path.parent).free:,} are free on this disk"


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries have reached the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def commit_folder(path: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Make a folder appear in one rename, with a manifest of every file's SHA-256; a killed writer leaves none.

    Args:
        path: the folder; it must not exist.
        files: name -> content.
        about: what the manifest says besides.

    Raises:
        OSError: the disk is full, the folder cannot be written, or it exists.
    """
    building = path.with_name(f".{path.name}.{os.getpid()}")
    building.mkdir(parents=True)
    try:
        for name, content in files.items():
            write_synced(building / name, content)
        manifest = {"format": FORMAT, "files": {name: sha256(content) for name, content in files.items()}, **about}
        write_synced(building / "manifest.json", sealed_json(manifest))
        sync_folder(building)
        os.rename(building, path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync_folder(path.parent)


def encode_ticket(weights: Weights, mask: Mask, rest: Weights | None) -> bytes:
    """A trained ticket as safetensors, without a byte for what is pruned.

    `mask` is one bit a prunable weight, or `deflated` the same as a zlib stream where that is smaller; `survivors` are
    the living weights in the mask's order, `rest` the pruned ones unless they are zero, and one vector for each dtype
    holds every other entry of the state dict. `index` is their names and shapes as JSON: as tensors of their own they
    would take more bytes than a sparse mask.
    """
    others: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        if name not in mask:
            others.setdefault(str(tensor.dtype).removeprefix("torch."), {})[name] = tensor
    tensors = {dtype: torch.cat([t.flatten() for t in named.values()]) for dtype, named in others.items()}
    tensors |= {**_stored(mask.pack()), "survivors": _select(weights, mask, mask)}
    if rest is not None:
        tensors["rest"] = _select(weights, mask, {name: ~alive for name, alive in mask.items()})
    index = _index(mask) | {"others": {dtype: _shapes(named) for dtype, named in others.items()}}
    tensors["index"] = _as_tensor(json.dumps(index, separators=(",", ":")).encode())
    return save(tensors)


def _select(weights: Weights, mask: Mask, chosen: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([weights[name][chosen[name]] for name in mask])


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def _stored(bits: Tensor) -> dict[str, Tensor]:
    """Bits of a mask as they are, or as the stream that is smaller: independent bits have no repeats to find but runs
    of zeros, so that Huffman's code with runs comes within a sixth of their entropy.
    """
    stream = zlib.compressobj(level=9, memLevel=9, strategy=zlib.Z_RLE)
    packed = stream.compress(bits.numpy().tobytes()) + stream.flush()
    return {"deflated": _as_tensor(packed)} if len(packed) < bits.numel() else {"mask": bits}


def _inflated(packed: Tensor, index: Mapping[str, Any]) -> Tensor:
    """The bits of a stream, which cannot make more of them than the index has weights.

    Raises:
        ValueError: it is no such stream.
    """
    shapes = [shape for part in ("layers", "held") for shape in index.get(part, {}).values()]
    stream = zlib.decompressobj()
    try:
        bits = stream.decompress(packed.numpy().tobytes(), -(-sum(map(math.prod, shapes)) // 8) + 1)
    except zlib.error as error:
        raise ValueError(f"a mask that cannot be unpacked: {error}") from error
    if not stream.eof:
        raise ValueError("a mask of more bits than there are weights, or of fewer than were written")
    return _as_tensor(bits)


def _index(mask: Mask) -> dict[str, Any]:
    return {"layers": _shapes(mask)} | ({"held": _shapes(mask.held)} if mask.held else {})


def _mask(bits: Tensor, index: Mapping[str, Any]) -> Mask:
    layers, held = ({name: tuple(shape) for name, shape in index.get(part, {}).items()} for part in ("layers", "held"))
    return Mask.unpack(bits, layers, held)


def _as_tensor(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def decode_ticket(content: bytes) -> Ticket:
    """The mask, the trained weights (as the ticket's `start`) and the rest of `encode_ticket`, bit for bit."""
    tensors = load(content)
    index = json.loads(tensors["index"].numpy().tobytes())
    mask = _mask(tensors["mask"] if "mask" in tensors else _inflated(tensors["deflated"], index), index)
    weights: dict[str, Tensor] = {}
    for dtype, shapes in index["others"].items():
        parts = tensors[dtype].split([math.prod(shape) for shape in shapes.values()])
        weights |= {name: part.view(shape).clone() for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    alive = tensors["survivors"].split(list(mask.layer_kept.values()))
    rest = None if "rest" not in tensors else _rest(tensors["rest"], mask)
    for (name, where), values in zip(mask.items(), alive, strict=True):
        weights[name] = torch.zeros(where.shape, dtype=values.dtype) if rest is None else rest[name].clone()
        weights[name][where] = values
    return Ticket(mask, weights, rest)


def _rest(values: Tensor, mask: Mask) -> dict[str, Tensor]:
    parts = values.split([alive.numel() - int(alive.sum()) for alive in mask.values()])
    rest = {name: torch.zeros(alive.shape, dtype=values.dtype) for name, alive in mask.items()}
    for (name, alive), part in zip(mask.items(), parts, strict=True):
        rest[name][~alive] = part
    return rest


def encode_state(state: TrainState, about: Mapping[str, Any]) -> bytes:
    """A training between two steps as safetensors: weights, momentum, best weights and progress.

    Args:
        state: the training.
        about: what it belongs to; `decode_state` gives it back.
    """
    groups = {"weights": state.weights, "momentum": state.momentum, "best": state.best, "dynamics": state.dynamics}
    groups |= {"epoch": state.within.began} if state.within else {}
    tensors = {f"{group}/{name}": t.contiguous() for group, named in groups.items() for name, t in named.items()}
    text: dict[str, Any] = {"about": dict(about), "progress": vars(state.progress)}
    if state.within:
        text["within"] = {"losses": state.within.losses, "sizes": state.within.sizes, "correct": state.within.correct}
    if state.mask is not None:
        tensors["mask"], text["mask"] = state.mask.pack(), json.dumps(_index(state.mask))  # in the layers' order
    if state.began is not None:
        stored = encode_ticket(state.began.start, state.began.mask, state.began.rest)
        tensors["began"] = _as_tensor(stored)
    tensors["json"] = _as_tensor(json.dumps(text, sort_keys=True).encode())
    return save(tensors)


def decode_state(content: bytes) -> tuple[TrainState, dict[str, Any]]:
    """What `encode_state` was given."""
    tensors = load(content)
    text = json.loads(tensors.pop("json").numpy().tobytes())
    mask, began = tensors.pop("mask", None), tensors.pop("began", None)
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "momentum": {}, "best": {}, "dynamics": {}, "epoch": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    epoch = groups.pop("epoch")
    state = TrainState(
        **groups,
        within=Within(epoch, **text["within"]) if "within" in text else None,
        progress=Progress(**text["progress"]),
        mask=None if mask is None else _mask(mask, json.loads(text["mask"])),
        began=None if began is None else decode_ticket(began.numpy().tobytes()),
    )
    return state, text["about"]
