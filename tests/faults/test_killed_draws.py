"""Draws that are work, killed: a search goes on where it was, a ticket that was drawn is not drawn again, and not one
bit of the result differs.
"""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import DAMAGE, Child, epochs_in, folder, rows, run_here, same_runs, small, tickets, wrong

from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.part import read_part, save_part
from ticketsearch.ticket import Mask, keep_top
from ticketsearch.training.state import TrainState

LONGER = ("dataset.subset=300", "recipe.epochs=3", "schedule.rounds=1")
"""Three updates an epoch: draws and trainings with a middle."""
IMAGES, UPDATES, EPOCHS, SEARCH = 300, 3, 3, 9
"""Of each epoch; of a training; of a search."""
KINDS = {
    "supermask": (),
    "supermask, trained": ("pruner.epochs=1",),
    "supermask, trained, frozen": ("pruner.epochs=1", "rest=freeze_or_zero"),
    "anneal": ("pruner.proposals=20",),
}


def asked(kind: str) -> list[str]:
    return [f"pruner={kind.partition(',')[0]}", *KINDS[kind], *LONGER]


def killed_after(suffix: str, drawn: bool) -> None:
    """From here on, this process kills itself (-9) when it has written a file of round 1 that ends like this, once the
    ticket is drawn or before. The first state of a training is written after its first epoch, however slow the disk.
    """
    from ticketsearch import drawing, points

    def saved(path: Path, *arguments: Any) -> None:
        save_part(path, *arguments)
        if path.name == f"round-01{suffix}" and path.with_suffix(".drawn").exists() == drawn:
            os.kill(os.getpid(), signal.SIGKILL)

    drawing.save_part = points.save_part = saved


def killed_if_it_draws() -> None:
    """From here on, this process kills itself (-9) before it draws round 1."""
    from ticketsearch.drawing import Drawing

    draw = Drawing.draw

    def drawn(self: Drawing, *arguments: Any) -> Any:
        if self._cell.round == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(self, *arguments)

    Drawing.draw = drawn  # type: ignore[method-assign]


MOMENTS: dict[str, Callable[[], None]] = {
    "searching": partial(killed_after, ".part", False),
    "drawn": partial(killed_after, ".drawn", True),
    "training": partial(killed_after, ".part", True),
}
Made = Callable[..., Path]


def child(out: Path, kind: str, prepare: Callable[[], None] | None = None) -> tuple[int, str]:
    """A search in a process of its own: its exit code and what it printed."""
    process = Child(out.parent / "log", "run", *small(*asked(kind), out=out), prepare=prepare)
    return process.code(), process.output()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The outputs of a search: whole, or as a kill has left them; each is made once and copied by who changes it."""
    found: dict[tuple[str, str | None], Path] = {}

    def outputs(kind: str, moment: str | None = None) -> Path:
        if (kind, moment) not in found:
            out = tmp_path_factory.mktemp("made") / "out"
            code, output = child(out, kind, MOMENTS[moment] if moment else None)
            assert code == (-signal.SIGKILL if moment else 0), output
            found[kind, moment] = out
        return found[kind, moment]

    return outputs


def cell_of(out: Path, kind: str) -> Cell:
    return Cell(folder(out, kind.partition(",")[0]), 0, 1)


def stored_epoch(out: Path, kind: str) -> int:
    return read_part(cell_of(out, kind).part)[0].progress.step // UPDATES


def in_progress(out: Path) -> list[str]:
    return sorted(path.suffix for path in out.glob("*/seed-*/round-*.*") if path.suffix in (".part", ".drawn"))


# Killed and started again.


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_where_it_was(made: Made, tmp_path: Path) -> None:
    out = shutil.copytree(made("supermask", "searching"), tmp_path / "out")
    for epoch in (1, 2):
        assert stored_epoch(out, "supermask") == epoch
        assert in_progress(out) == [".part"]
        code, output = child(out, "supermask", MOMENTS["searching"])
        assert code == -signal.SIGKILL, output
        assert epochs_in(output) == [("supermask", 1, epoch + 1)]
    code, output = child(out, "supermask")
    assert code == 0, output
    assert epochs_in(output) == [("supermask", 1, n) for n in range(epoch + 2, SEARCH + 1)]
    same_runs(out, made("supermask"))
    assert in_progress(out) == []


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        pytest.param("anneal", "drawn", marks=pytest.mark.slow),
        ("anneal", "training"),
        ("supermask", "drawn"),
        pytest.param("supermask, trained", "drawn", marks=pytest.mark.slow),
        pytest.param("supermask, trained, frozen", "drawn", marks=pytest.mark.slow),
    ],
)
def test_a_ticket_that_was_drawn_is_not_drawn_again(made: Made, tmp_path: Path, kind: str, moment: str) -> None:
    out = shutil.copytree(made(kind, moment), tmp_path / "out")
    name, epoch = kind.partition(",")[0], stored_epoch(out, kind) if moment == "training" else 0
    last = 0 if kind == "supermask" else EPOCHS
    code, output = child(out, kind, killed_if_it_draws)
    assert code == 0, output
    assert epochs_in(output) == [(name, 1, n) for n in range(epoch + 1, last + 1)]
    same_runs(out, made(kind))
    assert in_progress(out) == []


def test_what_is_not_drawn_is_drawn(made: Made, tmp_path: Path) -> None:
    """Otherwise the trap above would show nothing."""
    out = shutil.copytree(made("supermask", "searching"), tmp_path / "out")
    assert child(out, "supermask", killed_if_it_draws)[0] == -signal.SIGKILL


@pytest.mark.parametrize("moment", [None, "searching", "drawn"])
def test_a_draw_costs_what_it_needs(made: Made, tmp_path: Path, moment: str | None) -> None:
    """Nine epochs both ways, and a pass for the statistics; what a killed process computed in vain is not in it."""
    out = shutil.copytree(made("supermask", moment), tmp_path / "out")
    run_here(out, *asked("supermask"))
    found = rows(out)
    cost = found[(found["round"] == 1) & (found.family == "cost")].set_index(["metric", "variant"]).value
    assert cost["draw_images", "backward"] == SEARCH * IMAGES
    assert cost["draw_images", ""] == SEARCH * IMAGES + IMAGES
    (macs,) = found[(found.metric == "macs") & (found.variant == "dense") & (found["round"] == 1)].value
    assert cost["draw_macs", ""] == (3 * SEARCH + 1) * IMAGES * macs


def test_the_uninterrupted_runs_differ_from_one_another(made: Made) -> None:
    """Otherwise the comparisons above would show nothing."""
    stored = [tickets(made(kind)) for kind in ("supermask", "supermask, trained, frozen", "anneal")]
    assert len({content for found in stored for name, content in found.items() if "round-01" in name}) == 3
    cost = rows(made("anneal")).query("family == 'cost' and variant == ''").set_index("metric").value
    assert cost["draw_images"] == (1 + 20) * 200  # as many times twenty images of ten classes


def test_the_scoring_set_is_the_same_in_every_round_and_in_the_manifest(made: Made, tmp_path: Path) -> None:
    out = shutil.copytree(made("anneal"), tmp_path / "out")
    run_here(out, *asked("anneal")[:-1], "schedule.rounds=2")
    first, second = (Cell(folder(out, "anneal"), 0, n).manifest["scoring"] for n in (1, 2))
    assert first == second
    assert first.keys() == {"20"}


# Damage.


@pytest.mark.parametrize("damage", ["flipped", "empty", "missing"])
@pytest.mark.parametrize(("kind", "moment"), [("supermask", "searching"), ("anneal", "drawn")])
def test_what_is_damaged_is_told_and_done_again(
    made: Made, tmp_path: Path, kind: str, moment: str, damage: str
) -> None:
    out = shutil.copytree(made(kind, moment), tmp_path / "out")
    cell = cell_of(out, kind)
    path = cell.part if moment == "searching" else cell.drawn
    DAMAGE[damage](path)
    assert [path.name in line for line in wrong(out)] == [True] * (damage != "missing")
    _, recorder = run_here(out, *asked(kind))
    redone = "the round is trained from its start" if moment == "searching" else "the ticket is drawn again"
    told = [text for text in recorder.notices if text.startswith(str(path)) and text.endswith(redone)]
    assert len(told) == (damage != "missing")
    assert next(epoch for *_, n, epoch in recorder.epochs if n == 1) == 1
    same_runs(out, made(kind))
    assert in_progress(out) == []


@pytest.mark.parametrize(("changed", "used"), [("nothing", True), ("the source", False), ("the threads", False)])
def test_a_ticket_that_was_drawn_under_other_circumstances_is_not_used(
    made: Made, tmp_path: Path, changed: str, used: bool
) -> None:
    """The file holds another mask, so that it shows whether it was."""
    out = shutil.copytree(made("anneal", "drawn"), tmp_path / "out")
    drawn = cell_of(out, "anneal").drawn
    state, about = read_part(drawn)
    assert state.mask is not None
    other = keep_top({name: torch.rand(m.shape) for name, m in state.mask.items()}, _ones(state.mask), state.mask.kept)
    about |= {"the source": {"source": {**about["source"], "sha256": "0" * 64}}, "the threads": {"threads": 7}}.get(
        changed, {}
    )
    save_part(drawn, TrainState({}, {}, {}, state.progress, other), about)
    assert wrong(out) == []
    _, recorder = run_here(out, *asked("anneal"))
    assert ["threads=7 (now 1), and is drawn anew" in told for told in recorder.notices] == (
        [True] if changed == "the threads" else []
    )
    assert (cell_of(out, "anneal").ticket().mask == other) == used
    assert (tickets(out) == tickets(made("anneal"))) != used
    assert in_progress(out) == []


def _ones(mask: Mask) -> Mask:
    return Mask({name: torch.ones_like(alive) for name, alive in mask.items()})


def test_what_a_kill_after_the_commit_leaves_is_removed(made: Made, tmp_path: Path) -> None:
    out = shutil.copytree(made("anneal"), tmp_path / "out")
    for left in (
        cell_of(made("anneal", "training"), "anneal").drawn,
        cell_of(made("anneal", "training"), "anneal").part,
    ):
        shutil.copy(left, cell_of(out, "anneal").part.with_suffix(left.suffix))
    assert in_progress(out) == [".drawn", ".part"]
    _, recorder = run_here(out, *asked("anneal"))
    assert (recorder.epochs, recorder.notices, in_progress(out)) == ([], [], [])
    same_runs(out, made("anneal"))


# What is told.


@pytest.mark.parametrize(
    ("kind", "moment", "far"),
    [
        ("supermask", "searching", "epoch {} of a search stored"),
        ("anneal", "drawn", "the ticket drawn stored"),
        ("anneal", "training", "the ticket drawn and epoch {} stored"),
        ("supermask, trained, frozen", "drawn", "the ticket drawn stored"),  # no epoch of its training is
    ],
)
def test_status_says_how_far_a_draw_is(
    made: Made, kind: str, moment: str, far: str, capsys: pytest.CaptureFixture
) -> None:
    out = made(kind, moment)
    epoch = stored_epoch(out, kind) if "{}" in far else 0
    assert main(["status", f"out={out}"]) == 0
    said = capsys.readouterr().out.splitlines()
    (told,) = (line.strip() for line in said if "round 1" in line)
    assert told.partition(";")[0] == f"round 1: interrupted, {far.format(epoch)}"
    assert any(line.split()[2:] == ["-", "0", "of", "1", "trained"] for line in said if line.startswith("  seed"))
    assert wrong(out) == []  # what is whole is not wrong
