"""Which pictures a folder holds and what class each is of: a folder for each class, or a file of labels."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".jpg", ".jpeg", ".png")
"""What the names of pictures end with, in small or capital letters."""


class Picture(NamedTuple):
    """A file: its place below the dataset's folder, with slashes, and the number of its class."""

    path: str
    label: int


def folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, but those that begin with a dot.

    Raises:
        OSError: it is not there.
    """
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def by_folder(root: Path, part: str, classes: Sequence[str]) -> list[Picture]:
    """The pictures below root/part/CLASS, however deep.

    Args:
        root: the dataset's folder.
        part: `train`, for example.
        classes: their names, in the order of their numbers.

    Raises:
        OSError: there is no such part.
        ValueError: it has a folder of another name, or a class without a picture.
    """
    numbers, found = {name: number for number, name in enumerate(classes)}, list[Picture]()
    for name in folders(root / part):
        if name not in numbers:
            raise ValueError(f"{part}/{name} is no class of train")
        below = [Picture(path, numbers[name]) for path in _pictures(root, f"{part}/{name}")]
        if not below:
            raise ValueError(f"{part}/{name} has no pictures ({' '.join(SUFFIXES)})")
        found += below
    return found


def by_file(root: Path, part: str, labels: str, classes: Sequence[str]) -> list[Picture]:
    """The pictures below root/part, of the classes that a file names.

    Args:
        root: the dataset's folder.
        part: `val`, for example.
        labels: the file, below the dataset's folder; each line begins with the name of a picture and its class: the
            name of the class, or its number.
        classes: their names, in the order of their numbers.

    Raises:
        OSError: one of them is not there.
        ValueError: a line means no class or no picture, or a picture has no line.
    """
    numbers = {name: number for number, name in enumerate(classes)} | {str(n): n for n in range(len(classes))}
    told = dict(_told(line) for line in (root / labels).read_text(encoding="utf-8").splitlines() if line.strip())
    there = {path.rpartition("/")[2]: path for path in _pictures(root, part)}
    if told.keys() != there.keys():
        odd = sorted(told.keys() ^ there.keys())
        raise ValueError(f"{odd[0]} is in one of {labels} and {part}/ only, and so are {len(odd) - 1} more")
    unknown = sorted(set(told.values()) - numbers.keys())
    if unknown:
        raise ValueError(f"{labels} names {unknown[0]}, which is no class of train")
    return [Picture(path, numbers[told[name]]) for name, path in there.items()]


def _told(line: str) -> tuple[str, str]:
    """The name of a picture and its class."""
    name, label, *_ = line.split()  # too few raise ValueError
    return name.rpartition("/")[2], label


def _pictures(root: Path, part: str) -> list[str]:
    """Below a part, however deep, from the dataset's folder on."""
    found = list[str]()
    for folder, _, names in os.walk(root / part):
        below = Path(folder).relative_to(root).as_posix()
        found += [f"{below}/{name}" for name in names if name.lower().endswith(SUFFIXES) and name[0] != "."]
    return found


def mixed(pictures: Iterable[Picture]) -> list[Picture]:
    """In the order of the SHA-256 of their places: folders are sorted by class, and the first and the last pictures
    must be of all of them. It is the same for ever, and a picture more or less moves no two others.
    """
    return sorted(pictures, key=lambda picture: hashlib.sha256(picture.path.encode()).digest())
