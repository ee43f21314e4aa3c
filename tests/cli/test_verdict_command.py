"""`verdict` as it is typed: what it prints, saves and refuses."""

import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.rows import curve, frame, row
from ticketsearch.cli import main
from ticketsearch.completion import complete

RUN, RANDOM = "digits-resnet20-lth-1a2b3c4d", "digits-resnet20-random-5e6f7a8b"
ECE = {0: 0.0521, 1: 0.05, 2: 0.0523, 3: 0.0612}
ACCURACY = {0: 0.9512, 1: 0.9568, 2: 0.9487, 3: 0.9334}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose rows are made up."""
    rows = [
        *curve(RUN, ACCURACY), *curve(RUN, ECE, metric="ece"), *curve(RANDOM, {0: 0.9512, 1: 0.91, 2: 0.96}),
        *curve(RANDOM, {0: 0.0521}, metric="ece"), row(RANDOM, 1, math.nan, "ece", status="error", error="E: x"),
    ]  # fmt: skip
    monkeypatch.setattr("ticketsearch.results.load_results", lambda folder, leave_out: frame(*rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture) -> str:
    """What was printed, its lines joined."""
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_a_sentence_for_each_run(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verdict"]) == 0
    printed = said(capsys)
    assert (
        "lth on digits resnet20 (1 seed): comparable to dense in everything that was measured up to 36.0 %" in printed
    )
    assert "(round 2), at least as good up to 20.0 % (round 1); accuracy, ece, the end of Region I breaks it" in printed
    assert "not shown to beat its control random at round 2" in printed
    assert "unknown: ece at rounds 1-2 (error: E: x, among other reasons)" in printed
    assert "left out, nobody asked for them: mce, ood_auroc, fgsm_accuracy, nll, sce" in printed


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_number_is_cut(
    out: Path, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["verdict", "pruner=lth", "metrics=[accuracy,ece]"]) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    for number in ("36.0 % (2)", "0.9512", "0.9487", "-0.0025", "0.0521", "0.0523", "0.0002"):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", printed), number


@pytest.mark.parametrize("name", ["verdict.csv", "verdict.parquet"])
def test_the_table_is_saved(out: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["verdict", "--to", name, "pruner=lth"]) == 0
    assert capsys.readouterr().out == ""
    saved = (pd.read_csv if name.endswith("csv") else pd.read_parquet)(out / name)
    assert set(saved["run"]) == {RUN}
    assert saved[saved["metric"] == "all"]["status"].tolist() == ["strict", "comparable", "worse"]
    assert saved[(saved["metric"] == "ece") & (saved["round"] == 3)]["difference"].item() == pytest.approx(0.0091)
    assert [path.name for path in out.iterdir()] == [name]


def test_the_page_is_saved_as_markdown(out: Path) -> None:
    assert main(["verdict", "--to", "verdict.md"]) == 0
    text = (out / "verdict.md").read_text()
    assert text.startswith("## digits resnet20\n\n| run | seeds |")
    assert "| lth | 1 | 36.0 % (2) | 36.0 % (2) | 20.0 % (1) |" in text


def test_the_published_curves(capsys: pytest.CaptureFixture) -> None:
    metrics = "metrics=[accuracy,mce,ood_auroc,ece,nll,fidelity,stability]"
    assert main(["verdict", "published=chen2022", "pruner=lth", metrics]) == 0
    printed = said(capsys)
    assert "Claimed there: LTH-PASS" in printed
    assert "20 % to 99.08 %" in printed
    assert "strict between 20.0 % and 99.26 %, in 7 of 7 cells" in printed
    assert "left out, nobody asked for them: ece, fidelity, stability" in printed  # of ImageNet


@pytest.mark.parametrize(
    ("line", "wrong", "right"),
    [
        ("metrics=acuracy", "no metric 'acuracy'", "try: ticketsearch verdict metrics=accuracy"),
        ("metrics=[]", "metrics=[]", "at least 1 item"), ("comparable=2", "comparable=2", "less than 1"),
        ("comparable=much", "comparable=much", "valid number"), ("tolerance=-1", "tolerance=-1", "greater than"),
        ("metric=ece", "unknown key metric", "did you mean 'metrics'?"), ("lth", "cannot read lth", "key=value"),
        ("_target_=x", "unknown key _target_", ""), ("accuracy.x=1", "unknown key accuracy.x", "one word each"),
        ("pruner=lht", "no rows of pruner 'lht'", "try: ticketsearch verdict pruner=lth"),
        ("pruner=lth pruner=omp", "pruner is given twice", ""), ("out=", "cannot read out=", ""),
        ("out=a published=chen2022", "out and published", ""), ("metrics=[ece", "cannot read metrics=[ece", ""),
        ("published=chen", "no published readings named 'chen'", "try: ticketsearch verdict published=chen2022"),
        ("--to verdict.txt", "cannot save to verdict.txt", ".md, .csv or .parquet"),
        ("--to no/folder.md", "cannot save to no/folder.md", "folder"), ("--two x", "verdict takes no --two", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_and_nothing_is_written(
    line: str, wrong: str, right: str, out: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["verdict", *shlex.split(line)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert wrong in told.err.splitlines()[0]
    assert right in told.err
    assert len(told.err.splitlines()) <= 3
    assert list(out.iterdir()) == []


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verdict", f"out={tmp_path}"]) == 2
    assert capsys.readouterr().err.startswith("error: no runs in ")


def test_it_imports_no_torch_and_its_help_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from ticketsearch.cli import main; main({}); print(*({} & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    heavy = {"torch", "pandas", "numpy", "rich", "omegaconf", "pydantic", "scipy"}
    for words, names in (
        (["verdict", "--help"], heavy),
        (["verdict", "published=chen2022", "--to", "x.md"], {"torch"}),
    ):
        command = [sys.executable, "-c", code.format(words, names)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "")


def test_every_example_and_key_is_accepted(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verdict", "--help"]) == 0
    examples = re.findall(r"^  ticketsearch (.*)$", capsys.readouterr().out.partition("examples:")[2], re.M)
    assert len(examples) >= 3
    for example in examples:
        assert main(shlex.split(example)) == 0, example
    keys = {reply.rstrip("=") for reply in complete(["verdict", ""])}
    assert keys == {
        "out", "published", "dataset", "model", "pruner", "prunable", "settings", "metrics", "comparable", "accuracy",
        "tolerance",
    }  # fmt: skip
    assert complete(["verdict", "published="]) == ["published=chen2022"]
    assert "pruner=lth" in complete(["verdict", "pruner="])
