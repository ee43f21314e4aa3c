"""Code of one's own: the tutorial does what it says, step by step and from Python, and what can be wrong is told."""

import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from commands import Child, identities, small

import ticketsearch
from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.conf import Conf
from ticketsearch.config import Config
from ticketsearch.errors import UsageError
from ticketsearch.evaluate import settings

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "your-own.md"
OWN = ("--config-dir", "my_conf", "extensions=[mine]")


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return folder


def follow(folder: Path) -> list[str]:
    """Write every file that the tutorial prints; its commands, in order."""
    commands = list[str]()
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", TUTORIAL.read_text(), re.M | re.S):
        if language == "bash":
            commands += block.splitlines()
        else:
            name, _, content = block.removeprefix("# ").partition("\n")
            assert Path(name).suffix == {"python": ".py", "yaml": ".yaml"}[language]
            written(folder, {name: content})
    return commands


# The tutorial as it is printed.


def check_followed(folder: Path, rounds: int, listed: str) -> None:
    """Assert that the reader has what the text says: both curves, the margin of every ticket, the model in the list."""
    for place, metrics in (("outputs/figures", {"accuracy"}), ("figures", {"accuracy", "margin"})):
        points = pd.read_csv(folder / place / "curves-digits-resnet20.csv")
        for metric in metrics:
            drawn = points[points.metric == metric].groupby("label")["round"].agg(list).to_dict()
            assert drawn == {name: list(range(rounds + 1)) for name in ("lth", "movement")}, place
        assert points["mean"].notna().all()
    assert set(points.metric) == {"accuracy", "margin"}
    rows = ticketsearch.load_results(folder / "outputs")
    margin = rows[(rows.metric == "margin") & (rows.model == "resnet20")]
    assert set(margin.status) == {"ok"}
    assert (margin.value > 0).all()
    assert margin.groupby("pruner").size().to_dict() == {"dense": 1, "lth": rounds + 1, "movement": rounds + 1}
    assert "margin" in set(rows[rows.model == "two_layers"].metric)  # one of the families from here on
    assert ["two_layers", "4,810", "4,096"] in [line.split()[:3] for line in listed.splitlines()]
    assert list(folder.glob("outputs/debug/*-movement-*/seed-0/round-0*/"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_is_followed_word_by_word(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in follow(tmp_path):
        run = partial(subprocess.run, ["bash", "-c", line], cwd=tmp_path, env={**os.environ, "PATH": path})
        finished = run(stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (finished.returncode, finished.stderr) == (0, ""), f"{line}\n{finished.stderr}"
    check_followed(tmp_path, 5, finished.stdout)


def tiny(words: list[str]) -> list[str]:
    """The same command on less."""
    if words[0] != "run":
        return words
    less = ["recipe.epochs=1", "dataset.subset=100", "schedule.rounds=1", "model.depth=8", "model.width=4"]
    less = less[:3] if any(word.startswith("model=") for word in words) else less
    keys = {text.partition("=")[0] for text in less}
    return [*(word for word in words if word.partition("=")[0] not in keys), *less]


@pytest.mark.slow
def test_the_tutorial_is_followed_on_less_data(tmp_path: Path) -> None:
    commands = [shlex.split(line) for line in follow(tmp_path)]
    assert [words[0] for words in commands] == ["ticketsearch"] * len(commands)
    assert len(commands) >= 7
    for number, words in enumerate(commands):
        child = Child(tmp_path / f"log-{number}", *tiny(words[1:]), prepare=partial(os.chdir, tmp_path))
        assert child.code() == 0, f"{words}\n{child.output()}"
    check_followed(tmp_path, 1, child.output())


# The same from Python, and evaluated later.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tutorial's files in the current folder; what is imported from there is forgotten afterwards."""
    follow(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "theirs", "wrong"):
            del sys.modules[name]


OVERRIDES = [
    "extensions=[mine]", "pruner=movement", "model=two_layers", "model.width=16",
    "dataset.subset=100", "recipe.epochs=1", "schedule.rounds=1", "metrics=[accuracy,margin]",
]  # fmt: skip


def test_it_runs_loads_and_is_measured_later_without_the_yamls(here: Path) -> None:
    run = ticketsearch.run([*OVERRIDES, "out=out"], config_dir="my_conf")
    model, ticket = ticketsearch.load(run, 0, 1, extensions=["mine"])
    assert (type(model).__module__, type(model).__name__) == ("mine.perceptron", "Perceptron")
    assert ticket.mask.kept == round(0.8 * 64 * 16)
    with pytest.raises(UsageError, match="outside the fence"):
        ticketsearch.load(run, 0, 1)
    found = ticketsearch.load_results("out").query("metric == 'margin' and pruner == 'movement'")
    assert found["round"].tolist() == [0, 1]
    assert found.status.tolist() == ["ok", "ok"]

    asked = compose(OVERRIDES, Conf.beside("my_conf"))
    assert Config.restored(run, asked.options, {}).id == asked.id
    before = identities(Path("out"))
    assert main(["evaluate", "out=out", "metrics=[ticket]", "extensions=[mine]"]) == 0
    assert "ticket" in set(ticketsearch.load_results("out").query("pruner == 'movement'").family)
    measured = ticketsearch.load_results("out")
    assert main(["evaluate", "out=out", "metrics=[margin]", *OWN]) == 0  # where the yamls are named, it is the same run
    pd.testing.assert_frame_equal(ticketsearch.load_results("out"), measured)
    assert identities(Path("out")) == before
    assert len(list(Path("out").glob("*-*/"))) == 2


def test_evaluate_measures_nothing_of_a_run_whose_package_is_not_listed(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    ticketsearch.run([*OVERRIDES, "out=out"], config_dir="my_conf")
    before = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*")}
    for more in ([], ["--config-dir", "my_conf"]):
        assert main(["evaluate", "out=out", "metrics=[ticket]", *more]) == 2
        told = capsys.readouterr().err.splitlines()
        assert told[0] == "error: model._target_=mine.perceptron.TwoLayers is outside the fence"
        assert len(told) == 3
        assert "extensions" in told[1]
    assert {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*")} == before


def test_the_listed_parameters_are_the_models(here: Path) -> None:
    config = compose(["model=two_layers", "extensions=[mine]"], Conf.beside("my_conf"))
    network = config.model.initial(config.dataset, 0)
    facts = Conf.beside("my_conf").head("model", "two_layers").facts
    assert sum(p.numel() for p in network.parameters()) == int(facts["parameters"].replace(",", ""))
    assert network.hidden.weight.numel() == int(facts["prunable"].replace(",", ""))


@pytest.mark.parametrize("part", ["model", "pruner", "metrics"])
def test_a_class_of_the_same_name_elsewhere_is_another_one(here: Path, part: str) -> None:
    """What a name means is the class, and two classes are two even where all that differs is where they are."""
    for path in here.glob("mine/*.py"):
        written(here, {f"theirs/{path.name}": path.read_text()})
    for path in here.glob("my_conf/*/*.yaml"):
        written(
            here, {str(path.relative_to(here)).replace("my_", "their_"): path.read_text().replace("mine.", "theirs.")}
        )
    typed = {"model": "model=two_layers", "pruner": "pruner=movement", "metrics": "metrics=[margin]"}[part]
    mine = compose([typed, "extensions=[mine]"], Conf.beside("my_conf"))
    theirs = compose([typed, "extensions=[theirs]"], Conf.beside("their_conf"))
    if part == "metrics":
        assert settings(mine.metrics["margin"]) != settings(theirs.metrics["margin"])
    else:
        assert mine.id != theirs.id
        assert (mine.dense.id != theirs.dense.id) == (part == "model")


MORE = {
    "mine/lines.py": """
        from dataclasses import dataclass

        from ticketsearch.figures.base import Figure


        @dataclass(frozen=True)
        class Lines(Figure):
            ending: str = "txt"

            def draw(self, rows, folder):
                folder.mkdir()
                (folder / f"lines.{self.ending}").write_text("".join(f"{run}\\n" for run in sorted(set(rows.run))))
                return [folder / f"lines.{self.ending}"]
        """,
    "my_conf/figure/lines.yaml": "_target_: mine.lines.Lines\nending: log\n",
    "my_conf/schedule/slow.yaml": "_target_: ticketsearch.schedule.Geometric\nrounds: 3\nrate: 0.01\n",
    "my_conf/experiment/mine.yaml": """
        # @package _global_
        defaults:
          - override /schedule: slow
          - override /pruner: movement
        recipe:
          epochs: 7
        """,
}


def test_figures_schedules_and_presets_are_added_in_the_same_way(
    here: Path, finished: Path, capsys: pytest.CaptureFixture
) -> None:
    written(here, {name: textwrap.dedent(content).lstrip() for name, content in MORE.items()})
    assert main(["plot", f"out={finished}", "to=drawn", "figure=lines", *OWN]) == 0
    assert capsys.readouterr().out == "drawn/lines.log\n"
    assert len((here / "drawn/lines.log").read_text().splitlines()) == 2
    config = compose(["experiment=mine", "extensions=[mine]"], Conf.beside("my_conf"))
    assert (config.names["pruner"], config.schedule.rate, config.recipe.epochs) == ("movement", 0.01, 7)


@pytest.mark.parametrize("group", ["experiment", "debug"])
def test_that_no_preset_is_meant_can_be_said(group: str) -> None:
    assert compose([f"{group}=null"]).id == compose().id


# What can be wrong with it.

SCORE = "_target_: ticketsearch.pruners.base.Pruner\nscore: {_target_: wrong.X}\n"
HEAD = "from dataclasses import dataclass\nfrom ticketsearch.pruners.view import Score\n\n"
GLOBAL = "# @package _global_\n"
YAMLS = {
    "a name of ours": ({"pruner/lth.yaml": ""}, "", "lth.yaml has the name of a pruner that exists"),
    "no group": ({"pruners/mine.yaml": ""}, "", "mine.yaml is in no group"),
    "config.yaml": ({"config.yaml": "", "pruner/mine.yaml": ""}, "", "config.yaml would not be read"),
    "no yamls": ({"pruner/mine.yml": ""}, "", "no yamls in"),
    "capitals": ({"pruner/Mine.yaml": ""}, "", "Mine.yaml cannot be chosen"),
    "broken": ({"pruner/mine.yaml": "score: {_target_: [\n"}, "pruner=mine", "cannot be read as yaml"),
    "latin-1": ({"pruner/mine.yaml": "# caf\u00e9".encode("latin-1")}, "pruner=mine", "cannot be read as yaml"),
    "latin-1 metrics": ({"metrics/mine.yaml": "# caf\u00e9".encode("latin-1")}, "", "cannot be read as yaml"),
    "empty": ({"pruner/mine.yaml": ""}, "pruner=mine", "pruner is {}"),
    "a list": ({"pruner/mine.yaml": "- a\n"}, "pruner=mine", "pruner is ['a']"),
    "a list of metrics": ({"metrics/mine.yaml": "- accuracy\n"}, "metrics=mine", "metrics"),
    "no package": ({"experiment/mine.yaml": "seed: 3"}, "experiment=mine", "mine.yaml sets keys below `experiment`"),
    "no key": ({"experiment/mine.yaml": f"{GLOBAL}sed: 3"}, "experiment=mine", "unknown key sed"),
    "no default": ({"experiment/mine.yaml": f"{GLOBAL}defaults: [{{nope: 1}}]"}, "experiment=mine", ""),
    "metrics in a preset": ({"experiment/mine.yaml": f"{GLOBAL}metrics: 3"}, "experiment=mine", "metrics"),
}
CODE = {
    "no such package": (None, "", "no package 'wrong'"),
    "no such class": ("", "", "wrong.X cannot be imported"),
    "no Python": ("def f(:\n", "", "wrong.X cannot be imported"),
    "an import that fails": ("import nothing_of_this_name\n", "", "wrong.X cannot be imported"),
    "it exits": ("raise SystemExit(0)\n", "", "wrong.X cannot be imported"),
    "a package of what is none": ("", "extensions=[wrong.X]", "no package 'wrong.X'"),
    "a package that cannot be imported": ("def f(:\n", "extensions=[wrong.X]", ""),
    "no dataclass": (f"{HEAD}class X(Score):\n    pass\n", "", "wrong.X is no dataclass"),
    "no score": (f"{HEAD}@dataclass(frozen=True)\nclass X:\n    pass\n", "", "wrong.X is none"),
    "no __call__": (f"{HEAD}@dataclass(frozen=True)\nclass X(Score):\n    pass\n", "", "pruner.score"),
    "an unknown type": (f"{HEAD}@dataclass(frozen=True)\nclass X(Score):\n    a: 'B' = 1\n", "", "pruner.score"),
}


def check_refused(folder: Path, words: list[str], what: str, capsys: pytest.CaptureFixture) -> None:
    """Assert that a small run is refused in three lines, and that nothing is created by it."""
    before = sorted(folder.rglob("*"))
    code = main(["run", "--config-dir", str(folder / "conf"), *small(*words)])
    told = capsys.readouterr()
    assert (code, told.out, len(told.err.splitlines())) == (2, "", 3), told.err
    assert what in told.err.splitlines()[0]
    assert told.err.splitlines()[2].startswith("  try: ticketsearch ")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("case", YAMLS)
def test_a_wrong_yaml_is_told_and_nothing_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    files, words, what = YAMLS[case]
    monkeypatch.chdir(written(tmp_path, {f"conf/{name}": content for name, content in files.items()}))
    check_refused(tmp_path, words.split(), what, capsys)


@pytest.mark.parametrize("case", CODE)
def test_wrong_code_is_told_and_nothing_is_created(case: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    code, words, what = CODE[case]
    written(here, {"conf/pruner/own.yaml": SCORE} | ({} if code is None else {"wrong.py": code}))
    check_refused(here, ["pruner=own", words or "extensions=[wrong]"], what, capsys)
