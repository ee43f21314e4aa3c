"""The formats of official files, read by hand: what comes out, and what is refused."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.official import CLASSES
from tests.unit.test_real_data import parts
from ticketsearch.data.official import batch, idx, official

IDX = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60])
"""Two rows of three."""
SMALL = (
    b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x04testq\x03U\x06labelsq\x04]q\x05(K\x07K\x02eU\x0dcoarse_labelsq\x06]q\x07(K"
    b"\x01K\x01eU\x04dataq\x08T\x10\x00\x00\x00\x00\x80\xff\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08q\x09u."
)
"""As Python 2 wrote them: two images of eight bytes, labels 7 and 2, other numbers behind another name."""
HEAVY = ("matplotlib", "pandas", "scipy.stats", "skimage", "sklearn", "sympy", "torch._dynamo", "torchvision")
CHILD = f"""
import hashlib, pickle, sys
from pathlib import Path
import numpy as np
from ticketsearch.commands.run import composed
from ticketsearch.conf import Conf
from ticketsearch.data.cifar import Cifar10
from ticketsearch.data.digits import Digits
from ticketsearch.data.mnist import Mnist
import ticketsearch.runner, ticketsearch.live
raw, root = Path(sys.argv[1]) / "MNIST/raw", sys.argv[1]
raw.mkdir(parents=True)
for name, count in (("train", 9), ("t10k", 3)):
    for kind, sizes in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
        header = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
        (raw / f"{{name}}-{{kind}}-ubyte").write_bytes(header + bytes(int(np.prod(sizes))))
below = Path(root) / Cifar10.below
below.mkdir()
content = pickle.dumps({{"data": np.zeros((4, 3072), np.uint8), "labels": [1, 2, 3, 4]}}, protocol=2)
Cifar10.files = {{name: hashlib.md5(content).hexdigest() for name in Cifar10.files}}
for name in Cifar10.files:
    (below / name).write_bytes(content)
assert [len(kind(root=root).read()[0]) for kind in (Digits, Mnist, Cifar10)] == [1400, 9, 20]
composed(["pruner=lth", "model=lenet300", "dataset=mnist", f"dataset.root={{root}}"], Conf.beside(None), False)
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_an_idx_file_by_hand() -> None:
    assert idx(IDX).tolist() == [[10, 20, 30], [40, 50, 60]]
    assert idx(IDX).flags.writeable


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        IDX[:3],
        IDX[:9],
        IDX[:-1],
        IDX + b"\0",
        b"\1" + IDX[1:],
        IDX[:2] + b"\x09" + IDX[3:],
        IDX[:3] + b"\3" + IDX[4:],
    ],
    ids=["empty", "no sizes", "a part of them", "cut", "longer", "no zero", "other numbers", "another dimension"],
)
def test_what_is_no_idx_file(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="no idx file"):
        idx(wrong)


def test_a_batch_by_hand() -> None:
    pixels, labels = batch(SMALL, "labels", 8)
    assert pixels.tolist() == [[0, 128, 255, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert labels == [7, 2]
    assert batch(SMALL, "coarse_labels", 8)[1] == [1, 1]


def test_a_batch_is_what_unpickling_gives() -> None:
    rng = np.random.default_rng(0)
    data, labels = rng.integers(0, 256, (30, 12), np.uint8), rng.integers(0, 100, 30).tolist()
    for content in ({"fine_labels": labels, "data": data}, {"data": data, "fine_labels": labels}):
        pixels, found = batch(pickle.dumps(content, protocol=2), "fine_labels", 12)
        assert np.array_equal(pixels, data)
        assert found == labels


def long_batch(size: int, there: int) -> bytes:
    """A pickle of Python 2 with one label, whose pixels are a string that says how long it is."""
    return b"\x80\x02}(U\x06labels]K\x05aU\x04dataT" + size.to_bytes(4, "little") + b"\x07" * there + b"u."


def test_long_strings_are_read_where_they_are() -> None:
    size = 3 * 2**20
    content = long_batch(size, size)
    assert pickle.loads(content, encoding="latin-1") == {"labels": [5], "data": "\x07" * size}
    pixels, labels = batch(content, "labels", size)
    assert (pixels.shape, labels) == ((1, size), [5])
    assert (pixels == 7).all()
    assert np.shares_memory(pixels, np.frombuffer(content, np.uint8))
    with pytest.raises(ValueError, match="expected 3145728 bytes"):
        batch(long_batch(size, size - 3), "labels", size)


@pytest.mark.parametrize("wrong", [b"", SMALL[:-30], SMALL.replace(b"K\x02", b""), pickle.dumps({"data": 1})])
def test_what_is_no_batch(wrong: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pickletools has its own words
        batch(wrong, "labels", 8)


def test_a_file_is_the_official_one_or_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert official(tmp_path / "file", "900150983cd24fb0d6963f7d28e17f72") == b"abc"  # RFC 1321, A.5
    with pytest.raises(RuntimeError, match="is not the official file"):
        official(tmp_path / "file", "d41d8cd98f00b204e9800998ecf8427e")
    with pytest.raises(RuntimeError, match="was not found"):
        official(tmp_path / "other", "900150983cd24fb0d6963f7d28e17f72")


def test_checksums_are_those_that_torchvision_knows() -> None:
    from torchvision import datasets

    for name in ("cifar10", "cifar100"):
        ours, theirs = CLASSES[name], getattr(datasets, name.upper())
        lists = [*theirs.train_list, *theirs.test_list, [theirs.meta["filename"], theirs.meta["md5"]]]
        assert [[file, md5] for file, md5 in ours.files.items()] == lists
        assert ours.below == theirs.base_folder
    for name, reader in (("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")):
        assert list(CLASSES[name].archives.items()) == getattr(datasets, reader).resources


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_the_real_files_are_what_torchvision_reads(name: str) -> None:
    from torchvision import datasets

    for split, train in zip(parts(name), (True, False), strict=True):
        theirs = getattr(datasets, name.upper())(CLASSES[name]().folder, train=train)
        shown = torch.as_tensor(theirs.data)
        assert torch.equal(
            split.images, shown.permute(0, 3, 1, 2) if name in ("cifar10", "cifar100") else shown[:, None]
        )
        assert split.labels.tolist() == torch.as_tensor(theirs.targets).tolist()


def test_nothing_heavy_is_imported_before_the_first_step(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
