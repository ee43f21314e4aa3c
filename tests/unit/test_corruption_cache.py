"""Corrupted images are made once, and what is damaged is made again."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from ticketsearch.data.corruptions import cache, corrupt, corrupted, generate
from ticketsearch.data.corruptions.case import Case, block_size
from ticketsearch.data.corruptions.frost import NAMES
from ticketsearch.errors import DataMissing, UsageError

IMAGES = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What `corrupt` was asked for."""
    calls: list[tuple[str, int]] = []

    def counted(images: torch.Tensor, kind: str, severity: int, *rest: object, **options: object) -> torch.Tensor:
        calls.append((kind, severity))
        return corrupt(images, kind, severity, *rest, **options)

    monkeypatch.setattr(cache, "corrupt", counted)
    return calls


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_made_once_and_then_read(tmp_path: Path, made: list[tuple[str, int]]) -> None:
    wanted = corrupt(IMAGES, "fog", 2, "cifar")
    for _ in range(3):
        assert torch.equal(corrupted(IMAGES, "fog", 2, "cifar", tmp_path), wanted)
    assert made == [("fog", 2)]
    assert files(tmp_path) == ["fog-2.npy", "fog-2.sha256"]
    (file,) = tmp_path.rglob("*.npy")
    assert np.array_equal(np.load(file, allow_pickle=False), wanted.numpy())


def test_writing_to_what_was_read_does_not_reach_the_file(tmp_path: Path, made: list[tuple[str, int]]) -> None:
    first = corrupted(IMAGES, "fog", 2, "cifar", tmp_path)
    first.zero_()
    assert torch.equal(corrupted(IMAGES, "fog", 2, "cifar", tmp_path), corrupt(IMAGES, "fog", 2, "cifar"))
    assert len(made) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1])),
        lambda file: file.write_bytes(file.read_bytes()[:-10]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: file.with_suffix(".sha256").unlink(),
        lambda file: file.with_suffix(".sha256").write_bytes(b"\xff\xfe"),
    ],
    ids=["flipped bit", "cut off", "empty", "gone", "no checksum", "no text"],
)
def test_a_damaged_file_is_made_again(damage: object, tmp_path: Path, made: list[tuple[str, int]]) -> None:
    corrupted(IMAGES, "fog", 2, "cifar", tmp_path)
    (file,) = tmp_path.rglob("*.npy")
    damage(file)
    assert torch.equal(corrupted(IMAGES, "fog", 2, "cifar", tmp_path), corrupt(IMAGES, "fog", 2, "cifar"))
    assert len(made) == 2
    corrupted(IMAGES, "fog", 2, "cifar", tmp_path)
    assert len(made) == 2


def test_a_pickle_in_its_place_is_not_run(tmp_path: Path, made: list[tuple[str, int]]) -> None:
    import hashlib

    corrupted(IMAGES, "fog", 2, "cifar", tmp_path)
    (file,) = tmp_path.rglob("*.npy")
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    file.with_suffix(".sha256").write_text(hashlib.sha256(file.read_bytes()).hexdigest())
    assert torch.equal(corrupted(IMAGES, "fog", 2, "cifar", tmp_path), corrupt(IMAGES, "fog", 2, "cifar"))
    assert len(made) == 2


def test_other_images_tables_and_pictures_have_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = torch.arange(2 * 32 * 32).remainder(256).to(torch.uint8).view(2, 1, 32, 32)
    corrupted(larger, "frost", 1, "cifar", tmp_path)
    changed = larger.clone()
    changed[1, 0, 31, 31] += 1
    corrupted(changed, "frost", 1, "cifar", tmp_path)
    corrupted(larger.view(1, 2, 32, 32)[:, :1], "frost", 1, "cifar", tmp_path)
    corrupted(larger, "frost", 1, "imagenet", tmp_path)
    pictures = photographs_of_frost(tmp_path / "frost")
    corrupted(larger, "frost", 1, "cifar", tmp_path, pictures)
    (pictures / NAMES[0]).write_bytes((pictures / NAMES[1]).read_bytes())
    corrupted(larger, "frost", 1, "cifar", tmp_path, pictures)
    monkeypatch.setattr(cache, "REVISION", cache.REVISION + 1)
    corrupted(larger, "frost", 1, "cifar", tmp_path)
    assert len([path for path in tmp_path.iterdir() if path != pictures]) == 7


def test_pictures_matter_to_frost_alone(tmp_path: Path, made: list[tuple[str, int]]) -> None:
    pictures = photographs_of_frost(tmp_path / "frost")
    for frost in (None, pictures):
        corrupted(IMAGES, "fog", 1, "cifar", tmp_path, frost)
    assert len(made) == 1


def photographs_of_frost(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (200, 220, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_mistakes_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        corrupted(IMAGES, "saturate", 1, "cifar", tmp_path)
    with pytest.raises(UsageError):
        corrupted(IMAGES, "../fog", 1, "cifar", tmp_path)
    with pytest.raises(DataMissing):
        corrupted(IMAGES, "frost", 1, "cifar", tmp_path, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    corrupted(IMAGES, "fog", 2, "cifar")
    assert files(tmp_path / "ticketsearch" / "corruptions") == ["fog-2.npy", "fog-2.sha256"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / ".cache" / "ticketsearch" / "corruptions"


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import torch
    from ticketsearch import files
    from ticketsearch.data.corruptions import corrupted

    moment = sys.argv[2]
    replace = os.replace
    def killed(source, target):
        if moment == "before the images" or str(target).endswith(".sha256"):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    files.os.replace = killed
    images = torch.arange(20 * 64).remainder(256).to(torch.uint8).view(20, 1, 8, 8)
    corrupted(images, "fog", 2, "cifar", Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["before the images", "before the checksum"])
def test_a_killed_writer_leaves_nothing_that_is_read(moment: str, tmp_path: Path, made: list[tuple[str, int]]) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), moment]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": path}).returncode == -9
    images = torch.arange(20 * 64).remainder(256).to(torch.uint8).view(20, 1, 8, 8)
    assert [name for name in files(tmp_path) if not name.startswith(".")] == (
        ["fog-2.npy"] if moment == "before the checksum" else []
    )
    assert torch.equal(corrupted(images, "fog", 2, "cifar", tmp_path), corrupt(images, "fog", 2, "cifar"))
    assert len(made) == 1


def test_chunks_of_a_set_are_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list) -> None:
    monkeypatch.setattr(cache, "CHUNK", 7 * 64)
    found = corrupted(IMAGES, "gaussian_noise", 5, "cifar", tmp_path)
    assert len(made) == 3  # of seven images each
    assert torch.equal(found, corrupt(IMAGES, "gaussian_noise", 5, "cifar"))


def test_no_more_than_a_block_is_in_floats_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def kept(case: Case) -> torch.Tensor:
        seen.append(len(case.images))
        return case.images

    monkeypatch.setitem(generate._METHODS["cifar"], "fog", kept)
    corrupt(torch.zeros(600, 1, 8, 8, dtype=torch.uint8), "fog", 1, "cifar", first=200)
    assert seen == [56, 256, 256, 32]
    assert [block_size(side, side) for side in (8, 32, 33, 64, 224, 1024)] == [256, 256, 240, 64, 5, 1]
