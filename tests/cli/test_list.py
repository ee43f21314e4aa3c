"""`ticketsearch list`: what it says is what the yamls and the objects say, in text and as JSON, at any width."""

import importlib.util
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import typed

from ticketsearch.build import build
from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.conf import OWN, conf_dir
from ticketsearch.models.base import Normalise
from ticketsearch.ticket import prunable_layers

KINDS = {
    "datasets": "dataset", "models": "model", "pruners": "pruner", "schedules": "schedule", "rewinds": "rewind",
    "rest": "rest", "recipes": "recipe", "metrics": "metrics", "experiments": "experiment", "debug": "debug",
    "launchers": "launcher", "figures": "figure",
}  # fmt: skip
FACTS = {"pruners": ["source", "unit", "exact"], "models": ["parameters", "prunable"]}
YAMLS = [(group, path.stem) for group in KINDS.values() for path in sorted((conf_dir() / group).glob("*.yaml"))]
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "hydra", "omegaconf", "pydantic", "sklearn", "rich", "pyarrow")
every_kind = pytest.mark.parametrize("kind", KINDS)


def printed(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """What a list says."""
    code = main(["list", *arguments])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    return said.out


def objects(capsys: pytest.CaptureFixture, kind: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """The choices of a kind, by name."""
    return {about["name"]: about for about in json.loads(printed(capsys, kind, "--json", *arguments))}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A folder of yamls of the user's: a pruner of ours, and classes of a package that is not there."""
    for group, name, text in (
        ("pruner", "mine", "# ticketsearch run pruner=mine\n# Mine (Me 2026).\n_target_: mine.Pruner\nsource: dense\n"),
        ("pruner", "bare", "_target_: ticketsearch.pruners.base.Pruner\nscore: {_target_: mine.Score}\n"),
        (
            "model",
            "tall",
            "# ticketsearch run model=tall\n# Tall.\n# parameters: 4,810\n# prunable: many\n_target_: mine.Tall\n",
        ),
        ("figure", "violins", "# ticketsearch plot figure=violins\n# Violins.\n_target_: mine.Violins\n"),
    ):
        path = tmp_path / "conf" / group / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "conf"


# What is listed.


def test_the_kinds_are_the_groups() -> None:
    assert sorted(KINDS.values()) == sorted(path.name for path in conf_dir().iterdir() if path.is_dir())


@every_kind
def test_a_kind_lists_its_yamls_with_what_their_heads_say(kind: str, capsys: pytest.CaptureFixture) -> None:
    found = json.loads(printed(capsys, kind, "--json"))
    group = KINDS[kind]
    assert [(group, about["name"]) for about in found] == [yaml for yaml in YAMLS if yaml[0] == group]
    for about in found:
        assert list(about) == ["name", "summary", "reference", *FACTS.get(kind, [])]
        text = (conf_dir() / group / f"{about['name']}.yaml").read_text().removeprefix("# @package _global_\n")
        assert f"# {about['summary']}" == text.splitlines()[1]
        assert about["reference"] in about["summary"]


@pytest.mark.parametrize(("group", "name"), YAMLS)
def test_a_summary_is_one_sentence(group: str, name: str) -> None:
    summary = OWN.head(group, name).summary
    assert re.fullmatch(r"\S.{5,}\.", summary)
    assert not re.search(r"[.?!] [A-Z]", summary)


def test_a_reference_has_a_name_and_a_year(capsys: pytest.CaptureFixture) -> None:
    every = json.loads(printed(capsys, "--json"))
    cited = [about["reference"] for kind in every.values() for about in kind if about["reference"]]
    assert "Frankle & Carbin 2019" in cited
    assert all(re.search(r"[A-Z]\w+ .*\d{4}", reference) for reference in cited)
    years = {about["name"] for kind in every.values() for about in kind if re.search(r"\(.*\d{4}", about["summary"])}
    assert years == {about["name"] for kind in every.values() for about in kind if about["reference"]}


def test_without_a_kind_every_kind_is_listed_in_one_order(capsys: pytest.CaptureFixture) -> None:
    every = json.loads(printed(capsys, "--json"))
    assert list(every) == list(KINDS)
    for kind, found in every.items():
        assert json.loads(printed(capsys, kind, "--json")) == found
    assert json.loads(printed(capsys, "rewinds", "pruners", "--json")) == {k: every[k] for k in ("rewinds", "pruners")}
    assert list(json.loads(printed(capsys, "rewinds", "pruners", "--json"))) == ["rewinds", "pruners"]


def test_the_text_has_a_line_for_each_with_its_facts(capsys: pytest.CaptureFixture) -> None:
    text = printed(capsys)
    for kind, found in json.loads(printed(capsys, "--json")).items():
        head, *lines = next(part for part in text.split("\n\n") if part.startswith(kind)).splitlines()
        assert head.split() == [kind, *FACTS.get(kind, [])]
        assert head == head.rstrip()
        assert len(lines) == len(found)
        for line, about in zip(lines, found, strict=True):
            facts = [shown(about[fact]) for fact in FACTS.get(kind, [])]
            assert line.split() == [about["name"], *facts, *about["summary"].split()]
            assert line == line.rstrip()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def shown(fact: Any) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return f"{fact:,}" if isinstance(fact, int) else fact


@pytest.mark.parametrize(("kind", "group"), [(kind, group) for kind, group in KINDS.items() if kind != group])
def test_the_name_of_the_group_will_do(kind: str, group: str, capsys: pytest.CaptureFixture) -> None:
    assert printed(capsys, group) == printed(capsys, kind)
    assert printed(capsys, "--json", group) == printed(capsys, kind, "--json")


# What it says of them is true.


def test_the_facts_of_pruners_are_those_of_the_objects(capsys: pytest.CaptureFixture) -> None:
    found = objects(capsys, "pruners")
    for name, about in found.items():
        pruner = compose([f"pruner={name}"]).pruner
        facts = {"source": pruner.source.value, "unit": pruner.unit, "exact": pruner.exact}
        assert {fact: about[fact] for fact in facts} == facts, name
        assert isinstance(about["exact"], bool)


def test_the_facts_of_models_are_those_of_the_network_for_its_native_images(capsys: pytest.CaptureFixture) -> None:
    for name, about in objects(capsys, "models").items():
        native = re.fullmatch(r"(\d+)x(\d+)x(\d+), (\d+) classes", OWN.head("model", name).facts["native"])
        assert native, name
        channels, height, width, classes = map(int, native.groups())
        if importlib.util.find_spec(getattr(build(OWN.load("model", name), "model"), "library", "torch")) is None:
            continue  # timm is an extra
        with torch.device("meta"):  # their weights are not asked for
            normalise = Normalise([0.0] * channels, [1.0] * channels)
            network = build(OWN.load("model", name), "model").build((channels, height, width), classes, normalise)
        assert about["parameters"] == sum(parameter.numel() for parameter in network.parameters())
        assert about["prunable"] == sum(layer.weights for layer in prunable_layers(network, "default").values())


# Yamls of the user's.


def test_yamls_of_the_users_are_listed_with_ours(users: Path, capsys: pytest.CaptureFixture) -> None:
    found = objects(capsys, "pruners", "--config-dir", str(users))
    assert list(found) == sorted([*OWN.choices("pruner"), "mine", "bare"])
    # What a class that is not ours says of itself is known when it is imported; what the yaml says, before.
    mine = {"name": "mine", "summary": "Mine (Me 2026).", "reference": "Me 2026"}
    assert found["mine"] == mine | {"source": "dense", "unit": None, "exact": None}
    assert found["bare"] == {
        "name": "bare", "summary": "", "reference": "", "source": "previous", "unit": "weight", "exact": True,
    }  # fmt: skip
    tall = objects(capsys, "models", f"--config-dir={users}")["tall"]
    assert (tall["parameters"], tall["prunable"]) == (4810, None)
    assert "violins" in objects(capsys, "figures", "--config-dir", str(users))
    assert objects(capsys, "pruners").keys() == set(OWN.choices("pruner"))


def test_what_is_not_known_is_a_question_mark(users: Path, capsys: pytest.CaptureFixture) -> None:
    text = printed(capsys, "pruners", "models", "--config-dir", str(users))
    assert re.search(r"^mine +dense +\? +\? +Mine \(Me 2026\)\.$", text, re.M)
    assert re.search(r"^tall +4,810 +\? +Tall\.$", text, re.M)


@pytest.mark.parametrize("text", [b"source: [", b"- a\n", b"3\n", b"", b"# \xff\n", b"_target_: [1]\nsource: {a: b}\n"])
def test_a_yaml_that_cannot_be_read_hides_no_other(text: bytes, users: Path, capsys: pytest.CaptureFixture) -> None:
    """Or it is told which one it is."""
    (users / "pruner" / "mine.yaml").write_bytes(text)
    code = main(["list", "pruners", "--config-dir", str(users)])
    said = capsys.readouterr()
    assert (code == 0 and "omp  " in said.out) or (code == 2 and "mine.yaml" in said.err), said.err


# Wherever it goes.


def on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines of a list on a terminal of this width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    env: Mapping[str, str] = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "ticketsearch", "list", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 4096):
            text += chunk
    except OSError:  # what Linux says when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, text
    return text.decode().replace("\r\n", "\n").splitlines()


def _sentences(lines: list[str]) -> int:
    """The column at which the sentences begin."""
    return next(line.index("Another pruner") for line in lines if line.startswith("control "))


def test_a_terminal_folds_the_sentences_to_its_width_and_a_pipe_does_not() -> None:
    piped = typed("list", "pruners").stdout.splitlines()
    assert max(map(len, piped)) > 100
    folded = on_a_terminal(80, "pruners")
    assert len(folded) > len(piped)
    assert max(map(len, folded)) <= 80
    assert " ".join(folded).split() == " ".join(piped).split()
    column = _sentences(piped)
    for line in folded[1:]:
        assert line[: column - 1].strip() == "" or line.split()[0] in OWN.choices("pruner")
        assert line[column] != " "


def test_a_terminal_that_is_wide_enough_or_too_narrow_folds_nothing() -> None:
    piped = typed("list", "pruners").stdout.splitlines()
    assert on_a_terminal(300, "pruners") == piped
    for columns in (20, _sentences(piped) + 10):
        assert on_a_terminal(columns, "pruners") == piped


def test_the_answer_imports_nothing_heavy() -> None:
    code = f"""
import sys
from ticketsearch.cli import main
code = main(["list"]) + main(["list", "pruners", "models", "--json"])
print("imported:", *(name for name in {HEAVY!r} if name in sys.modules))
sys.exit(code)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.rpartition("imported:")[2].strip() == ""


# Mistakes.


@pytest.mark.parametrize(
    ("line", "what", "attempt"),
    [
        ("list prunners", "no list of 'prunners'", "ticketsearch list pruners"),
        ("list model5", "no list of 'model5'", "ticketsearch list models"),
        ("list nothing_like_it", "no list of 'nothing_like_it'", "ticketsearch list --help"),
        ("list pruner=lth", "cannot read 'pruner=lth'", "ticketsearch list pruners"),
        ("list pruners models lth", "no list of 'lth'", "ticketsearch list --help"),
        ("list --jsn", "list takes no --jsn", "ticketsearch list --json"),
        ("list --json --json", "--json is given twice", "ticketsearch list --help"),
        ("list --json=yes", "cannot read --json=yes", "ticketsearch list --help"),
        ("list --config-dir", "--config-dir lacks its value", "ticketsearch list --help"),
        ("list --config-dir nowhere", "no folder nowhere", "ticketsearch list --config-dir FOLDER"),
        ("list --config-dir .", "no yamls in .", "ticketsearch list --config-dir FOLDER"),
    ],
)
def test_a_mistake_is_told_in_three_lines(
    line: str, what: str, attempt: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, right, last = said.err.splitlines()
    assert first == f"error: {what}"
    assert right.startswith("  ")
    assert last == f"  try: {attempt}"
