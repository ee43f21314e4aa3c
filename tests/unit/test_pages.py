"""Pages drawn side by side are those drawn one after the other."""

import os
import threading
from pathlib import Path

import pytest

from ticketsearch.errors import UsageError
from ticketsearch.figures.pages import FEWEST, side_by_side

MANY = FEWEST + 3


def draw_into(folder: Path, page: int) -> list[Path]:
    """A page of two files that says which process drew it."""
    files = [folder / f"{page}.{kind}" for kind in ("png", "csv")]
    for file in files:
        file.write_text(f"{os.getpid()}")
    return files


def expected(folder: Path, count: int) -> list[Path]:
    return [folder / f"{page}.{kind}" for page in range(count) for kind in ("png", "csv")]


def processes(files: list[Path]) -> set[int]:
    return {int(file.read_text()) for file in files}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_many_pages_are_drawn_by_other_processes_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # other tests may have left one
    files = side_by_side(lambda page: draw_into(tmp_path, page), MANY)
    assert files == expected(tmp_path, MANY)
    assert os.getpid() not in processes(files)


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_few_pages_are_drawn_here(tmp_path: Path, count: int) -> None:
    files = side_by_side(lambda page: draw_into(tmp_path, page), count)
    assert files == expected(tmp_path, count)
    assert processes(files) <= {os.getpid()}


def test_beside_another_thread_nothing_is_forked(tmp_path: Path) -> None:
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        files = side_by_side(lambda page: draw_into(tmp_path, page), MANY)
    finally:
        done.set()
        other.join()
    assert (files, processes(files)) == (expected(tmp_path, MANY), {os.getpid()})


def test_an_error_crosses_with_its_three_lines() -> None:
    def refuse(page: int) -> list[Path]:
        raise UsageError(f"page {page}", "another", "ticketsearch plot")

    with pytest.raises(UsageError, match="page 0") as told:
        side_by_side(refuse, MANY)
    assert (told.value.right, told.value.attempt) == ("another", "ticketsearch plot")
