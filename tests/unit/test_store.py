"""Runs on disk: whole or absent, bit for bit, and never a wrong number from a damaged file."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from commands import flip, rows, run_here, sha_of, tickets
from safetensors.torch import load, save

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.errors import TicketError
from ticketsearch.files import decode_ticket, encode_ticket, write_atomic
from ticketsearch.seal import sha256
from ticketsearch.ticket import Mask

FILES = {"ticket.safetensors": b"a ticket" * 99, "training.parquet": b"rows"}


# Whole or absent.


@contextmanager
def failing_at(call: int) -> Iterator[list[int]]:
    """The `call`-th fsync, rename or replace fails, as on a full disk."""
    left = [call]

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*arguments)

        return attempt

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "rename", "replace"):
            patch.setattr(os, name, failing(getattr(os, name)))
        yield left


def whole(cell: Cell) -> bool:
    """Whether every file is there and is what the manifest says; a cell that is half there fails."""
    if not cell.path.exists():
        assert not cell.committed
        return False
    assert {path.name for path in cell.path.iterdir()} == {*FILES, "manifest.json"}
    assert cell.manifest["files"] == {name: sha_of(cell.path / name) for name in FILES}
    assert cell.manifest["kept"] == 5
    return True


def test_a_cell_is_committed_whole_or_not_at_all(tmp_path: Path) -> None:
    seen = set()
    for call in count(1):
        cell = Cell(tmp_path / "run", 0, call)
        with failing_at(call) as left:
            try:
                cell.commit(FILES, {"kept": 5})
            except OSError:
                seen.add(whole(cell))
        assert {path.name for path in cell.path.parent.iterdir() if path.name.startswith(".")} == set()
        if left[0] > 0:
            break
        if not whole(cell):
            cell.commit(FILES, {"kept": 5})
        assert whole(cell)
    assert call > len(FILES) + 3  # files, manifest, rename and both folders were each made to fail
    assert seen == {True, False}  # after the rename the cell is there, before it is not


def test_a_committed_cell_never_changes(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "run", 0, 1)
    cell.commit(FILES, {"kept": 5})
    with pytest.raises(OSError, match=r"not empty|exists"):
        cell.commit({name: b"other" for name in FILES}, {"kept": 6})
    assert whole(cell)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for call in count(1):
        write_atomic(path, b"old")
        with failing_at(call) as left:
            try:
                write_atomic(path, b"new, and longer")
            except OSError:
                assert path.read_bytes() in (b"old", b"new, and longer")
        assert [found.name for found in tmp_path.iterdir()] == ["file"]
        if left[0] > 0:
            break
    assert path.read_bytes() == b"new, and longer"
    assert call == 4  # the file's bytes, the rename, the folder


def test_a_run_that_failed_at_any_write_is_finished_by_the_next(finished: Path, tmp_path: Path) -> None:
    for call in (3, 25, 47):
        here = tmp_path / str(call)
        with failing_at(call), pytest.raises((OSError, TicketError), match="No space"):
            run_here(here, "pruner=lth", "schedule.rounds=1")
        run_here(here, "pruner=lth", "schedule.rounds=1")
        expected = {cell: ticket for cell, ticket in tickets(finished).items() if "round-02" not in cell}
        assert tickets(here) == expected


# Bit for bit.


def odd_ticket(seed: int, rest: bool) -> tuple[dict[str, torch.Tensor], Mask, dict[str, torch.Tensor] | None]:
    """Weights with negative zeros and not-a-numbers of several payloads, an unshaped and an empty layer."""
    generator = torch.Generator().manual_seed(seed)
    bits = {name: (7, 3, 3, 3) if "conv" in name else (11, 7) for name in ("conv.weight", "fc.weight", "last.weight")}
    weights = {
        name: torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int64).int().view(torch.float32)
        for name, shape in bits.items()
    }
    weights["conv.weight"][0] = -0.0
    alive = {name: torch.rand(shape, generator=generator) < 0.4 for name, shape in bits.items()}
    alive["last.weight"][:] = False
    weights["bn.running_var"] = (
        torch.tensor([0x7FC00001, 0x7FA00002, -1, 0x00000001, -(2**31)]).int().view(torch.float32)
    )
    weights["bn.num_batches_tracked"] = torch.tensor(2**40 + 1)
    return weights, Mask(alive), {name: weights[name] for name in bits} if rest else None


def bits_of(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else tensor.dtype).flatten().tolist()


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_tickets_come_back_bit_for_bit(seed: int, rest: bool) -> None:
    weights, mask, dead = odd_ticket(seed, rest)
    ticket = decode_ticket(encode_ticket(weights, mask, dead))
    assert ticket.mask == mask
    assert ticket.start.keys() == weights.keys()
    assert (ticket.rest is None) == (dead is None)
    for name, tensor in weights.items():
        assert ticket.start[name].dtype == tensor.dtype
        assert ticket.start[name].shape == tensor.shape
        wanted = tensor if rest or name not in mask else torch.where(mask[name], tensor, torch.zeros(()))
        assert bits_of(ticket.start[name]) == bits_of(wanted)


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.9, 1.0])
def test_masks_are_stored_as_what_is_smaller_and_come_back(density: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mask = Mask({"fc.weight": torch.rand(40, 1000, generator=generator) < density})
    weights = {"fc.weight": torch.ones(40, 1000)}
    content = encode_ticket(weights, mask, None)
    stored = load(content)
    assert ("mask" in stored) == (density == 0.5)  # whose bits have nothing to spare
    assert decode_ticket(content).mask == mask
    # What was written before masks were ever deflated, or by somebody else.
    plain = {name: tensor for name, tensor in stored.items() if name != "deflated"} | {"mask": mask.pack()}
    assert decode_ticket(save(plain)).mask == mask


BITS = b"\x80" + bytes(4_999)  # one weight of 40,000 is alive
STREAMS = {
    "more than there are weights": zlib.compress(BITS + b"\0"),
    "a million times more": zlib.compress(bytes(10**8)),
    "fewer": zlib.compress(BITS[:-1]),
    "cut": zlib.compress(BITS)[:-1],
    "no stream": b"nothing of the kind",
    "empty": b"",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_mask_that_is_deflated_wrongly_is_refused(stream: bytes) -> None:
    first = torch.zeros(40, 1000, dtype=torch.bool)
    first[0, 0] = True
    stored = load(encode_ticket({"fc.weight": torch.ones(40, 1000)}, Mask({"fc.weight": first}), None))
    assert zlib.decompress(stored["deflated"].numpy().tobytes()) == BITS
    stored["deflated"] = torch.tensor(list(stream), dtype=torch.uint8)
    content = save(stored)
    tracemalloc.start()
    with pytest.raises(ValueError, match="mask"):
        decode_ticket(content)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_the_same_ticket_is_the_same_bytes_in_every_process() -> None:
    code = "import sys, test_store as t; sys.stdout.write(t.sha256(t.encode_ticket(*t.odd_ticket(1, True))))"
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(folders + sys.path)}
    other = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout
    assert other == sha256(encode_ticket(*odd_ticket(1, True)))


# What is derived.


def results_file(out: Path) -> bytes:
    return (out / "results.parquet").read_bytes()


DAMAGES = {"cut": lambda path: path.write_bytes(b"PAR1"), "gone": Path.unlink, "flipped": flip}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["results.parquet", "results.json"])
def test_damaged_results_are_collected_again(out: Path, name: str, damage: Callable[[Path], None]) -> None:
    before, content = ticketsearch.load_results(out), results_file(out)
    damage(out / name)
    pd.testing.assert_frame_equal(ticketsearch.load_results(out), before)
    assert results_file(out) == content


def test_stale_results_are_collected_again(out: Path) -> None:
    before = rows(out)
    run_here(out, "pruner=random")
    assert set(before.pruner) == {"dense", "lth"}
    assert set(rows(out).pruner) == {"dense", "lth", "random"}
    for path in out.glob("*-lth-*/seed-0/round-02/metrics/calibration-*"):
        path.unlink()
    found = ticketsearch.load_results(out, lambda error: None)
    assert not ((found.pruner == "lth") & (found["round"] == 2)).any()  # a round that lacks a file is left out
    assert ((found.pruner == "lth") & (found["round"] == 1)).any()


def test_fresh_results_are_not_collected_again(out: Path) -> None:
    ticketsearch.load_results(out)
    before = (out / "results.parquet").stat().st_mtime_ns
    ticketsearch.load_results(out)
    assert (out / "results.parquet").stat().st_mtime_ns == before


def test_copied_outputs_give_the_same_rows(finished: Path, out: Path) -> None:
    moved = out.rename(out.with_name("moved"))
    pd.testing.assert_frame_equal(ticketsearch.load_results(moved), ticketsearch.load_results(finished))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_may_only_be_read_can_be_loaded(out: Path) -> None:
    expected = rows(out)
    for path in out.glob("results.*"):
        path.unlink()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        pd.testing.assert_frame_equal(rows(out), expected)
    finally:
        out.chmod(stat.S_IRWXU)


def test_results_on_a_disk_that_is_mounted_read_only_can_be_loaded(out: Path) -> None:
    for path in out.glob("results.*"):
        path.unlink()
    mount = f"mount --bind '{out}' '{out}' && mount -o remount,bind,ro '{out}'"
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount")
    command = f"{mount} && exec '{sys.executable}' -m ticketsearch results 'out={out}'"
    finished = subprocess.run([*alone, command], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "lth" in finished.stdout
    assert not (out / "results.parquet").exists()
