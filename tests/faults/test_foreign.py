"""What comes from elsewhere: runs and yamls that would run code, paths for names; and data or GPUs that are gone."""

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import folder, identities, run_here, small, tickets, typed, wrong

import ticketsearch
from ticketsearch.cli import main
from ticketsearch.config import Config, Options
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.seal import sealed_yaml, unsealed

EVIL = """
    import os
    from dataclasses import dataclass
    from pathlib import Path

    import torch

    from ticketsearch.data.digits import Digits
    from ticketsearch.errors import DataMissing
    from ticketsearch.pruners.scores import Magnitude

    Path({canary!r}).touch()


    @dataclass(frozen=True)
    class X(Magnitude):
        def __call__(self, at, ctx):
            if at.mask.kept < at.mask.total and "LOST" in os.environ:  # from round 2 on
                raise getattr(torch, os.environ["LOST"], RuntimeError)("CUDA error: device lost\\nand much more")
            return super().__call__(at, ctx)


    @dataclass(frozen=True)
    class Far(Digits):
        def read(self):
            if "GONE" in os.environ:
                raise DataMissing(f"no images in {{self.root}}", "download them", "ticketsearch run dataset.root=HERE")
            return super().read()
"""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that is created when somebody imports the module `evil`, which Python finds."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/evil.py").write_text(textwrap.dedent(EVIL.format(canary=str(tmp_path / "canary"))))
    monkeypatch.syspath_prepend(tmp_path / "evil")
    yield tmp_path / "canary"
    sys.modules.pop("evil", None)


def stamps(out: Path) -> dict[Path, int]:
    """Every file and folder, with its time."""
    return {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")]}


def refused(err: str) -> list[str]:
    """The lines of an error, which are three."""
    lines = err.splitlines()
    assert len(lines) == 3, err
    assert (lines[0][:7], lines[2][:20]) == ("error: ", "  try: ticketsearch ")
    return lines


# A stored run.


def payloads(canary: Path) -> dict[str, dict[str, Any]]:
    """Nodes that would create the canary if what they name were called."""
    return {
        "os.system": {"_target_": "os.system", "command": f"touch {canary}"},
        "Popen": {"_target_": "subprocess.Popen", "args": ["touch", str(canary)]},
        "eval": {"_target_": "builtins.eval", "_args_": [f"open({str(canary)!r}, 'w')"]},
        "import": {"_target_": "evil.X"},
        "through ours": {"_target_": "ticketsearch.cli.os.system", "command": f"touch {canary}"},
        "a function of ours": {"_target_": "ticketsearch.files.write_atomic", "path": str(canary), "content": b""},
        "partial": {"_target_": "ticketsearch.pruners.scores.Magnitude", "_partial_": True},
        "args": {"_target_": "ticketsearch.pruners.scores.Magnitude", "_args_": [str(canary)]},
    }


def poison(run: Path, place: str, node: Any) -> None:
    """Put a node into a stored configuration, sealed anew: nothing but the fence stands in its way."""
    stored = unsealed(run / "config.yaml")
    part, _, key = place.partition(".")
    stored[part] = stored[part] | {key: node} if key else {"name": stored[part]["name"], **node}
    (run / "config.yaml").write_bytes(sealed_yaml(stored))


@pytest.mark.parametrize("place", ["pruner", "pruner.score", "dataset", "model"])
@pytest.mark.parametrize("name", payloads(Path("canary")))
def test_a_stored_run_runs_nothing(
    name: str, place: str, out: Path, canary: Path, capsys: pytest.CaptureFixture
) -> None:
    run = folder(out, "lth")
    poison(run, place, payloads(canary)[name])
    before = stamps(out)
    assert main(["evaluate", f"out={out}", "pruner=lth", "metrics.calibration.bins=7"]) == 2
    assert place in refused(capsys.readouterr().err)[0]
    if place in ("dataset", "model"):
        with pytest.raises(UsageError):
            ticketsearch.load(run, 0, 1)
    else:
        assert ticketsearch.load(run, 0, 1)[1].mask.sparsity > 0  # what it does not need is not looked at
    assert stamps(out) == before
    assert not canary.exists()
    assert "evil" not in sys.modules


def test_commands_that_read_build_nothing(out: Path, canary: Path, capsys: pytest.CaptureFixture) -> None:
    for place, name in (("dataset", "os.system"), ("model", "Popen"), ("pruner", "eval"), ("rewind", "import")):
        poison(folder(out, "lth"), place, payloads(canary)[name])
    for command in ("verify", "status", "results", "plot"):
        assert main([command, f"out={out}"]) == 0, capsys.readouterr().err
    assert not canary.exists()
    assert "evil" not in sys.modules


# Yamls of somebody else.

SCORE = "score: {_target_: evil.X}"
PRUNER = "_target_: ticketsearch.pruners.base.Pruner\n"
GLOBAL = "# @package _global_\n"
TWIN = "of: lth\nof_overrides: ['extensions=[evil]', 'pruner.score={_target_: evil.X}']\n"
TYPED = "extensions=[json]"
YAMLS = {
    "a class": ("pruner", PRUNER + SCORE, ""),
    "a class of the environment": ("pruner", f"{PRUNER}score: {{_target_: '${{oc.env:MODULE}}.X'}}", ""),
    "extensions": ("experiment", f"{GLOBAL}extensions: [evil]\npruner: {{{SCORE}}}", ""),
    "extensions beside typed ones": ("experiment", f"{GLOBAL}extensions: [evil]\npruner: {{{SCORE}}}", TYPED),
    "extensions of the environment": ("experiment", f"{GLOBAL}extensions: ['${{oc.env:MODULE}}']\n", ""),
    "a twin that lets it in": ("pruner", f"_target_: ticketsearch.pruners.control.Control\n{TWIN}", ""),
    "callbacks": ("experiment", f"{GLOBAL}hydra: {{callbacks: {{mine: {{_target_: evil.X}}}}}}", ""),
    "searchpath": ("experiment", f"{GLOBAL}hydra: {{searchpath: ['pkg://evil']}}", ""),
    "launcher": ("experiment", f"{GLOBAL}defaults: [{{override /hydra/launcher: evil}}]", ""),
    "tag": ("pruner", f"{PRUNER}score: !!python/object/apply:evil.X []", ""),
    "module": ("pruner", f"{PRUNER}score: !!python/module:evil []", ""),
}


@pytest.mark.parametrize("case", YAMLS)
def test_a_yaml_lets_no_code_in(
    case: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    group, text, more = YAMLS[case]
    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODULE", "evil")
    before = stamps(tmp_path)
    code = main(["run", "--cfg", "job", "--config-dir", "conf", f"{group}=mine", *more.split()])
    assert code == (0 if case == "callbacks" else 2)  # what is for Hydra's own main is for nobody here
    assert code == 0 or refused(capsys.readouterr().err)
    assert main(["list", "--config-dir", "conf"]) == 0
    assert stamps(tmp_path) == before
    assert "evil" not in sys.modules


# Names that lead elsewhere.

PATHS = [
    "run model=../../x", "run pruner=../pruner/lth", "run dataset=/etc/passwd", "run experiment=../experiment/smoke",
    "run metrics=[../metrics/accuracy]", "run pruner=control pruner.of=../pruner/lth", "plot figure=../figure/curves",
    "evaluate run=../..", "evaluate run=../out/{run}", "evaluate run={out}/{run}",
]  # fmt: skip


@pytest.mark.parametrize("line", PATHS)
def test_a_choice_is_a_name_and_no_path(line: str, out: Path, capsys: pytest.CaptureFixture) -> None:
    before = stamps(out.parent)
    words = [word.format(out=out, run=folder(out, "lth").name) for word in line.split()]
    assert main([*words, f"out={out}"]) == 2
    refused(capsys.readouterr().err)
    assert stamps(out.parent) == before


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of a run that has a twin."""
    out = tmp_path_factory.mktemp("controlled") / "out"
    run_here(out, "pruner=control", "pruner.of=lth", "schedule.rounds=1", "metrics=[accuracy]")
    return out


@pytest.mark.parametrize("twin", ["../../elsewhere/{lth}", "..", "{control}", 5])
def test_a_twin_is_a_run_beside(
    twin: str | int, controlled: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Also where there is one elsewhere, and where a run would be its own."""
    out = shutil.copytree(controlled, tmp_path / "in/out")
    lth, control = folder(out, "lth"), folder(out, "control")
    shutil.copytree(out, tmp_path / "elsewhere")
    shutil.rmtree(lth)
    shutil.copy(tmp_path / "elsewhere" / lth.name / "config.yaml", out.parent)
    stored = unsealed(control / "config.yaml")
    stored["twin"] = twin.format(lth=lth.name, control=control.name) if isinstance(twin, str) else twin
    (control / "config.yaml").write_bytes(sealed_yaml(stored))
    before = stamps(tmp_path)
    assert main(["evaluate", f"out={out}", "pruner=control"]) in (2, 6)
    assert stamps(tmp_path) == before
    assert "Recursion" not in capsys.readouterr().err


def test_the_names_in_a_twin_lead_nowhere_else(controlled: Path, tmp_path: Path) -> None:
    """Its folder is made of them, also where the identities fit: whoever writes a name can derive those."""
    out = shutil.copytree(controlled, tmp_path / "out")
    stored = unsealed(folder(out, "lth") / "config.yaml")
    stored["dataset"]["name"] = "../../elsewhere/digits"
    (folder(out, "lth") / "config.yaml").write_bytes(sealed_yaml(stored))
    with pytest.raises((UsageError, CorruptStore)):
        Config.restored(folder(out, "control"), Options(out=str(out)), {})


# A sweep of which only the last run is wrong.

LAST = [
    "schedule.rounds=1,-1", "schedule.rounds=1,200", "schedule.rate=0.2,0", "schedule.rate=0.2,nan",
    "recipe.lr=0.1,inf", "recipe.epochs=1,0", "dataset.subset=100,5000", "model.depth=8,9", "+nope=1,2",
    "prunr=lth,omp", "seed=0,1.5", "seed=range(0,3),x", "extensions=[],[nosuch]", "model=resnet20,nosuch",
    "pruner._target_=ticketsearch.pruners.base.Pruner,os.system",
]  # fmt: skip


@pytest.mark.parametrize("word", LAST)
def test_where_the_last_run_of_a_sweep_is_wrong_nothing_is_created(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["run", "-m", *small("pruner=lth", word, out=tmp_path / "out")]) == 2
    refused(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


# Data that are gone, and GPUs.


@pytest.mark.slow
def test_missing_images_are_told_and_nothing_is_created(
    canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "conf/dataset").mkdir(parents=True)
    (tmp_path / "conf/dataset/far.yaml").write_text("_target_: evil.Far\nroot: /far\n")
    own, out = ["--config-dir", str(tmp_path / "conf"), "extensions=[evil]"], tmp_path / "out"
    monkeypatch.setenv("GONE", "1")
    for words in (["dataset=far"], ["-m", "dataset=digits,far"], ["dataset=far", "--yes", "dataset.root=/near"]):
        typed = ["run", *own, *small(*words, out=out)]
        assert main(typed) == 3
        place = words[-1].partition("root=")[2] or "/far"
        mended = [word.replace("root=/near", "root=HERE") for word in typed]
        mended += ["dataset.root=HERE"] * (mended == typed)
        told = [f"error: no images in {place}", "  download them", f"  try: ticketsearch {shlex.join(mended)}"]
        assert refused(capsys.readouterr().err) == told
        assert not out.exists()
    monkeypatch.delenv("GONE")
    assert main(["run", *own, *small("dataset=far", out=out)]) == 0
    assert canary.exists()  # whoever types its package lets it in
    before = stamps(out)
    monkeypatch.setenv("GONE", "1")
    assert main(["evaluate", "extensions=[evil]", f"out={out}", "metrics.calibration.bins=7"]) == 3
    assert stamps(out) == before


def test_without_a_gpu_nothing_is_created_for_one(tmp_path: Path) -> None:
    words = small("device=cuda", out=tmp_path / "out")
    told = typed("run", *words, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert (told.returncode, told.stdout) == (2, "")
    assert refused(told.stderr)[0].startswith("error: no device 'cuda'")
    assert list(tmp_path.iterdir()) == []


LOST = [
    pytest.param("RuntimeError", [], marks=pytest.mark.slow),
    pytest.param("AcceleratorError", [], marks=pytest.mark.slow),
    ("OutOfMemoryError", ["device=auto"]),
]


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize(("error", "more"), LOST)
def test_a_gpu_that_is_lost_costs_one_round(
    error: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """What is suggested is what goes on, without the GPU."""
    out = tmp_path / "out"
    command = ["run", *small("extensions=[evil]", "pruner=lth", "pruner.score._target_=evil.X", *more, out=out)]
    monkeypatch.setenv("LOST", error)
    assert main(command) == 4
    told = refused(capsys.readouterr().err)
    assert told[0] == f"error: {error}: CUDA error: device lost"
    assert "what was committed is kept" in told[1]
    assert [Path(name).parent.name for name in tickets(out)] == ["round-00", "round-01"]
    assert wrong(out) == []
    before, attempt = identities(out), shlex.split(told[2].partition("ticketsearch ")[2])
    assert "device=cpu" in attempt
    monkeypatch.delenv("LOST")
    assert main(attempt) == 0, capsys.readouterr().err
    assert identities(out).items() > before.items()
    assert len(tickets(out)) == 3
