"""torchvision beside a torch without CUDA: its datasets can be imported, and nothing is left behind."""

import subprocess
import sys

import pytest
import torch

WITHOUT_CUDA = not (torch.version.cuda or torch.version.hip)


def python(code: str) -> str:
    """What a fresh interpreter prints; it must not fail."""
    finished = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.skipif(not WITHOUT_CUDA, reason="this torch has CUDA or ROCm: its torchvision works")
def test_torchvision_can_be_imported_and_the_finder_is_gone() -> None:
    """Calling an op still says that it is missing."""
    code = """
import sys, ticketsearch
watching = [type(finder).__name__ for finder in sys.meta_path]
assert "torch" not in sys.modules
import torch, torchvision, torchvision.datasets, torchvision.transforms.v2
assert torchvision.datasets.MNIST and torchvision.models.resnet18()
try:
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except RuntimeError as error:
    assert "Couldn't load custom C++ ops" in str(error)
else:
    raise AssertionError("the ops are there")
print(watching[0], *(type(finder).__name__ for finder in sys.meta_path if "_Once" in type(finder).__name__))
"""
    assert python(code) == "_Once"


def test_nothing_watches_once_torchvision_is_there() -> None:
    code = """
import sys, types
sys.modules["torchvision"] = types.ModuleType("torchvision")
before = list(sys.meta_path)
import ticketsearch
print(sys.meta_path == before)
"""
    assert python(code) == "True"
