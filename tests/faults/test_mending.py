"""Cells that are damaged or no more what they were: set aside with the reason, and made again; what is whole stays."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import DAMAGE, flip, folder, identities, rows, run_here, same_runs, tickets, truncate, wrong

import ticketsearch
from ticketsearch.aside import set_aside
from ticketsearch.cli import main
from ticketsearch.errors import CorruptStore
from ticketsearch.seal import sealed_json, sha256, unsealed
from ticketsearch.training.recipe import Recipe

FILES = {
    "lth": ["ticket flipped", "ticket missing", "manifest flipped", "manifest missing", "training truncated"],
    "dense": ["ticket truncated", "manifest flipped", "training missing"],
}
CELLS = {"lth": "seed-0/round-01", "dense": "seed-0/round-00"}


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def kept_aside(run: Path) -> dict[str, str]:
    """What was set aside of a run -> why."""
    found = [path for path in (run / "aside").glob("*") if path.suffix != ".txt"]
    return {path.name: path.with_name(f"{path.name}.txt").read_text() for path in found}


# A cell.


@pytest.mark.parametrize(("pruner", "what"), [(pruner, what) for pruner, whats in FILES.items() for what in whats])
def test_a_damaged_cell_is_made_again_bit_for_bit(out: Path, finished: Path, pruner: str, what: str) -> None:
    name, damage = what.split()
    run = folder(out, pruner)
    cell = run / CELLS[pruner]
    ((file, *_),) = [[path.name for path in cell.glob(f"{name}.*")]]
    DAMAGE[damage](cell / file)
    damaged, before = contents(cell), identities(out)
    told = wrong(out)
    assert any(f"{cell / file} " in line for line in told)

    _, recorder = run_here(out, "pruner=lth")
    assert recorder.cells == {(pruner, 0, int(cell.name[6:]))}
    ((name, why),) = kept_aside(run).items()
    assert (name, contents(run / "aside" / name)) == (f"{CELLS[pruner].replace('/', '-')}.1", damaged)
    assert why.startswith(f"{cell / file} ")
    assert recorder.notices == [f"{why.strip()}: it is now {run / 'aside' / name}, and made again"]

    same_runs(out, finished)
    children = {path: about for path, about in before.items() if str(cell.relative_to(out)) not in path}
    assert identities(out).items() >= children.items()
    # The names hold checksums, and the bytes the seconds that measuring took: other measurements would have others.
    original = contents(finished / cell.relative_to(out) / "metrics")
    assert contents(cell / "metrics") == original
    assert wrong(out) == []


def test_a_damaged_dense_model_does_not_stop_a_longer_search(out: Path, finished: Path) -> None:
    flip(folder(out, "dense") / CELLS["dense"] / "manifest.json")
    _, recorder = run_here(out, "pruner=lth", "schedule.rounds=3")
    assert recorder.cells == {("dense", 0, 0), ("lth", 0, 3)}
    assert tickets(out).items() >= tickets(finished).items()


def test_what_is_set_aside_twice_is_kept_twice(tmp_path: Path) -> None:
    for word in ("one", "two"):
        (tmp_path / "seed-0" / "round-03").mkdir(parents=True)
        (tmp_path / "seed-0" / "round-03" / "file").write_text(word)
        set_aside(tmp_path, tmp_path / "seed-0" / "round-03", f"{word} is wrong")
    assert kept_aside(tmp_path) == {"seed-0-round-03.1": "one is wrong\n", "seed-0-round-03.2": "two is wrong\n"}
    assert [(tmp_path / f"aside/seed-0-round-03.{n}/file").read_text() for n in (1, 2)] == ["one", "two"]


def replaced(cell: Path, ticket: bytes) -> None:
    """Put another ticket into a cell, with a manifest that agrees."""
    about = unsealed(cell / "manifest.json")
    about["files"]["ticket.safetensors"] = sha256(ticket)
    (cell / "manifest.json").write_bytes(sealed_json(about))
    (cell / "ticket.safetensors").write_bytes(ticket)


@pytest.mark.slow
def test_what_was_drawn_from_another_ticket_is_drawn_anew(out: Path, tmp_path: Path) -> None:
    run_here(out, "pruner=lth", "schedule.rounds=3")
    run_here(tmp_path / "other", "pruner=lth", "schedule.rounds=1", "seed=1")
    other = (folder(tmp_path / "other", "lth") / "seed-1/round-01/ticket.safetensors").read_bytes()
    run = folder(out, "lth")
    before = tickets(out)
    replaced(run / CELLS["lth"], other)
    first = identities(out)
    child = f"{run / 'seed-0/round-02'} was drawn from another {run.name} seed 0 round-01 than there is now"
    assert child in wrong(out)

    _, recorder = run_here(out, "pruner=lth", "schedule.rounds=3")
    assert recorder.cells == {("lth", 0, 2), ("lth", 0, 3)}
    aside = kept_aside(run)
    assert aside["seed-0-round-02.1"] == f"{child}\n"
    assert aside["seed-0-round-03.1"] == f"{child.replace('round-02 ', 'round-03 ').replace('round-01', 'round-02')}\n"
    now = tickets(out)
    assert now[f"{run.name}/seed-0/round-01/ticket.safetensors"] == other
    for round_ in ("round-02", "round-03"):
        kept = run / f"aside/seed-0-{round_}.1/ticket.safetensors"
        old = before[f"{run.name}/seed-0/{round_}/ticket.safetensors"]
        assert kept.read_bytes() == old != now[f"{run.name}/seed-0/{round_}/ticket.safetensors"]
    stays = {p: about for p, about in first.items() if "round-02" not in p and "round-03" not in p}
    assert identities(out).items() >= stays.items()
    # Every number is of the tickets that are there now.
    assert wrong(out) == []
    left: list[CorruptStore] = []
    found = ticketsearch.load_results(out, left.append)
    assert (left, set(found[found.pruner == "lth"]["round"])) == ([], {0, 1, 2, 3})
    assert run_here(out, "pruner=lth", "schedule.rounds=3")[1].epochs == []


def test_a_child_whose_parent_is_gone_is_drawn_anew_from_the_same(out: Path, finished: Path) -> None:
    shutil.rmtree(folder(out, "lth") / CELLS["lth"])
    assert any("which is not there" in line for line in wrong(out))
    before = identities(out)
    assert run_here(out, "pruner=lth")[1].cells == {("lth", 0, 1)}
    assert identities(out).items() >= before.items()  # the parent came back bit for bit before the child's turn
    same_runs(out, finished)


# What was measured.


def measurements(cell: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in cell.glob("metrics/*-*")}


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("calibration-*", "flipped"),
        ("calibration-*", "missing"),
        ("index.json", "truncated"),
        ("index.json", "missing"),
    ],
)
def test_damaged_measurements_are_made_again_without_training(
    out: Path, finished: Path, file: str, damage: str
) -> None:
    run, before = folder(out, "lth"), identities(out)
    cell = run / CELLS["lth"]
    (path,) = cell.glob(f"metrics/{file}")
    others = {name: about for name, about in measurements(cell).items() if name != path.name}
    DAMAGE[damage](path)
    assert any(f"{path} " in line for line in wrong(out))
    damaged = None if damage == "missing" else path.read_bytes()

    _, recorder = run_here(out, "pruner=lth")
    assert recorder.epochs == []
    assert identities(out) == before
    aside = kept_aside(run)
    if damaged is None:
        assert aside == {}
        assert len(recorder.notices) == 1
    else:
        ((name, why),) = aside.items()
        assert (name, (run / "aside" / name).read_bytes()) == (f"seed-0-round-01-metrics-{path.name}.1", damaged)
        assert why.startswith(f"{path} ")
    assert recorder.notices[0].startswith(f"{path} ")
    assert measurements(cell).items() >= others.items()  # measured once
    assert wrong(out) == []
    pd.testing.assert_frame_equal(rows(out), rows(finished))


def of(out: Path, pruner: str) -> pd.DataFrame:
    """The rows of a pruner, of rounds that are not left out, without those of speed."""
    found = ticketsearch.load_results(out, lambda error: None)
    found = found[(found.pruner == pruner) & (found.family != "speed")]
    return found.sort_values(["round", "family", "metric", "variant", "split", "weights"], ignore_index=True)


@pytest.mark.slow
def test_measurements_against_a_dense_model_that_is_another_now_are_made_again(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Random pruning draws from the initialisation: its tickets stay when the dense model becomes another."""
    run_here(out, "pruner=random")
    run, rates, expected = folder(out, "random"), Recipe.learning_rates, of(out, "random")
    old = {path.name for path in run.glob("seed-0/round-01/metrics/*-*")}
    truncate(folder(out, "dense") / CELLS["dense"] / "ticket.safetensors")
    with monkeypatch.context() as elsewhere:  # more than another machine would do, so that it shows
        elsewhere.setattr(Recipe, "learning_rates", lambda *which: [2 * rate for rate in rates(*which)])
        assert run_here(out, "pruner=dense")[1].cells == {("dense", 0, 0)}
    before = {path: about for path, about in identities(out).items() if "-random-" in path}

    told = "\n".join(wrong(out))
    assert f"{run / 'seed-0/round-01'} are about another dense ticket" in told
    assert f"{run / 'seed-0/round-02'} are about another dense ticket" in told
    assert f"{run / 'seed-0/round-00.json'} points to another ticket" in told
    capsys.readouterr()
    assert main(["results", f"out={out}"]) == 0
    warned = capsys.readouterr().err
    assert (warned.count("left out a round"), warned.count(str(run / "seed-0"))) == (4, 2)  # LTH's, too
    assert set(of(out, "random")["round"]) == {0}
    assert main(["results", f"out={out}", "--strict"]) == 6

    _, recorder = run_here(out, "pruner=random")
    assert recorder.epochs == []
    assert {path: about for path, about in identities(out).items() if "-random-" in path} == before
    assert not [line for line in wrong(out) if run.name in line]
    now, expected = (rows[rows["round"] > 0].reset_index(drop=True) for rows in (of(out, "random"), expected))
    assert len(now) == len(expected)
    differs = now[now.value != expected.value]
    assert set(differs.metric) == {"disagreement"}
    aside = {name.rpartition("metrics-")[2] for name in kept_aside(run) if "round-01" in name}
    assert aside == {f"{name}.1" for name in old}
    # LTH drew its first round from the dense model: it follows when its turn comes.
    assert ("lth", 0, 1) in run_here(out, "pruner=lth")[1].cells
    assert wrong(out) == []
