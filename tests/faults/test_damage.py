"""Damaged files: told as such, or made again where they are derived; never a wrong number."""

import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import DAMAGE, Child, Recorder, flip, folder, identities, run_here, same_runs, small, tickets, wait_for

import ticketsearch
from ticketsearch.cli import main
from ticketsearch.errors import CorruptStore
from ticketsearch.results import derived_files
from ticketsearch.seal import sealed_json, sha256, unsealed

CELL = "*-lth-*/seed-0/round-02"
DENSE = "*-dense-*/seed-0"


def read_ticket(out: Path) -> object:
    return ticketsearch.load(folder(out, "lth"), 0, 2)


def another_round(out: Path) -> Recorder:
    return run_here(out, "pruner=lth", "schedule.rounds=3")[1]


def draw_from_dense(out: Path) -> Recorder:
    return run_here(out, "pruner=omp")[1]


def read_dense(out: Path) -> object:
    return ticketsearch.load(folder(out, "lth"), 0, 0)


READERS = [
    (f"{CELL}/ticket.safetensors", read_ticket, [*DAMAGE]),
    (f"{CELL}/manifest.json", read_ticket, ["truncated", "empty", "missing"]),
    (f"{CELL}/manifest.json", ticketsearch.load_results, ["truncated", "empty", "missing"]),
    (f"{CELL}/training.parquet", ticketsearch.load_results, [*DAMAGE]),
    (f"{CELL}/metrics/calibration-*", ticketsearch.load_results, ["flipped", "truncated", "empty"]),
    ("*-lth-*/seed-0/round-00.json", ticketsearch.load_results, ["truncated", "empty"]),
    ("*-lth-*/seed-0/round-00.json", read_dense, ["truncated", "empty"]),
    ("*-lth-*/config.yaml", read_ticket, ["empty"]),
]
DAMAGED = [(pattern, reader, damage) for pattern, reader, damages in READERS for damage in damages]
WRITERS = [
    (f"{CELL}/ticket.safetensors", another_round, [*DAMAGE]),
    (f"{CELL}/manifest.json", another_round, ["truncated", "empty", "missing"]),
    (f"{CELL}/training.parquet", another_round, [*DAMAGE]),
    (f"{CELL}/metrics/calibration-*", another_round, [*DAMAGE]),
    (f"{DENSE}/round-00/ticket.safetensors", draw_from_dense, [*DAMAGE]),
    (f"{DENSE}/round-00/metrics/logits-test-*", draw_from_dense, [*DAMAGE]),
    (f"{DENSE}/rewind-0/state.safetensors", draw_from_dense, [*DAMAGE]),
    (f"{DENSE}/rewind-0/manifest.json", draw_from_dense, ["truncated", "empty", "missing"]),
    ("*-lth-*/config.yaml", another_round, [*DAMAGE]),
    ("*-lth-*/invocations.jsonl", another_round, [*DAMAGE]),
    ("*-lth-*/seed-0/round-00.json", another_round, [*DAMAGE]),
]
MENDED = [(pattern, writer, damage) for pattern, writer, damages in WRITERS for damage in damages]


@pytest.mark.parametrize(("pattern", "reader", "damage"), DAMAGED, ids=lambda x: getattr(x, "__name__", x))
def test_a_damaged_file_is_told(out: Path, pattern: str, reader: Callable[[Path], object], damage: str) -> None:
    (path,) = out.glob(pattern)
    for derived in derived_files(out):  # another test may have collected the rows before: then none is read again
        derived.unlink(missing_ok=True)
    DAMAGE[damage](path)
    with pytest.raises(CorruptStore) as told:
        reader(out)
    assert path.parent.name in str(told.value)


@pytest.fixture(scope="module")
def expected(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Callable[[Path], Recorder], Path]:
    """What each writer makes of outputs without damage."""
    found = {}
    for writer in (another_round, draw_from_dense):
        found[writer] = shutil.copytree(finished, tmp_path_factory.mktemp("expected") / "out")
        writer(found[writer])
    return found


@pytest.mark.parametrize(("pattern", "writer", "damage"), MENDED, ids=lambda x: getattr(x, "__name__", x))
def test_a_damaged_file_is_told_and_made_again(
    out: Path,
    expected: dict[Callable[[Path], Recorder], Path],
    pattern: str,
    writer: Callable[[Path], Recorder],
    damage: str,
) -> None:
    (path,) = out.glob(pattern)
    DAMAGE[damage](path)
    assert main(["verify", f"out={out}"]) == 6
    recorder = writer(out)
    assert any(str(path) in told for told in recorder.notices)
    assert main(["verify", f"out={out}"]) == 0
    same_runs(out, expected[writer])


MISSING = ["*-lth-*/seed-0/round-0[12]/metrics/calibration-*", f"{DENSE}/round-00/metrics/logits-*", "*/results.*"]


@pytest.mark.parametrize("pattern", MISSING)
def test_what_can_be_made_again_from_the_tickets_is(out: Path, finished: Path, pattern: str) -> None:
    before = identities(out)
    ticketsearch.load_results(out)
    for path in out.glob(pattern):
        path.unlink()
    run_here(out, "pruner=lth")
    assert identities(out) == before
    same_runs(out, finished)
    assert {path.name for path in out.glob(f"{DENSE}/round-00/metrics/*")} == {
        path.name for path in finished.glob(f"{DENSE}/round-00/metrics/*")
    }


@pytest.mark.parametrize("command", ["results", "results --strict", "plot", "plot --strict"])
def test_where_no_round_is_whole_commands_end_with_exit_code_6(
    out: Path, command: str, capsys: pytest.CaptureFixture
) -> None:
    for path in out.glob("results.*"):
        path.unlink()
    for path in out.glob("*/seed-0/round-0*/training.parquet"):
        flip(path)
    for path in out.glob("*/seed-0/round-0*/metrics/accuracy-*"):
        flip(path)
    assert main([*command.split(), f"out={out}"]) == 6
    told = capsys.readouterr().err
    assert "is not what its checksum says" in told
    assert ("warning: " in told) == ("--strict" not in command)
    assert [line[:6] for line in told.splitlines()].count("error:") == 1
    assert not list(out.glob("results.*"))


# One flipped bit, anywhere.


def content_of(out: Path) -> list[object]:
    """Everything that a reader can get: all rows, and all tickets as models."""
    frame = ticketsearch.load_results(out)
    found: list[object] = [frame.to_csv()]
    for run, seed, round_ in sorted(set(zip(frame.run, frame.seed, frame["round"], strict=True))):
        model, ticket = ticketsearch.load(out / run, seed, round_)
        found.append((run, seed, round_, bits(model.state_dict()), bits(ticket.mask), bits(ticket.start)))
    return found


def bits(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}


def damage_of(out: Path, path: Path, place: int, expected: list[object]) -> str:
    """Flip one bit, read everything, put it back; what went wrong, or "" when it was told or did not matter."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    path.write_bytes(changed)
    for derived in out.glob("results.*"):
        derived.unlink()
    try:
        return "" if content_of(out) == expected else "read silently as something else"
    except CorruptStore:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever else it is, is what this looks for
        return f"{type(error).__name__}: {error}"
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_bit_is_told_or_does_not_matter(out: Path, part: int) -> None:
    expected, dice = content_of(out), random.Random(part)
    files = [path for path in sorted(out.glob("*/**/*")) if path.is_file() and path.stat().st_size]
    # Half of the flips go into the small files that people and programs read first.
    texts = [path for path in files if path.suffix in (".json", ".yaml")]
    wrong = {}
    for number in range(20):
        path = dice.choice(texts if number % 2 else files)
        place = dice.randrange(8 * path.stat().st_size)
        if found := damage_of(out, path, place, expected):
            wrong[f"{path.relative_to(out)} bit {place}"] = found
    assert wrong == {}


# Files that somebody else wrote.


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.canary,)


def plant(out: Path, content: bytes) -> None:
    """Put a file in place of a ticket, with a manifest that agrees."""
    (ticket,) = out.glob(f"{CELL}/ticket.safetensors")
    ticket.write_bytes(content)
    about = unsealed(ticket.parent / "manifest.json")
    about["files"]["ticket.safetensors"] = sha256(content)
    (ticket.parent / "manifest.json").write_bytes(sealed_json(about))


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def test_a_pickle_in_place_of_a_ticket_is_refused(
    out: Path, expected: dict[Callable[[Path], Recorder], Path], tmp_path: Path
) -> None:
    torch.save({"weights": Bomb(tmp_path / "canary")}, tmp_path / "bomb.pt")
    for content in (pickle.dumps(Bomb(tmp_path / "canary")), (tmp_path / "bomb.pt").read_bytes()):
        plant(out, content)
        with pytest.raises(CorruptStore, match=r"ticket\.safetensors"):
            read_ticket(out)
        assert any("ticket.safetensors is no stored ticket" in told for told in another_round(out).notices)
        same_runs(out, expected[another_round])
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"{}", b"\xff" * 99], ids=repr)
def test_rubbish_in_place_of_a_ticket_is_refused(out: Path, content: bytes) -> None:
    plant(out, content)
    with pytest.raises(CorruptStore, match=r"ticket\.safetensors"):
        read_ticket(out)


# The round in progress is no result: when it is damaged, the round starts again.


@pytest.mark.parametrize(
    "damage", ["flipped", *(pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGE if kind != "flipped")]
)
def test_a_damaged_round_in_progress_is_trained_from_its_start(tmp_path: Path, damage: str) -> None:
    longer = ("pruner=dense", "dataset.subset=1200", "recipe.epochs=8")
    out = tmp_path / "out"
    child = Child(tmp_path / "log", "run", *small(*longer, out=out))
    wait_for(lambda: list(out.glob("*/seed-0/round-00.part")))
    child.kill()
    (part,) = out.glob("*/seed-0/round-00.part")
    DAMAGE[damage](part)
    _, recorder = run_here(out, *longer)
    assert [epoch for *_, epoch in recorder.epochs] == list(range(1, 9))
    run_here(tmp_path / "whole", *longer)
    assert tickets(out) == tickets(tmp_path / "whole")
    assert not part.exists()
