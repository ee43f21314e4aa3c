"""Official files that are absent, damaged or not the official ones: exit code 3, three lines, nothing on disk."""

import os
import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import DAMAGE, flip

from tests.official import CLASSES, WRITERS, idx, md5, parts
from ticketsearch.cli import main
from ticketsearch.data.stored import Stored
from ticketsearch.errors import DataMissing

FILES = {
    "mnist": [f"MNIST/raw/{name}" for name in (
        "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
    )],
    "fashion_mnist": ["FashionMNIST/raw/t10k-images-idx3-ubyte"],
    "kmnist": ["KMNIST/raw/train-labels-idx1-ubyte"],
    "cifar10": [f"cifar-10-batches-py/{name}" for name in (
        "data_batch_1", "data_batch_5", "test_batch", "batches.meta"
    )],
    "cifar100": [f"cifar-100-python/{name}" for name in ("train", "test", "meta")],
    "svhn": ["train_32x32.mat", "test_32x32.mat"],
}  # fmt: skip
"""What is read of each dataset."""
EACH = [(name, file) for name, files in FILES.items() for file in files]
MNIST = [file for name, file in EACH if name == "mnist"]


def dataset(name: str, root: Path) -> Stored:
    return CLASSES[name](root=str(root), validation=5)


def write(name: str, root: Path, patch: pytest.MonkeyPatch) -> Stored:
    """Tiny official files that are sound."""
    found = dataset(name, root)
    WRITERS[name](root, patch, *parts(found.shape, found.classes))
    assert len(found.load().train) == 35
    return found


def on_disk(folder: Path) -> dict[str, bytes | None]:
    """Every folder, and every file with what is in it."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refused(name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, *more: str) -> str:
    """Assert that a run is refused with three lines and leaves the disk as it was; why it is refused."""
    before = on_disk(tmp_path)
    typed = ["run", f"dataset={name}", f"dataset.root={root}", f"out={tmp_path / 'out'}", *more]
    code = main(typed)
    out, err = capsys.readouterr()
    assert (code, out) == (3, ""), err
    first, right, attempt = err.splitlines()
    kind, _, why = first.removeprefix("error: no official files of ").partition(f" in {root}: ")
    assert (kind.lower(), bool(why)) == (name.replace("_", ""), True)
    assert (
        right
        == "  dataset.root or TICKETSEARCH_DATA names the folder that holds them, and dataset.download=true gets them"
    )
    assert attempt == f"  try: ticketsearch {shlex.join(typed)} dataset.download=true"
    assert on_disk(tmp_path) == before
    return why


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is created at a relative path would be seen."""
    monkeypatch.chdir(tmp_path)


# As typed.


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_not_there(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "not found" in refused(name, tmp_path / "nowhere", tmp_path, capsys)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar100"])
def test_the_command_to_try_is_one(name: str, capsys: pytest.CaptureFixture) -> None:
    kind = CLASSES[name]
    with pytest.raises(DataMissing) as error:
        kind(root="nowhere").load()
    assert main([*shlex.split(error.value.attempt)[1:], "--cfg", "job"]) == 0
    assert f"{kind.__module__}.{kind.__name__}\n  root: null\n" in (shown := capsys.readouterr().out)
    assert "download: true" in shown


def test_a_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "data").write_text("no folder")
    refused("cifar10", tmp_path / "data", tmp_path, capsys)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_a_flipped_byte_as_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write(name, tmp_path / "data", monkeypatch)
    flip(tmp_path / "data" / FILES[name][0])
    refused(name, tmp_path / "data", tmp_path, capsys)


def test_no_run_of_a_sweep_begins(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["dataset=digits,kmnist", f"dataset.root={tmp_path / 'nowhere'}", f"out={tmp_path / 'out'}"]
    assert main(["run", "-m", *words]) == 3
    assert "no official files of Kmnist" in capsys.readouterr().err
    assert on_disk(tmp_path) == {}


@pytest.mark.parametrize(
    ("preset", "kind"), [("frankle_mnist", "Mnist"), ("paper_c10_r20s", "Cifar10"), ("paper_c100_r20s", "Cifar100")]
)
def test_presets_compose_without_their_data_and_a_run_says_what_is_missing(
    preset: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("TICKETSEARCH_DATA", str(tmp_path / "nowhere"))
    assert main(["run", f"experiment={preset}", "--cfg", "job"]) == 0
    assert f"ticketsearch.data.{kind.lower().strip('01')}.{kind}" in capsys.readouterr().out
    assert main(["run", f"experiment={preset}"]) == 3
    assert f"no official files of {kind} in {tmp_path / 'nowhere'}: " in capsys.readouterr().err
    assert on_disk(tmp_path) == {}


# Each file that is read, however it is damaged.


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("name", "file"), EACH)
def test_damage_is_refused(name: str, file: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write(name, tmp_path, monkeypatch)
    DAMAGE[damage](tmp_path / file)
    with pytest.raises(DataMissing):
        found.load()


@pytest.mark.parametrize("damage", ["truncated", "empty"])
@pytest.mark.parametrize("file", MNIST)
def test_damage_is_refused_without_the_archives_too(
    file: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = write("mnist", tmp_path, monkeypatch)
    for archive in (tmp_path / "MNIST/raw").glob("*.gz"):
        archive.unlink()
    DAMAGE[damage](tmp_path / file)
    with pytest.raises(DataMissing):
        found.load()


@pytest.mark.parametrize("place", range(8))
def test_a_damaged_header_is_refused(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kind of numbers, how many dimensions, how many images: torchvision trusts each of them.
    found = write("mnist", tmp_path, monkeypatch)
    content = bytearray((tmp_path / MNIST[0]).read_bytes())
    content[place] ^= 4
    (tmp_path / MNIST[0]).write_bytes(content)
    with pytest.raises(DataMissing):
        found.load()


@pytest.mark.parametrize(
    ("file", "numbers"),
    [
        ("train-labels-idx1-ubyte", np.zeros(35)),
        ("t10k-labels-idx1-ubyte", np.zeros(21)),
        ("t10k-labels-idx1-ubyte", np.full(20, 10)),
        ("train-images-idx3-ubyte", np.zeros((40, 20, 20))),
    ],
    ids=["fewer labels", "more labels", "an eleventh class", "smaller images"],
)
def test_files_that_do_not_fit_together(
    file: str, numbers: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sound files, of something else: without the archives nothing but their shapes can tell.
    found = write("mnist", tmp_path, monkeypatch)
    idx(tmp_path / "MNIST/raw" / file, numbers)
    for archive in (tmp_path / "MNIST/raw").glob("*.gz"):
        archive.unlink()
    with pytest.raises(DataMissing):
        found.load()


@pytest.mark.parametrize("file", MNIST)
def test_an_archive_that_is_not_the_official_one(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write("mnist", tmp_path, monkeypatch)
    flip(tmp_path / f"{file}.gz")
    with pytest.raises(DataMissing, match="is not the official file"):
        found.load()


def test_a_sound_archive_beside_files_of_another_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Fashion-MNIST has the same names and sizes: unpacked over MNIST, nothing but the archives can tell.
    write("mnist", tmp_path, monkeypatch)
    other = tmp_path / MNIST[0]
    other.write_bytes(other.read_bytes()[:16] + bytes(reversed(other.read_bytes()[16:])))
    with pytest.raises(DataMissing, match=r"is not what train-images-idx3-ubyte[.]gz holds"):
        dataset("mnist", tmp_path).load()


# Nothing is unpickled that torchvision does not know.


class Harm:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


def test_the_harm_is_real(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Harm(tmp_path / "harmed")))
    assert (tmp_path / "harmed").is_dir()


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, file in EACH if name.startswith("cifar")])
def test_a_pickle_that_is_not_known_never_runs(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = write(name, tmp_path / "data", monkeypatch)
    (tmp_path / "data" / file).write_bytes(pickle.dumps(Harm(tmp_path / "harmed"), protocol=2))
    before = on_disk(tmp_path)
    with pytest.raises(DataMissing):
        found.load()
    assert on_disk(tmp_path) == before


def test_a_pickle_that_is_not_known_never_runs_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write("cifar10", tmp_path / "data", monkeypatch)
    harm = pickle.dumps(Harm(tmp_path / "harmed"), protocol=2)
    (tmp_path / "data/cifar-10-batches-py/data_batch_1").write_bytes(harm)
    refused("cifar10", tmp_path / "data", tmp_path, capsys)


@pytest.mark.parametrize("reader", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("files", [["training.pt", "test.pt"], ["training.pt"], ["test.pt"]])
def test_files_of_an_old_torchvision_are_refused(
    files: list[str], reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torchvision would prefer them to the files beside them, and knows no checksum of theirs.
    found = write(reader, tmp_path, monkeypatch)
    folder = tmp_path / {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[reader] / "processed"
    folder.mkdir()
    for file in files:
        torch.save((torch.zeros(40, 28, 28, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)), folder / file)
    with pytest.raises(DataMissing, match="processed holds files of an old torchvision: move them away"):
        found.load()
    for file in files:
        (folder / file).unlink()
    assert len(found.load().train) == 35


def test_the_checksums_of_the_real_files_are_torchvisions() -> None:
    # What the tests above replace is in place here: nothing of the package changes it.
    from torchvision import datasets

    assert datasets.CIFAR10.train_list[0] == ["data_batch_1", "c99cafc152244af753f735de768cd75f"]
    assert datasets.CIFAR100.test_list == [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    assert datasets.MNIST.resources[0] == ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873")
    assert datasets.SVHN.split_list["train"][2] == "e26dedcc434d2e4c54c9b2d4a06d8373"


def test_a_batch_with_its_own_checksum_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The refusals above are those of the checksum: with it put right, the same bytes are accepted.
    from torchvision import datasets

    found = write("svhn", tmp_path, monkeypatch)
    other = tmp_path / "test_32x32.mat"
    other.write_bytes((tmp_path / "train_32x32.mat").read_bytes())
    with pytest.raises(DataMissing):
        found.load()
    known = {split: list(about) for split, about in datasets.SVHN.split_list.items()}
    known["test"][2] = md5(other)
    monkeypatch.setattr(datasets.SVHN, "split_list", known)
    assert len(found.load().test) == 40
