"""What every test needs."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import run_here
from hypothesis import settings

from tests.contract.table import table, told

# The same examples each time, and no deadline on a machine that may be busy.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "contract(column): the property of every pruner that a test is about")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties += told(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the contracts; here, since of several processes the one that tells it collects no tests."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = table(report for report in reports if isinstance(report, pytest.TestReport))
    if lines:
        terminalreporter.section("what holds of every pruner")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks in tests are too small for a second thread, and the order of sums depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Ctrl-C is heard, here and in the processes that tests start, also where a shell's background job runs them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
