"""The names of folders within a run: which are cells, and of what. Whatever else lies there is left alone."""

import re
from collections.abc import Iterator
from pathlib import Path


def seeds(run: Path) -> Iterator[tuple[int, Path]]:
    """Every seed of a run and its folder, in order."""
    found = ((re.fullmatch(r"seed-(\d+)", path.name), path) for path in run.glob("seed-*/"))
    yield from sorted((int(name[1]), path) for name, path in found if name)


def rounds(seed: Path, suffix: str = "") -> Iterator[tuple[int, Path]]:
    """Every round of a seed's folder that has a folder, or a file with `suffix`, in order."""
    found = (
        (re.fullmatch(r"round-(\d+)" + re.escape(suffix), path.name), path) for path in seed.glob(f"round-*{suffix}")
    )
    yield from sorted((int(name[1]), path) for name, path in found if name and path.is_dir() == (not suffix))
