"""CIFAR-10-C and CIFAR-100-C as published (Hendrycks & Dietterich 2019): one .npy a kind, and the labels.

A file holds uint8 [5 N, 32, 32, 3]: the N test images under severity 1, then under severity 2, and so on; `labels.npy`
holds the labels of all 5 N. ImageNet-C, which is a tree of JPEG files, is not read.
"""

from pathlib import Path

import numpy as np

from ticketsearch.data.corruptions.tables import SEVERITIES
from ticketsearch.errors import DataMissing

NAMES = ("CIFAR-10-C", "CIFAR-100-C")
"""The folders of the published archives."""
IMAGE = (32, 32, 3)


def official(root: Path, dataset_name: str, kind: str) -> np.ndarray:
    """The published images of a kind, a read-only view of the file, uint8 [5, N, 3, 32, 32].

    Args:
        root: the folder that holds the unpacked archives.
        dataset_name: `CIFAR-10-C` or `CIFAR-100-C`.
        kind: one of `KINDS` and `EXTRA`.

    Raises:
        DataMissing: the file is not there, or is not one of the published form.
    """
    path = root / dataset_name / f"{kind}.npy"
    found = _opened(path)
    if found.dtype != np.uint8 or found.shape[1:] != IMAGE or len(found) % len(SEVERITIES) or not len(found):
        raise _wrong(path, f"it holds {found.dtype} {list(found.shape)}, not uint8 [5 N, 32, 32, 3]")
    return found.reshape(len(SEVERITIES), -1, *IMAGE).transpose(0, 1, 4, 2, 3)


def official_labels(root: Path, dataset_name: str) -> np.ndarray:
    """The labels of the N test images, int64 [N]: the same for every kind and severity.

    Raises:
        DataMissing: the file is not there, is not one of the published form, or severities differ in their labels.
    """
    path = root / dataset_name / "labels.npy"
    found = _opened(path)
    if found.ndim != 1 or found.dtype.kind not in "ui" or len(found) % len(SEVERITIES) or not len(found):
        raise _wrong(path, f"it holds {found.dtype} {list(found.shape)}, not whole numbers [5 N]")
    labels = found.reshape(len(SEVERITIES), -1).astype(np.int64)
    if (labels != labels[0]).any():
        raise _wrong(path, "severities differ in their labels")
    return labels[0]


def _opened(path: Path) -> np.ndarray:
    if not path.is_file():
        raise _wrong(path, "it is not there")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _wrong(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _wrong(path: Path, why: str) -> DataMissing:
    right = (
        f"unpack {' or '.join(NAMES)} from the authors' page of Hendrycks & Dietterich (2019) in {path.parent.parent}"
    )
    return DataMissing(f"no published corruptions in {path}: {why}", right)
