"""The README is true: its commands exist, its table names what there is, and its pruner works as printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ticketsearch import errors
from ticketsearch.cli import main
from ticketsearch.conf import OWN
from ticketsearch.launchers.chosen import choices
from ticketsearch.settings import defaults

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_every_printed_run_composes() -> None:
    commands = [line.split("#")[0].split() for block in blocks("bash") for line in block.splitlines()]
    runs = [words[2:] for words in commands if words[:2] == ["ticketsearch", "run"]]
    assert len(runs) >= 4
    for words in runs:
        assert main(["run", *words, "--cfg", "job"]) == 0


def test_every_printed_make_target_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    printed = re.findall(r"^make ([a-z-]+)", "\n".join(blocks("bash")), re.M)
    assert {"demo", "test"} <= set(printed) <= set(targets)


@pytest.mark.parametrize("group", list(defaults()))
def test_the_table_names_every_choice(group: str) -> None:
    line = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
    named = set(re.findall(r"`([a-z0-9_]+)`", line)) - {group} | ({group} if group in OWN.choices(group) else set())
    assert set(OWN.choices(group)) <= named
    assert not named - set(OWN.choices(group)) - set(OWN.families())


def test_the_table_names_every_launcher() -> None:
    line = next(line for line in README.splitlines() if line.startswith("| `hydra/launcher` |"))
    assert set(re.findall(r"`([a-z0-9_]+)`", line)) == set(choices(OWN))


def test_the_printed_error_is_the_one_that_is_told(capsys: pytest.CaptureFixture) -> None:
    command, *lines = re.search(r"^```\n(\$ .*?)```", README, re.M | re.S)[1].splitlines()
    assert main(command.split()[2:]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [told[0], told[1].startswith(lines[1].removesuffix("...)")), told[2]] == [lines[0], True, lines[2]]


def test_every_exit_code_is_named() -> None:
    codes = {
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")
    }
    named = re.search(r"^Exit codes: (.*?)\.", README, re.M | re.S)
    assert {int(code) for code in re.findall(r"\d+", named[1])} == codes | {0}


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_printed_pruner_is_one_file_and_one_yaml(tmp_path: Path) -> None:
    for folder in ("ticketsearch", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    python = next(block for block in blocks("python") if block.startswith("# ticketsearch/"))
    for text in (python, *blocks("yaml")):
        name, _, content = text.removeprefix("# ").partition("\n")
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content)
    small = ["model.depth=8", "model.width=4", "dataset.subset=100", "recipe.epochs=1", "schedule.rounds=2"]
    command = [sys.executable, "-m", "ticketsearch", "run", "pruner=movement", *small]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("outputs/digits-resnet20-movement-*/seed-0/round-02/ticket.safetensors"))) == 1
