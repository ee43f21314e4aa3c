"""Folders of pictures: every pixel beside Pillow and torchvision, which pictures are whose, and what is kept."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_here
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from ticketsearch.compose import compose
from ticketsearch.data import decoded, pictures
from ticketsearch.data.base import Split
from ticketsearch.data.decoded import Shaping
from ticketsearch.data.imagenet import ImageNet, TinyImageNet
from ticketsearch.data.pictures import ImageFolder
from ticketsearch.data.stored import ROOT
from ticketsearch.errors import DataMissing, UsageError

NAMES = ("Zebra", "ant", "bee")  # as folders are sorted, and as numbers count
SIDE = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded pictures are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ticketsearch" / "pictures"


def drawn(seed: object, width: int = SIDE, height: int = SIDE, channels: int = 3) -> np.ndarray:
    """Noise, uint8 [H, W, C], or [H, W] for one channel."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]))
    return rng.integers(0, 256, (height, width, channels), np.uint8).squeeze()


def put(root: Path, paths: Sequence[str]) -> None:
    """A picture of noise at each place."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(path)).save(root / path, format="PNG")


def tree(root: Path, part: str, each: int, names: Sequence[str] = NAMES) -> list[str]:
    """So many pictures in a folder for each class; their places."""
    paths = [f"{part}/{name}/{name}_{number}.png" for name in names for number in range(each)]
    put(root, paths)
    return paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six pictures of each of three classes to train on, and three to test on."""
    tree(tmp_path / "data", "train", 6)
    tree(tmp_path / "data", "val", 3)
    return tmp_path / "data"


def of(root: Path, **settings: object) -> ImageFolder:
    return ImageFolder(root=str(root), **{"classes": 3, "size": SIDE} | settings)


def assert_is(split: Split, paths: Sequence[str]) -> None:
    """The pictures of these places, in the order of their SHA-256."""
    ordered = sorted(paths, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert split.images.shape == (len(paths), 3, SIDE, SIDE)
    for image, label, path in zip(split.images, split.labels, ordered, strict=True):
        assert np.array_equal(image.numpy(), drawn(path).transpose(2, 0, 1)), path
        assert NAMES[int(label)] == path.split("/")[1]


# Which pictures.


def test_every_pixel_and_label_is_read(root: Path) -> None:
    found = of(root).load()
    assert_is(found.train, [f"train/{name}/{name}_{n}.png" for name in NAMES for n in range(6)])
    assert_is(found.test, [f"val/{name}/{name}_{n}.png" for name in NAMES for n in range(3)])
    assert len(found.val) == 0


def test_pictures_may_lie_deeper_and_other_files_are_none(root: Path) -> None:
    more = ["train/ant/images/a.PNG", "train/ant/images/more/b.png", "train/bee/c.jpg", "train/Zebra/d.JPEG"]
    put(root, [*more, "train/ant/.hidden.png", "train/.cache/e.png"])
    (root / "train/ant/boxes.txt").write_text("a.PNG 0 0 5 5\n")
    (root / "train/notes.md").write_text("no class")
    assert_is(of(root).load().train, [*tree(root, "train", 6), *more])


def test_a_folder_named_test_is_tested_on_and_then_val_is_not_read(root: Path) -> None:
    paths = tree(root, "test", 2)
    (root / "val/ant/broken.png").write_bytes(b"")
    assert_is(of(root).load().test, paths)


def test_validation_and_subset_are_of_all_classes(root: Path) -> None:
    # Sorted by class, the last pictures would be of one class only.
    tree(root, "train", 40)
    found = of(root, validation=30, subset=30).load()
    for split in (found.train, found.val):
        assert sorted(split.labels.unique().tolist()) == [0, 1, 2]


@pytest.mark.parametrize("settings", [{}, {"only": (2, 0)}, {"only": (0, 2), "test": 4}])
def test_what_is_not_asked_for_is_not_decoded(root: Path, settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, read = of(root, validation=2, **settings).load(), list[str]()
    monkeypatch.setattr(
        decoded, "image", lambda path, shaping, image=decoded.image: read.append(path.name) or image(path, shaping)
    )
    some = of(root, validation=2, subset=5, **settings).load()
    assert len(read) == 7  # the pictures of test are there already
    for part, count in (("train", 5), ("val", 2), ("test", None)):
        assert torch.equal(getattr(some, part).images, getattr(whole, part).images[:count])
        assert torch.equal(getattr(some, part).labels, getattr(whole, part).labels[:count])
    assert len(some.test) == settings.get("test", 9 if "only" not in settings else 6)


def test_more_images_than_there_are_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="18 training images cannot give 10 for validation and 9 to train on"):
        of(root, validation=10, subset=9).load()


def test_another_number_of_classes_is_refused_with_the_right_one(root: Path) -> None:
    with pytest.raises(UsageError) as caught:
        of(root, classes=10).load()
    assert caught.value.what == f"{root / 'train'} has 3 classes, not 10"
    assert caught.value.attempt == "ticketsearch run dataset.classes=3"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root / "train").rename(root / "training"), "No such file"),
        (lambda root: (root / "val").rename(root / "valid"), "No such file"),
        (lambda root: (root / "val/bee").rename(root / "val/wasp"), "val/wasp is no class of train"),
        (lambda root: [path.unlink() for path in (root / "train/ant").iterdir()], "train/ant has no pictures"),
    ],
)
def test_what_is_no_such_folder_is_told(root: Path, spoil: object, said: str) -> None:
    spoil(root)
    with pytest.raises(DataMissing) as caught:
        of(root).load()
    assert str(root) in caught.value.what
    assert said in caught.value.what
    assert "dataset.root" in caught.value.right


@pytest.mark.parametrize("folder", ["/etc", "..", "a/../../b"])
def test_the_folder_is_below_the_root(folder: str) -> None:
    with pytest.raises(UsageError, match="folder is one below root"):
        compose(["dataset=imagefolder", f"dataset.folder={folder}"])


@pytest.mark.parametrize("content", [b"", b"no picture", "cut", "flipped"])
def test_a_picture_that_cannot_be_read_is_named(root: Path, content: bytes | str, cache: Path) -> None:
    path = root / "train/bee/bee_3.png"
    whole = path.read_bytes()
    broken = {"cut": whole[:-30], "flipped": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]}
    path.write_bytes(content if isinstance(content, bytes) else broken[content])
    with pytest.raises(DataMissing, match="bee_3"):
        of(root).load()
    assert [file.name for file in cache.iterdir()] == []


# Pixels.


@pytest.mark.parametrize("method", ["box", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("width", "height"), [(8, 8), (31, 20), (20, 31), (64, 9), (5, 7), (31, 22), (30, 24)])
def test_squares_are_cut_as_torchvision_does(method: str, width: int, height: int) -> None:
    picture = Image.fromarray(drawn((width, height), width, height))
    found = Shaping(SIDE, True, method)(picture)
    wanted = CenterCrop(SIDE)(Resize(SIDE, InterpolationMode[method.upper()])(picture))
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_box_takes_the_mean_of_what_lies_beneath_a_pixel_whatever_the_aspect() -> None:
    columns = np.array([[0, 10, 20, 30], [2, 12, 22, 32]], np.uint8)  # two rows, four columns
    found = Shaping(2, False, "box")(Image.fromarray(columns))
    assert np.asarray(found).tolist() == [[5, 25], [7, 27]]
    cut = Shaping(2, True, "box")(Image.fromarray(columns))
    assert np.asarray(cut).tolist() == [[10, 20], [12, 22]]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_any_mode_become_colour(root: Path, mode: str) -> None:
    path = root / "train/bee" / ("odd.jpg" if mode == "CMYK" else "odd.png")
    Image.fromarray(drawn(mode)).convert(mode).save(path)
    wanted = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    found = of(root).load().train
    assert any(np.array_equal(image.numpy(), wanted) for image in found.images)
    assert len(found) == 19


# What is kept.


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that were decoded."""
    names, image = list[str](), decoded.image
    monkeypatch.setattr(decoded, "image", lambda path, shaping: names.append(path.name) or image(path, shaping))
    return names


def test_pictures_are_decoded_once(root: Path, read: list[str], cache: Path) -> None:
    prints = {of(root).load().fingerprint() for _ in range(3)}
    assert (len(prints), len(read)) == (1, 27)
    assert sorted(path.suffix for path in cache.iterdir()) == [".npy", ".npy", ".sha256", ".sha256"]


def test_many_are_decoded_in_parts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "CHUNK", 5)
    assert_is(of(root).load().train, tree(root, "train", 6))


def test_a_picture_that_changes_is_decoded_anew(root: Path, read: list[str]) -> None:
    before = of(root).load()
    Image.fromarray(drawn("other")).save(root / "val/bee/bee_1.png")
    after = of(root).load()
    assert len(read) == 27 + 9
    assert before.fingerprint() != after.fingerprint()
    assert int((before.test.images != after.test.images).flatten(1).any(1).sum()) == 1


@pytest.mark.parametrize("settings", [{"size": 16}, {"crop": False}, {"filter": "box"}])
def test_images_made_another_way_are_kept_apart(root: Path, read: list[str], settings: dict) -> None:
    of(root).load()
    of(root, **settings).load()
    assert len(read) == 54


def test_a_kept_file_that_is_damaged_is_made_again(root: Path, read: list[str], cache: Path) -> None:
    print_ = of(root).load().fingerprint()
    for file in cache.glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
    assert of(root).load().fingerprint() == print_
    assert len(read) == 54


def test_writing_to_images_does_not_reach_what_is_kept(root: Path) -> None:
    found = of(root).load()
    print_ = found.fingerprint()
    found.train.images.zero_()
    assert of(root).load().fingerprint() == print_


# Memory.


def test_more_images_than_memory_are_refused_with_what_fits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 18 and 9 images of 3 x 16 x 16 bytes, and the 18 again with two pixels more on each side: 20,736 + 21,600.
    monkeypatch.setattr(pictures, "memory", lambda: 42_336 * 4 // 3)
    of(root, size=16, pad=2).load()
    monkeypatch.setattr(pictures, "memory", lambda: 42_336 * 4 // 3 - 4)
    with pytest.raises(UsageError) as caught:
        of(root, size=16, pad=2).load()
    assert caught.value.what == "27 images of 16x16 take 42,336 bytes of memory, and 42,333 can be theirs"
    assert caught.value.right == "what fits: dataset.size=15 or dataset.subset=17"
    for fits in ({"size": 15}, {"size": 16, "subset": 17}):
        of(root, pad=2, **fits).load()


def test_what_would_have_to_be_smaller_than_images_may_be_is_not_offered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "memory", lambda: 2000)
    with pytest.raises(UsageError, match="what fits: nothing of this folder"):
        of(root, size=16).load()


def test_without_crops_there_is_no_second_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "memory", lambda: 27 * 3 * 256 * 4 // 3)
    of(root, size=16).load()


def test_the_memory_of_this_machine_is_some() -> None:
    assert 2**28 < pictures.memory() < 2**50


# Tiny ImageNet and ImageNet.


def labelled(root: Path, file: str, part: str, lines: Sequence[str]) -> list[str]:
    """Nine pictures without folders, and the file that says what they are."""
    paths = [f"{part}/pic_{number}.png" for number in range(9)]
    put(root, paths)
    (root / file).write_text("".join(f"{line}\n" for line in lines))
    return paths


def labels_by_place(split: Split, paths: Sequence[str]) -> dict[str, int]:
    ordered = sorted(paths, key=lambda path: hashlib.sha256(path.encode()).digest())
    assert all(
        np.array_equal(i.numpy(), drawn(p).transpose(2, 0, 1)) for i, p in zip(split.images, ordered, strict=True)
    )
    return {path.rpartition("/")[2]: int(label) for path, label in zip(ordered, split.labels, strict=True)}


def test_tiny_imagenet_is_tested_on_the_pictures_that_its_file_names(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    put(root, [f"train/{name}/images/{name}_{n}.JPEG" for name in NAMES for n in range(5)])
    lines = [f"pic_{n}.png\t{NAMES[n * n % 3]}\t0\t32\t44\t62" for n in range(9)]
    paths = labelled(root, "val/val_annotations.txt", "val/images", lines)
    found = TinyImageNet(root=str(tmp_path), classes=3, size=SIDE, validation=4).load()
    assert labels_by_place(found.test, paths) == {f"pic_{n}.png": n * n % 3 for n in range(9)}
    assert (len(found.train), len(found.val)) == (11, 4)


@pytest.mark.parametrize("numbers", [False, True])
def test_imagenet_is_tested_on_folders_or_on_what_its_file_names(tmp_path: Path, numbers: bool) -> None:
    root = tmp_path / "imagenet"
    tree(root, "train", 5)
    paths = labelled(
        root, "val.txt", "val", [f"pic_{n}.png {n * n % 3 if numbers else NAMES[n * n % 3]}" for n in range(9)]
    )
    dataset = ImageNet(root=str(tmp_path), classes=3, size=SIDE, validation=4)
    assert labels_by_place(dataset.load().test, paths) == {f"pic_{n}.png": n * n % 3 for n in range(9)}
    for path in paths:
        (root / path).unlink()
    paths = tree(root, "val", 2)
    assert_is(dataset.load().test, paths)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"pic_{n}.png 0" for n in range(8)], "pic_8.png is in one of val.txt and val/ only"),
        ([f"pic_{n}.png 0" for n in range(11)], "pic_10.png is in one of val.txt and val/ only, and so are 1 more"),
        ([f"pic_{n}.png {n}" for n in range(9)], "val.txt names 3, which is no class of train"),
        ([f"pic_{n}.png wasp" for n in range(9)], "val.txt names wasp, which is no class of train"),
        (["pic_0.png"], "not enough values"),
    ],
)
def test_a_file_of_labels_that_does_not_fit_is_refused(tmp_path: Path, lines: Sequence[str], said: str) -> None:
    tree(tmp_path / "imagenet", "train", 2)
    labelled(tmp_path / "imagenet", "val.txt", "val", lines)
    with pytest.raises(DataMissing, match=said):
        ImageNet(root=str(tmp_path), classes=3, size=SIDE, validation=1).load()


def test_the_yamls_are_what_their_heads_say() -> None:
    tiny, whole, any_ = (compose([f"dataset={name}"]).dataset for name in ("tiny_imagenet", "imagenet", "imagefolder"))
    assert (tiny, whole, any_) == (TinyImageNet(), ImageNet(), ImageFolder())
    assert [found.shape for found in (tiny, whole, any_)] == [(3, 64, 64)] * 3
    assert [found.classes for found in (tiny, whole)] == [200, 1000]
    assert [found.folder for found in (tiny, whole)] == ["tiny-imagenet-200", "imagenet"]
    assert (whole.crop, whole.filter, whole.pad, whole.flip) == (False, "box", 4, True)
    assert whole.mean == (0.485, 0.456, 0.406)
    assert whole.std == (0.229, 0.224, 0.225)


REAL = "tiny-imagenet-10"
"""Ten classes of Tiny ImageNet in its own folders: 250 pictures of each to train on, 50 to test on."""


def test_the_real_pictures_are_the_known_ones() -> None:
    folder = os.environ.get(ROOT)
    if not folder or not (Path(folder).expanduser() / REAL).is_dir():
        pytest.skip(f"no {REAL} in the folder of {ROOT}")
    place = Path(folder).expanduser() / REAL
    found = TinyImageNet(folder=REAL, classes=10, validation=50, subset=50).load()
    assert torch.bincount(found.test.labels).tolist() == [50] * 10
    annotated = dict(line.split()[:2] for line in (place / "val/val_annotations.txt").read_text().splitlines())
    names = (place / "wnids.txt").read_text().split()  # which has them in another order
    first = min(annotated, key=lambda name: hashlib.sha256(f"val/images/{name}".encode()).digest())
    assert sorted(names)[int(found.test.labels[0])] == annotated[first]
    with Image.open(place / "val/images" / first) as picture:  # 64x64 already: nothing is resized
        assert np.array_equal(found.test.images[0].permute(1, 2, 0).numpy(), np.asarray(picture.convert("RGB")))
    with pytest.raises(ValueError, match="2500 training images cannot give 2500 for validation"):
        TinyImageNet(folder=REAL, classes=10, validation=2500).load()


# Runs.


def id_of(line: str) -> str:
    return compose(line.split()).id


def test_the_id_knows_the_name_of_the_folder_and_not_where_it_is() -> None:
    anywhere = id_of("dataset=imagefolder")
    assert id_of("dataset=imagefolder dataset.root=/elsewhere") == anywhere
    others = ["folder=flowers", "classes=5", "size=32", "crop=false", "filter=box", "mean=[0.5,0.5,0.5]"]
    assert len({anywhere, *(id_of(f"dataset=imagefolder dataset.{other}") for other in others)}) == 7
    assert id_of("dataset=imagenet") == id_of("dataset=imagenet dataset.folder=ILSVRC2012")


def test_a_search_on_a_folder_and_on_another_with_the_same_settings(root: Path, tmp_path: Path) -> None:
    words = ["pruner=random", "dataset=imagefolder", f"dataset.root={root}", "dataset.classes=3", "dataset.size=8"]
    words += ["dataset.subset=16", "dataset.validation=2", "dataset.sample=3", "metrics=[accuracy]", "recipe.epochs=1"]
    words += ["schedule.rounds=1"]
    path, _ = run_here(tmp_path / "out", *words)
    assert (path / "seed-0/round-01/ticket.safetensors").is_file()
    put(root, ["train/ant/more.png"])
    with pytest.raises(DataMissing, match="was trained on other images"):
        run_here(tmp_path / "out", *words)
