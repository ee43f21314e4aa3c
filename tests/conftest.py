"""What every test needs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import run_here
from hypothesis import settings

# The same examples each time, and no deadline on a machine that may be busy.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks in tests are too small for a second thread, and the order of sums depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished LTH run of two rounds; tests that change it take a copy (`out`)."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_here(out, "pruner=lth")
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished outputs, or of what a module calls `finished`."""
    return shutil.copytree(finished, tmp_path / "out")
