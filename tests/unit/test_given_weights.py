"""`model.weights=FILE`: a search starts from exactly these weights, is known by their content, and takes no others."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run_here, small
from safetensors.torch import save_file
from torch import Tensor, nn

import ticketsearch
from tests.tiny import same, weights_of
from ticketsearch.compose import compose
from ticketsearch.console import Display
from ticketsearch.data.digits import Digits
from ticketsearch.errors import UsageError
from ticketsearch.experiment import Experiment
from ticketsearch.models.libraries import Torchvision
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.points import RewindPoints
from ticketsearch.store import Run

MODEL = SmallImageResNet(8, 4)
WORDS = ("model.depth=8", "model.width=4")


def theirs() -> dict[str, Tensor]:
    """A state dict that no seed of a test gives, statistics included."""
    network = MODEL.initial(Digits(), 123)
    network.train()(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return weights_of(network)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    save_file(theirs(), path)
    return path


def begun(path: Path, model: Any = MODEL) -> nn.Module:
    """The network that a search with this file starts from."""
    from dataclasses import replace

    return replace(model, weights=str(path)).settled().begin(Digits(), 0)


def test_every_seed_starts_from_the_weights_of_the_file(tmp_path: Path, file: Path) -> None:
    folder, _ = run_here(
        tmp_path / "out",
        f"model.weights={file}",
        "replicates=2",
        "schedule.rounds=1",
        "pruner=snip",
        "metrics=[accuracy]",
    )
    dense = next((tmp_path / "out").glob("*-dense-*"))
    starts = [Run(dense).rewind(seed, 0).read()[0] for seed in (0, 1)]
    assert all(same(start, theirs()) for start in starts)
    (one, _), (two, _) = (ticketsearch.load(dense, seed, 0) for seed in (0, 1))
    assert not same(weights_of(one), weights_of(two))  # the order of the data is a seed's own
    file.unlink()
    assert same(weights_of(ticketsearch.load(folder, 0, 0)[0]), weights_of(one))


def test_a_torch_file_gives_the_same_and_nothing_in_it_is_executed(tmp_path: Path) -> None:
    torch.save(theirs(), tmp_path / "mine.pt")
    assert same(weights_of(begun(tmp_path / "mine.pt")), theirs())

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    for save in (torch.save, lambda found, path: path.write_bytes(pickle.dumps(found))):
        save({"conv.weight": Bomb()}, tmp_path / "bomb.pt")
        with pytest.raises(UsageError, match="holds no state dict"):
            begun(tmp_path / "bomb.pt")
    assert not (tmp_path / "canary").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "canary").exists()  # which it would have been


def test_a_run_is_known_by_the_content_of_the_file(tmp_path: Path, file: Path) -> None:
    usual = compose(WORDS)
    assert "weights_sha256" not in usual.identity()["model"]
    shutil.copy(file, tmp_path / "copy.safetensors")
    config, copied = (compose([*WORDS, f"model.weights={path}"]) for path in (file, tmp_path / "copy.safetensors"))
    assert config.id == copied.id != usual.id
    assert config.dense.id == copied.dense.id != usual.dense.id
    sha = config.model.weights_sha256
    assert compose([*WORDS, f"model.weights_sha256={sha}"]).id == config.id
    save_file(theirs() | {"fc.bias": torch.zeros(10)}, file)
    changed = compose([*WORDS, f"model.weights={file}"])
    assert changed.id not in (config.id, usual.id)
    with pytest.raises(UsageError, match="is not what model"):
        compose([*WORDS, f"model.weights={file}", f"model.weights_sha256={sha}"])


def test_a_file_that_changes_or_is_not_named_when_it_is_needed_is_refused(tmp_path: Path, file: Path) -> None:
    model = compose([*WORDS, f"model.weights={file}"]).model
    save_file(theirs() | {"fc.bias": torch.zeros(10)}, file)
    with pytest.raises(UsageError, match="does not have the SHA-256"):
        model.begin(Digits(), 0)
    with pytest.raises(UsageError, match=r"starts from weights with the SHA-256 aaaaaaaaaaaa\.\.\.") as told:
        run_here(tmp_path / "out", f"model.weights_sha256={'a' * 64}", "pruner=dense")
    assert told.value.attempt == "ticketsearch run model.weights=FILE.safetensors"


def test_other_initial_weights_are_drawn_as_ever(tmp_path: Path, file: Path) -> None:
    words = small("pruner=dense", "metrics=[accuracy]", f"model.weights={file}", out=tmp_path / "out")
    points = RewindPoints(Experiment.open(compose(words), Display()), 0)
    assert same(points.at(0)[0], theirs())
    assert same(points.fresh(), weights_of(MODEL.initial(Digits(), 0, "reinit")))


def without(name: str) -> dict[str, Tensor]:
    return {entry: tensor for entry, tensor in theirs().items() if entry != name}


@pytest.mark.parametrize(
    ("content", "what", "right"),
    [
        (lambda: without("fc.bias"), "lacks fc.bias", "those of the chosen model"),
        (lambda: without("blocks.0.conv1.weight") | {"block.0.conv1.weight": torch.zeros(1)},
         "lacks blocks.0.conv1.weight and has block.0.conv1.weight besides",
         "block.0.conv1.weight may be blocks.0.conv1.weight"),
        (lambda: {"a": torch.zeros(1)}, "lacks conv.weight and 43 more and has a besides", "those of the chosen model"),
        (lambda: theirs() | {"fc.weight": torch.zeros(100, 16)},
         "fc.weight is float32 100x16, not float32 10x16", "of this"),
        (lambda: theirs() | {"fc.bias": torch.zeros(10).double()},
         "fc.bias is float64 10, not float32 10", "of this"),
        (lambda: theirs() | {"fc.bias": torch.full((10,), float("nan"))}, "fc.bias is not finite", "diverged"),
    ],
    ids=["missing", "renamed", "another", "shape", "dtype", "nan"],
)  # fmt: skip
def test_weights_of_another_network_are_refused(
    content: Callable[[], dict[str, Tensor]], what: str, right: str, tmp_path: Path
) -> None:
    save_file(content(), tmp_path / "mine.safetensors")
    with pytest.raises(UsageError) as told:
        run_here(tmp_path / "out", f"model.weights={tmp_path / 'mine.safetensors'}", "pruner=dense")
    assert what in told.value.what
    assert right in told.value.right
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [({"epoch": 3, "state_dict": {}}, "no state dict but holds epoch state_dict"), ([1], "but holds list")],
)
def test_what_is_no_state_dict_is_refused(content: Any, what: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "mine.pt")
    with pytest.raises(UsageError, match=what):
        begun(tmp_path / "mine.pt")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x08")
    with pytest.raises(UsageError, match="holds no state dict that can be read"):
        begun(tmp_path / "cut.safetensors")
    with pytest.raises(UsageError, match=r"nowhere.pt: No such file") as told:
        compose(small(f"model.weights={tmp_path / 'nowhere.pt'}", out=tmp_path))
    assert told.value.attempt == "ticketsearch run model.weights=FILE.safetensors"
    with pytest.raises(UsageError, match="Is a directory"):
        compose([f"model.weights={tmp_path}"])


def test_a_librarys_own_names_will_do(tmp_path: Path) -> None:
    model = Torchvision("shufflenet_v2_x0_5")
    wanted = weights_of(model.initial(Digits(), 7))
    save_file({name.removeprefix("network."): tensor for name, tensor in wanted.items()}, tmp_path / "own.safetensors")
    save_file(wanted, tmp_path / "ours.safetensors")
    for name in ("own", "ours"):
        assert same(weights_of(begun(tmp_path / f"{name}.safetensors", model)), wanted)
