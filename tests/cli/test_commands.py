"""Every command as it is typed: help, results and plot; and the same from Python."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
from commands import Child, folder, run_here, small, typed

import ticketsearch
from ticketsearch.cli import main

HEAVY = ("torch", "pandas", "matplotlib", "hydra", "omegaconf", "sklearn", "rich", "pyarrow")
EXIT_CODES = ("0 done", "2 wrong usage", "3 data missing", "4 the run failed", "6 stored files", "75 interrupted")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished LTH run."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_here(out, "pruner=lth")
    return out


# Help.


@pytest.mark.parametrize(
    "line", ["--help", "-h", "help", "", "run --help", "run -h", "plot --help", "results --help", "verdict --help"]
)
def test_help_imports_nothing_heavy(line: str) -> None:
    code = f"""
import sys
from ticketsearch.cli import main
code = main({line.split()!r})
print("imported:", *(name for name in {HEAVY!r} if name in sys.modules))
sys.exit(code)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    text, _, imported = finished.stdout.rpartition("imported:")
    assert imported.strip() == ""
    assert "usage: ticketsearch" in text
    assert "examples:" in text
    assert max(len(row) for row in text.splitlines()) <= 120


def test_help_wins_over_whatever_else_is_typed(capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "prunr=lth", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Draw a ticket per round")


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(code in printed for code in EXIT_CODES)


@pytest.mark.parametrize("command", ["run", "plot", "results"])
def test_the_examples_of_the_help_are_accepted(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "--help"]) == 0
    examples = re.findall(r"^  ticketsearch (\S+(?: \S+)*)", capsys.readouterr().out.partition("examples:")[2], re.M)
    assert len(examples) >= 3
    for example in examples:
        words = shlex.split(example)
        if command == "run":
            if "my_conf" in words:  # a folder of the reader's own: tests/cli/test_own_code.py follows a whole example
                continue
            assert main([*words, *([] if "--cfg" in words else ["--cfg", "job"])]) == 0, example
        else:
            assert main([word for word in words if not word.startswith("out=")] + [f"out={tmp_path}"]) == 2
            assert capsys.readouterr().err.startswith("error: no runs in "), example


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_the_module_is_the_command() -> None:
    finished = typed("--version")
    assert (finished.returncode, finished.stderr) == (0, "")
    script = Path(sys.executable).with_name("ticketsearch")
    assert subprocess.run([script, "--version"], capture_output=True, text=True).stdout == finished.stdout


# Results and figures.


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_results_are_saved(finished: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["results", f"out={finished}", "--to", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == ""
    saved = (pd.read_csv if name.endswith("csv") else pd.read_parquet)(tmp_path / name)
    rows = ticketsearch.load_results(finished)
    assert list(saved.columns) == list(rows.columns)
    assert len(saved) == len(rows)
    assert saved.value.tolist() == rows.value.tolist()


def test_results_that_cannot_be_saved_are_told(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["results", f"out={finished}", "--to", str(tmp_path / "none" / "rows.csv")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_results_are_printed_a_line_a_round(finished: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["results", f"out={finished}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = ticketsearch.load_results(finished)
    assert len(lines) == 2 + 1 + 3  # two of headings, one of the dense run, three rounds of LTH
    accuracy = rows[
        (rows.metric == "accuracy") & (rows.split == "test") & (rows.weights == "last") & (rows["at"] == "end")
    ]
    last = accuracy[(accuracy.pruner == "lth") & (accuracy["round"] == 2)].value.item()
    assert f"{last:.4f}".rstrip("0") in lines[-1]


def test_plot_writes_a_picture_a_document_and_its_points(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["plot", f"out={finished}", f"to={tmp_path / 'figures'}"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv"}
    assert all(path.parent == tmp_path / "figures" and path.stat().st_size > 100 for path in paths)
    by_suffix = {path.suffix: path for path in paths}
    assert by_suffix[".pdf"].read_bytes().startswith(b"%PDF")
    assert matplotlib.image.imread(by_suffix[".png"]).std() > 0  # not one colour only
    assert len(pd.read_csv(by_suffix[".csv"])) > 0


# From Python.


def test_run_load_and_load_results(finished: Path, tmp_path: Path) -> None:
    path = ticketsearch.run(small("pruner=lth", out=tmp_path / "out"))
    assert path == folder(tmp_path / "out", "lth")
    model, ticket = ticketsearch.load(path, 0, 2)
    assert not model.training
    assert ticket.mask.kept == 2972
    assert ticketsearch.load(path)[1].mask.sparsity == 0
    rows = ticketsearch.load_results(tmp_path / "out")
    assert set(rows[rows.run == path.name]["round"]) == {0, 1, 2}
    assert set(ticketsearch.__all__) == {"launch", "load", "load_results", "run"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = ticketsearch.nothing


def test_every_command_is_noted_with_its_versions(tmp_path: Path) -> None:
    assert Child(tmp_path / "log", "run", *small("pruner=dense", out=tmp_path / "out")).code() == 0
    (noted,) = (folder(tmp_path / "out", "dense") / "invocations.jsonl").read_text().splitlines()
    about = json.loads(noted)
    assert about["command"] == ["ticketsearch", "run", *small("pruner=dense", out=tmp_path / "out")]
    assert {"torch", "python", "ticketsearch", "host", "environment", "threads", "started"} <= about.keys()
    assert (about["seeds"], about["rounds"]) == ([0], [0])
