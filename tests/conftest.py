"""What every test needs."""

from collections.abc import Iterator

import pytest
import torch
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
