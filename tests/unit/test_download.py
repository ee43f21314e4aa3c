"""`dataset.download=true`: from a server on this machine, torchvision and all."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from commands import flip
from torchvision import datasets

from tests.official import CLASSES, WRITERS, md5, parts
from ticketsearch.data.stored import Stored
from ticketsearch.errors import DataMissing


class Quiet(SimpleHTTPRequestHandler):
    """A server that tells nobody what it is asked for."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with tiny official files, from where torchvision downloads now."""
    folder = tmp_path / "away"
    monkeypatch.setenv("no_proxy", "*")
    for name in ("mnist", "cifar10", "svhn"):
        WRITERS[name](folder, monkeypatch, *parts(CLASSES[name].shape, 10))
    archive = packed(folder / "cifar-10-batches-py", folder / "cifar-10-python.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    with served(folder) as address:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{address}MNIST/raw/"])
        monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}{archive.name}")
        known = {split: [address + name, name, md5] for split, (_, name, md5) in datasets.SVHN.split_list.items()}
        monkeypatch.setattr(datasets.SVHN, "split_list", known)
        yield folder


def dataset(name: str, folder: Path, download: bool = False) -> Stored:
    return CLASSES[name](root=str(folder), validation=3, download=download)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_what_is_not_there_is_downloaded_where_asked_for(name: str, away: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        dataset(name, tmp_path / "here").load()
    assert not (tmp_path / "here").exists()
    found = dataset(name, tmp_path / "here", download=True).load()
    wanted = dataset(name, away).load().fingerprint()
    assert found.fingerprint() == dataset(name, tmp_path / "here").load().fingerprint() == wanted


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py/data_batch_2"),
        ("svhn", "test_32x32.mat"),
    ],
)
def test_what_is_damaged_is_mended_by_the_command_to_try(name: str, file: str, away: Path, tmp_path: Path) -> None:
    wanted = dataset(name, tmp_path / "here", download=True).load().fingerprint()
    flip(tmp_path / "here" / file)
    with pytest.raises(DataMissing) as error:
        dataset(name, tmp_path / "here").load()
    assert error.value.attempt.endswith("dataset.download=true")
    assert dataset(name, tmp_path / "here", download=True).load().fingerprint() == wanted


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_a_download_that_is_not_the_official_file_is_refused(name: str, away: Path, tmp_path: Path) -> None:
    files = {
        "mnist": "MNIST/raw/train-images-idx3-ubyte.gz",
        "cifar10": "cifar-10-python.tar.gz",
        "svhn": "test_32x32.mat",
    }
    flip(away / files[name])
    with pytest.raises(DataMissing):
        dataset(name, tmp_path / "here", download=True).load()


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with served(tmp_path) as address:
        pass  # nobody listens there from here on
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}cifar-10-python.tar.gz")
    with pytest.raises(DataMissing, match=r"in .*here: .*refused"):
        dataset("cifar10", tmp_path / "here", download=True).load()
