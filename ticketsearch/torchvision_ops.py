"""Lets torchvision be imported beside a CPU-only torch.

torchvision's wheel holds C++ ops built for CUDA. Beside a torch without CUDA they cannot load, and `import
torchvision` then stops at an operator that nobody declared (`torchvision::nms does not exist`). Declaring the two
schemas is enough for datasets, transforms and models; calling `ops.nms` still says that the ops are missing. Where
torch has CUDA or ROCm nothing is done, so that a real mismatch stays loud.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[object] = []
"""Keeps the declarations: they go when their library object does."""


class _Once(importlib.abc.MetaPathFinder):
    """Sees the first import of torchvision, by whomever, and steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(fullname, path)
            if spec is not None and spec.origin is not None:
                _declare_if_needed(Path(spec.origin).parent)
        return None


def _declare_if_needed(folder: Path) -> None:
    import torch

    if torch.version.cuda or torch.version.hip:
        return
    try:
        for library in folder.glob("_C*.so"):
            torch.ops.load_library(str(library))
    except OSError:
        declaration = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            declaration.define(schema)
        _declared.append(declaration)


def install() -> None:
    """Watch for the first import of torchvision; costs nothing until then."""
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _Once())
