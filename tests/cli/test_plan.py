"""`plan`: what `run` would do with the same words, from real outputs that it does not touch."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import Child, folder, run_here, small, wait_for

from ticketsearch.build import build
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.conf import OWN
from ticketsearch.part import read_part
from ticketsearch.plan import _sizes

PRUNABLE = Path(__file__).parents[1] / "contract" / "prunable.json"
"""Of each model, the prunable weights at its native images, as they were counted on the network itself."""
LONGER = ("pruner=lth", "dataset.subset=600", "recipe.epochs=4")


@dataclass(frozen=True)
class Images:
    """What a network needs to know of its images."""

    shape: tuple[int, int, int]
    outputs: int

    @property
    def mean(self) -> tuple[float, ...]:
        return (0.5,) * self.shape[0]

    std = mean


def plan(capsys: pytest.CaptureFixture, *words: str) -> dict[str, dict[str, Any]]:
    """Label -> the run, as printed."""
    capsys.readouterr()
    assert main(["plan", "--json", *words]) == 0
    return {run["label"]: run for run in json.loads(capsys.readouterr().out)}


def states(run: dict[str, Any]) -> list[str]:
    return [cell["state"] for cell in run["cells"]]


def files(out: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in [out, *out.rglob("*")]}


def test_nothing_is_there_yet_and_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = small("schedule.rounds=3", "seed=0,1", out=tmp_path / "out")
    found = plan(capsys, "-m", "--no-probe", "pruner=lth,omp", *words)
    assert {label: states(run) for label, run in found.items()} == {
        "dense": ["new"] * 2, "lth": ["new"] * 6, "omp": ["new"] * 6,
    }  # fmt: skip
    assert sorted(found["dense"]["used_by"]) == sorted([found["lth"]["name"], found["omp"]["name"]])
    assert [run["time"] for run in found.values()] == [None] * 3
    assert not (tmp_path / "out").exists()


def test_epochs_and_bytes_are_counted_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["model=lenet300", "dataset=mnist", "recipe.epochs=7", "schedule.rounds=2", f"out={tmp_path}", "--no-probe"]
    found = plan(capsys, *words)
    assert (found["dense"]["epochs"], found["lth"]["epochs"]) == (7, 14)
    prunable, others = 265_200, 266_610 - 265_200
    sizes = [cell["bytes"] for run in ("dense", "lth") for cell in found[run]["cells"]]
    kept = [prunable, round(0.8 * prunable), round(0.64 * prunable)]
    assert sizes == [4 * (k + others) + (prunable // 8 if n else 0) for n, k in enumerate(kept)]


@pytest.mark.parametrize("name", [name for name in OWN.choices("model") if name not in ("torchvision", "timm")])
def test_a_network_is_counted_without_its_numbers(name: str) -> None:
    known = json.loads(PRUNABLE.read_text())[name]
    shape, _, classes = OWN.head("model", name).facts["native"].partition(", ")
    images = Images(tuple(map(int, shape.split("x"))), int(classes.split()[0]))
    prunable, others = _sizes(build(OWN.load("model", name), "model"), images, "default")
    assert prunable == sum(math.prod(layer[-1]) for layer in known)
    assert others > 0
    assert prunable + others >= int(OWN.head("model", name).facts["parameters"].replace(",", ""))


def test_nothing_heavy_is_imported_that_it_does_not_need(tmp_path: Path) -> None:
    code = f"""
import sys
from ticketsearch.cli import main
code = main(["plan", "--no-probe", "out={tmp_path}"])
sys.exit(code or ", ".join(sys.modules.keys() & {{"sklearn", "scipy.stats", "pandas", "torch._dynamo", "sympy"}}) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_done_is_left_and_past_rounds_tell_the_time(out: Path, capsys: pytest.CaptureFixture) -> None:
    before = files(out)
    found = plan(capsys, *small("pruner=lth", "schedule.rounds=4", out=out))
    assert (states(found["dense"]), states(found["lth"])) == (["done"], ["done", "done", "new", "new"])
    lth = found["lth"]
    taken = Cell(folder(out, "dense"), 0, 0).manifest["seconds"]
    epochs = lth["epochs"] / 2
    assert lth["measured"] == "past rounds"
    assert lth["time"] == pytest.approx(2 * taken)
    assert lth["cells"][2]["epochs"] == epochs
    assert files(out) == before


@pytest.mark.slow
def test_a_killed_round_goes_on_and_a_held_one_is_left(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    child = Child(tmp_path / "log", "run", *small(*LONGER, out=out))

    def stopped() -> bool:
        assert child.process.is_alive(), child.output()
        if not list(out.glob("*-lth-*/seed-0/round-01.part")):
            return False
        child.signal(signal.SIGSTOP)
        within = bool(list(out.glob("*-lth-*/seed-0/round-01.part")))
        if not within:
            child.signal(signal.SIGCONT)
        return within

    wait_for(stopped)
    assert states(plan(capsys, *small(*LONGER, out=out))["lth"])[0] == "held"
    child.kill()
    first = plan(capsys, *small(*LONGER, out=out))["lth"]["cells"][0]
    epoch = read_part(Cell(folder(out, "lth"), 0, 1).part)[0].progress.history[-1]["epoch"]
    assert (first["state"], first["epochs"]) == ("resume", 4 - epoch)
    assert first["why"] == f"interrupted, epoch {epoch:.0f} stored"


def test_a_damaged_round_is_done_anew(out: Path, capsys: pytest.CaptureFixture) -> None:
    (folder(out, "lth") / "seed-0/round-01/ticket.safetensors").unlink()
    found = plan(capsys, *small("pruner=lth", out=out))["lth"]
    assert [(cell["state"], cell["why"]) for cell in found["cells"]] == [
        ("damaged", "ticket.safetensors missing"), ("done", ""),
    ]  # fmt: skip
    run_here(out, "pruner=lth")
    assert states(plan(capsys, *small("pruner=lth", out=out))["lth"]) == ["done", "done"]


def test_the_table_is_for_people(out: Path, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert main(["plan", *small("pruner=lth", "schedule.rounds=3", out=out)]) == 0
    head, dense, lth, empty, whole = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "new", "resume", "done", "held", "damaged", "epochs", "time", "disk"]
    assert dense.split()[1:] == ["1", "0", "dense"]
    assert lth.split()[1:3] == ["1", "2"]
    assert (empty, whole.split(":")[0]) == ("", "4 cells, 1 to train")


@pytest.mark.parametrize(
    ("words", "attempt"),
    [
        (["pruner=lht"], "ticketsearch plan pruner=lth"),
        (["--jsn"], "ticketsearch plan --json"),
        (["recipe.epoch=3"], "ticketsearch plan recipe.epochs=3"),
        (["seed=0,1"], "ticketsearch plan -m seed=0,1"),
    ],
)
def test_mistakes_are_those_of_run(words: list[str], attempt: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["plan", *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"  try: {attempt}"
