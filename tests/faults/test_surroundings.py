"""What lies around the cells: rewind points, the configuration, the notes; and data or a torch that are others now."""

import json
from pathlib import Path

import pytest
import torch
from commands import Child, flip, folder, identities, run_here, same_runs, small, tickets, wait_for, wrong

from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.data.base import Split
from ticketsearch.data.digits import Digits
from ticketsearch.part import read_part
from ticketsearch.seal import sealed_yaml, unsealed
from ticketsearch.store import Run

POINT = "seed-0/rewind-1"


def everything(out: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, time and size of every file and folder."""
    found = ((path, path.stat()) for path in [out, *out.rglob("*")])
    return {str(path): (about.st_ino, about.st_mtime_ns, about.st_size) for path, about in found}


# Rewind points.


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
def test_a_damaged_rewind_point_is_trained_again_when_it_is_asked_for(out: Path, finished: Path, name: str) -> None:
    dense = folder(out, "dense")
    flip(dense / POINT / name)
    damaged, before = (dense / POINT / name).read_bytes(), identities(out)
    (told,) = wrong(out)
    assert str(dense / POINT / name) in told

    _, recorder = run_here(out, "pruner=lth")
    assert recorder.epochs == []
    assert recorder.notices == [f"{told}: it is now {dense / 'aside/seed-0-rewind-1.1'}, and made again"]
    assert (dense / "aside/seed-0-rewind-1.1" / name).read_bytes() == damaged
    assert (dense / "aside/seed-0-rewind-1.1.txt").read_text() == f"{told}\n"
    assert not (dense / POINT).exists()
    gone = {path: about for path, about in before.items() if "rewind-1/" in path}
    assert identities(out) == {path: about for path, about in before.items() if path not in gone}
    assert wrong(out) == []

    _, recorder = run_here(out, "pruner=lth", "rewind=step", "rewind.at=1ep")
    assert recorder.cells == {("lth", 0, 1), ("lth", 0, 2)}
    original = folder(finished, "dense") / POINT / "state.safetensors"
    assert (dense / POINT / "state.safetensors").read_bytes() == original.read_bytes()


@pytest.mark.slow
def test_a_damaged_initialisation_is_made_again_for_the_next_round(out: Path, finished: Path, tmp_path: Path) -> None:
    dense = folder(out, "dense")
    flip(dense / "seed-0/rewind-0/state.safetensors")
    _, recorder = run_here(out, "pruner=lth", "schedule.rounds=3")
    assert recorder.cells == {("lth", 0, 3)}
    original = folder(finished, "dense") / "seed-0/rewind-0/state.safetensors"
    assert (dense / "seed-0/rewind-0/state.safetensors").read_bytes() == original.read_bytes()
    run_here(tmp_path / "whole", "pruner=lth", "schedule.rounds=3")
    same_runs(out, tmp_path / "whole")


# The configuration and the notes.


@pytest.mark.parametrize("damage", ["flipped", "edited", "empty"])
def test_a_damaged_configuration_is_written_anew(out: Path, damage: str) -> None:
    run, before = folder(out, "lth"), identities(out)
    path = run / "config.yaml"
    original = path.read_bytes()
    edited = original.replace(b"epochs: 2", b"epochs: 3", 1)
    damaged = {"flipped": original[:5] + b"\xff" + original[6:], "edited": edited, "empty": b""}[damage]
    assert damaged != original
    path.write_bytes(damaged)
    assert any(str(path) in line for line in wrong(out))
    _, recorder = run_here(out, "pruner=lth")
    (told,) = recorder.notices
    assert told.startswith(f"{path} ")
    assert told.endswith(f"it is now {run / 'aside/config.yaml.1'}, and written anew")
    assert ("recipe.epochs is 3 and not 2" in told) == (damage == "edited")
    assert (run / "aside/config.yaml.1").read_bytes() == damaged
    assert path.read_bytes() == original
    assert (recorder.epochs, identities(out), wrong(out)) == ([], before, [])


def test_a_whole_configuration_of_another_run_is_refused(out: Path, capsys: pytest.CaptureFixture) -> None:
    path = folder(out, "lth") / "config.yaml"
    stored = unsealed(path)
    stored["identity"]["recipe"]["epochs"] = 3
    path.write_bytes(sealed_yaml(stored))
    before = identities(out)
    assert wrong(out) == [f"{path} is of another run than its folder's name says"]
    assert main(["run", *small("pruner=lth", "schedule.rounds=3", out=out)]) == 6
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path} is of another run than its folder's name says: recipe.epochs is 3 and not 2")
    assert len(told.splitlines()) == 3
    assert identities(out) == before
    assert unsealed(path) == stored
    assert not list(out.glob("*/aside"))


def test_a_damaged_note_leaves_the_others(out: Path) -> None:
    run_here(out, "pruner=lth")
    run = Run(folder(out, "lth"))
    log = run.path / "invocations.jsonl"
    first, second = run.notes()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0].replace(b'"threads": ', b'"threads": 1') + lines[1])
    damaged = log.read_bytes()
    assert run.notes() == [second]
    assert wrong(out) == [f"{log} is missing or has lines that are not as written"]
    _, recorder = run_here(out, "pruner=lth")
    assert recorder.notices == [
        f"a line of {log} cannot be read: it is now {run.path / 'aside/invocations.jsonl.1'}, "
        "and the other lines are kept"
    ]
    assert (run.path / "aside/invocations.jsonl.1").read_bytes() == damaged
    assert run.notes()[0] == second != first
    assert len(run.notes()) == 2
    assert wrong(out) == []


# Other images.


@pytest.fixture
def other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next reading of the digits finds other labels."""
    read = Digits.read

    def others(digits: Digits) -> tuple[Split, Split]:
        train, test = read(digits)
        return Split(train.images, (train.labels + 1) % 10), test

    monkeypatch.setattr(Digits, "read", others)


@pytest.mark.usefixtures("other_labels")
@pytest.mark.parametrize(
    "command",
    [
        ["run", *small("pruner=lth")],
        ["run", *small("pruner=lth", "schedule.rounds=3")],
        ["run", *small("pruner=random")],
        ["run", *small("pruner=dense", "replicates=2")],
        ["evaluate", "metrics.calibration.bins=20"],
    ],
    ids=["the same", "another round", "another pruner", "another seed", "evaluate"],
)
def test_rounds_on_other_images_are_refused(out: Path, command: list[str], capsys: pytest.CaptureFixture) -> None:
    before = everything(out)
    assert main([*command, f"out={out}"]) == 3
    told = capsys.readouterr().err
    assert told.startswith("error: round ")
    assert "was trained on other images than these" in told
    assert len(told.splitlines()) == 3
    assert everything(out) == before


@pytest.mark.usefixtures("other_labels")
def test_other_images_may_be_used_elsewhere(out: Path, tmp_path: Path) -> None:
    run_here(tmp_path / "elsewhere", "pruner=dense")
    name = folder(out, "dense").name
    images = [
        unsealed(where / name / "seed-0/round-00/manifest.json")["data"] for where in (out, tmp_path / "elsewhere")
    ]
    assert len(set(images)) == 2


# Another torch.


def made(out: Path) -> dict[str, list[str]]:
    """Cell -> what it was trained with."""
    found = (Run(run).cells() for run in out.glob("*-*"))
    return {f"{cell.run.name.split('-')[2]} {cell.round}": cell.manifest["made"] for cells in found for cell in cells}


def test_another_torch_is_told_and_noted_with_each_round(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, stored = made(out), tickets(out)
    ((this,),) = {tuple(environments) for environments in before.values()}
    assert torch.__version__ in this
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    other = this.replace(this.split()[1], "2.99.0")
    _, recorder = run_here(out, "pruner=lth", "schedule.rounds=3")
    assert made(out) == before | {"lth 3": [other]}
    assert tickets(out).items() >= stored.items()
    told = [text for text in recorder.notices if f"was trained with {this}; this is {other}" in text]
    assert [text.split()[0] for text in told] == [folder(out, "dense").name, folder(out, "lth").name]
    notes = [json.loads(line) for line in (folder(out, "lth") / "invocations.jsonl").read_text().splitlines()]
    assert [note["environment"] for note in notes] == [this, other]
    # Both are known now: nothing is new in either.
    assert not [text for text in run_here(out, "pruner=lth")[1].notices if folder(out, "lth").name in text]
    assert wrong(out) == []


@pytest.mark.slow
def test_a_round_that_two_torches_trained_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, longer = tmp_path / "out", ("pruner=dense", "dataset.subset=1200", "recipe.epochs=8")
    child = Child(tmp_path / "log", "run", *small(*longer, out=out))
    wait_for(lambda: list(out.glob("*/seed-0/round-00.part")))
    child.kill()
    (path,) = out.glob("*-dense-*")
    first = read_part(Cell(path, 0, 0).part)[0].progress
    assert first.step > 0
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    _, recorder = run_here(out, *longer)
    assert recorder.epochs[0][3] == first.step // 10 + 1  # continued, not begun again
    (environments,) = made(out).values()
    assert environments == sorted({first.made[0], first.made[0].replace(first.made[0].split()[1], "2.99.0")})
    assert len(environments) == 2
