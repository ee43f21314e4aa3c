"""The benchmark and the picture of corruptions run as typed."""

import json
from pathlib import Path

import pytest

from benchmarks.corruptions import Found, main, table
from scripts import corruption_grid


def test_the_benchmark_compares_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "found.json"
    assert main(["--images", "20", "--turns", "1", "--kinds", "fog", "brightness", "--json", str(file)]) == 0
    told, printed = json.loads(file.read_text()), capsys.readouterr().out
    assert told["images"] == 20
    assert set(told["kinds"]) == {"fog", "brightness", "without frost", "in all"}
    every = told["kinds"]["in all"]
    assert every["ratio"] == pytest.approx(every["package"] / every["ours"])
    assert every["ours"] == pytest.approx(told["kinds"]["fog"]["ours"] + told["kinds"]["brightness"]["ours"])
    assert "brightness" in printed


def test_the_total_is_of_sums_and_not_of_ratios() -> None:
    printed = table({"fog": Found(1.0, 20.0), "snow": Found(9.0, 10.0)}, 5)
    assert "in all                  10.0      30.0     3.0x" in printed
    assert printed.endswith("missed")


def test_the_picture_of_digits_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    assert corruption_grid.main(["--out", str(out)]) == 0
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_missing_images_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("TICKETSEARCH_DATA", str(tmp_path))
    assert corruption_grid.main(["--out", str(tmp_path / "x.png"), "--dataset", "cifar10"]) == 3
    assert capsys.readouterr().err.startswith("error: no official files of Cifar10")
