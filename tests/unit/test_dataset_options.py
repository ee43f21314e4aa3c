"""What any dataset can be asked for: some of its classes, and wrong labels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from commands import run_here
from scipy.stats import chi2

import ticketsearch
from tests.tiny import network, same, weights_of
from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.data.base import Dataset, Split
from ticketsearch.data.digits import Digits
from ticketsearch.models.lenet import LeNet5, LeNet300
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.models.vgg import SmallImageVGG

EVERYTHING = Digits(validation=0).load()
PARTS = ("train", "val", "test")


def assert_same(one: Split, other: Split) -> None:
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)


# `only`


def of_classes(split: Split, only: tuple[int, ...]) -> Split:
    """One image after the other."""
    found = [(split.images[i], only.index(int(y))) for i, y in enumerate(split.labels) if int(y) in only]
    return Split(torch.stack([image for image, _ in found]), torch.tensor([label for _, label in found]))


@pytest.mark.parametrize("only", [(3, 7), (7, 3), (9, 0, 4), (1, 0, 2, 3, 4, 5, 6, 7, 8, 9)])
def test_classes_are_numbered_in_the_order_given_and_the_last_of_them_validate(only: tuple[int, ...]) -> None:
    train, test = of_classes(EVERYTHING.train, only), of_classes(EVERYTHING.test, only)
    found = Digits(validation=40, only=only).load()
    assert_same(found.train, train[:-40])
    assert_same(found.val, train[-40:])
    assert_same(found.test, test)
    assert found.train.labels.dtype == torch.int64
    assert sorted(found.test.labels.unique().tolist()) == list(range(len(only)))


def test_all_classes_in_their_order_change_no_image() -> None:
    assert Digits(only=tuple(range(10))).load().fingerprint() == Digits().load().fingerprint()


def test_a_subset_counts_images_of_the_classes_kept() -> None:
    whole, some = Digits(validation=40, only=(7, 3)).load(), Digits(validation=40, only=(7, 3), subset=50).load()
    assert_same(some.train, whole.train[:50])
    assert_same(some.val, whole.val)


def test_validation_and_subset_must_fit_into_the_classes_kept() -> None:
    count = len(of_classes(EVERYTHING.train, (7, 3)))
    assert len(Digits(validation=count - 1, only=(7, 3)).load().train) == 1
    with pytest.raises(ValueError, match=f"{count} training images cannot give {count} for validation"):
        Digits(validation=count, only=(7, 3)).load()
    with pytest.raises(ValueError, match=f"{count} training images cannot give 40 for validation and {count - 39} to"):
        Digits(validation=40, only=(7, 3), subset=count - 39).load()


@pytest.mark.parametrize("model", [SmallImageResNet(8, 4), SmallImageVGG(width=2), LeNet300(), LeNet5()], ids=str)
@pytest.mark.parametrize("only", [None, (7, 3), (0, 1, 2)])
def test_a_model_tells_as_many_classes_apart(model: object, only: tuple[int, ...] | None) -> None:
    dataset = Digits(only=only)
    built = model.initial(dataset, 0)
    assert built(torch.zeros(2, 1, 8, 8)).shape == (2, dataset.outputs) == (2, 10 if only is None else len(only))


def test_the_layers_before_the_classifier_start_as_with_every_class() -> None:
    whole, some = (weights_of(SmallImageResNet(8, 4).initial(Digits(only=only), 0)) for only in (None, (7, 3)))
    assert same(whole, weights_of(network()))
    shapes = {name for name in whole if whole[name].shape != some[name].shape}
    assert shapes == {"fc.weight", "fc.bias"}


def test_a_run_of_two_classes(tmp_path: Path) -> None:
    run, _ = run_here(
        tmp_path / "out", "pruner=lth", "dataset.only=[7,3]", "dataset.validation=40", "schedule.rounds=1"
    )
    built, _ = ticketsearch.load(run, seed=0, round=1)
    assert built.fc.out_features == 2
    rows = ticketsearch.load_results(tmp_path / "out")
    chosen = (rows.run == run.name) & (rows["round"] == 1) & (rows.split == "test") & (rows.family == "accuracy")
    found = rows[chosen]
    test = of_classes(EVERYTHING.test, (7, 3))
    right = (built.eval()(test.images / 255).argmax(1) == test.labels).double()
    (accuracy,) = found[(found.metric == "accuracy") & (found.variant == "")].value
    assert accuracy == pytest.approx(float(right.mean()))
    classes = found[found.metric == "class_accuracy"].set_index("variant").value.to_dict()
    assert classes == pytest.approx({f"class-{c}": float(right[test.labels == c].mean()) for c in (0, 1)})


REFUSED = ["[3]", "[]", "[3,3]", "[3,7,3]", "[3,10]", "[-1,3]", "[3,7.5]", "3", "[three,seven]"]


@pytest.mark.parametrize("only", REFUSED)
def test_impossible_classes_are_refused(only: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", f"dataset.only={only}", f"out={tmp_path / 'out'}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "only" in lines[0]
    assert lines[2].startswith("  try: ticketsearch run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("noise", ["1", "1.5", "-0.1", "nan", "much"])
def test_impossible_shares_of_noise_are_refused(noise: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", f"dataset.label_noise={noise}", f"out={tmp_path / 'out'}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), f"dataset.label_noise={noise}" in lines[0]) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_the_classes_and_the_noise_are_in_the_id() -> None:
    lines = ["only=null", "only=[3,7]", "only=[7,3]", "only=[3,7,8]", "label_noise=0.1", "label_noise=0.2"]
    ids = {line: compose([f"dataset.{line}"]).id for line in lines}
    assert len(set(ids.values())) == len(lines)
    assert ids["only=null"] == compose().id == compose(["dataset.label_noise=0.0"]).id


# `label_noise`


@dataclass(frozen=True)
class Made(Dataset):
    """As many images of 1x1 as there are in CIFAR-10, their labels at random."""

    shape: ClassVar[tuple[int, int, int]] = (1, 1, 1)
    classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.5,)
    std: ClassVar[tuple[float, ...]] = (0.5,)

    def read(self) -> tuple[Split, Split]:
        labels = torch.from_numpy(np.random.default_rng(0).integers(0, self.classes, 60_000))
        images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (60_000, 1, 1, 1), np.uint8))
        everything = Split(images, labels)
        return everything[:50_000], everything[50_000:]


def unlikely(degrees: int) -> float:
    """What a chi-square statistic exceeds once in a million. The draws are the same each time, so a test either
    passes for ever or was that unlucky once.
    """
    return float(chi2.isf(1e-6, degrees))


@pytest.mark.parametrize("noise", [0.001, 0.2, 1 / 3, 0.5, 0.999])
@pytest.mark.parametrize("subset", [None, 7, 1000])
def test_exactly_as_many_labels_as_asked_for_are_wrong(noise: float, subset: int | None) -> None:
    clean, noisy = (Digits(subset=subset, label_noise=share).load() for share in (0.0, noise))
    assert torch.equal(clean.train.images, noisy.train.images)
    wrong = noisy.train.labels != clean.train.labels
    assert int(wrong.sum()) == round(noise * len(clean.train))
    assert 0 <= int(noisy.train.labels.min()) <= int(noisy.train.labels.max()) <= 9
    for part in ("val", "test"):
        assert_same(getattr(clean, part), getattr(noisy, part))


def test_every_other_class_is_as_likely() -> None:
    clean, noisy = Made(validation=5000).load().train, Made(validation=5000, label_noise=0.4).load().train
    table = np.zeros((10, 10))
    np.add.at(table, (clean.labels.numpy(), noisy.labels.numpy()), 1)
    others = table[~np.eye(10, dtype=bool)].reshape(10, 9)  # of each class, how many became which other
    assert others.sum() == 0.4 * 45_000
    expected = others.sum(1, keepdims=True) / 9
    assert ((others - expected) ** 2 / expected).sum() < unlikely(10 * 8)


def test_every_image_is_as_likely_to_have_a_wrong_label() -> None:
    clean, noisy = Made(validation=5000).load().train, Made(validation=5000, label_noise=0.4).load().train
    wrong = (clean.labels != noisy.labels).numpy()
    for groups in (np.arange(45_000) // 450, clean.labels.numpy()):
        counts, sizes = np.bincount(groups, wrong), np.bincount(groups)
        # So many of a group without replacement: the variance of a binomial, less the share that is drawn in all.
        statistic = ((counts - 0.4 * sizes) ** 2 / (0.4 * 0.6 * sizes)).sum()
        assert statistic < unlikely(len(sizes) - 1)


def test_with_two_classes_the_other_one_is_meant() -> None:
    clean, noisy = (Digits(only=(7, 3), validation=40, label_noise=share).load().train for share in (0.0, 0.25))
    wrong = clean.labels != noisy.labels
    assert int(wrong.sum()) == round(0.25 * len(clean))
    assert torch.equal(noisy.labels[wrong], 1 - clean.labels[wrong])


def test_the_noise_is_a_function_of_nothing_but_the_dataset() -> None:
    before, found = torch.get_rng_state(), Digits(label_noise=0.3).load()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert Digits(label_noise=0.3).load().fingerprint() == found.fingerprint()


def test_seeds_share_the_noise_and_the_fingerprint_knows_it(tmp_path: Path) -> None:
    words = ("pruner=dense", "dataset.label_noise=0.3", "recipe.epochs=1")
    run_here(tmp_path / "one", *words, "replicates=2")
    run_here(tmp_path / "clean", "pruner=dense", "recipe.epochs=1")
    prints = [{about["data"] for about in every(tmp_path / name)} for name in ("one", "clean")]
    assert [len(every(tmp_path / name)) for name in ("one", "clean")] == [2, 1]
    assert prints[0] == {Digits(subset=100, label_noise=0.3).load().fingerprint()}
    assert prints[0] != prints[1]


def every(out: Path) -> list[dict[str, str]]:
    """What each committed cell says of itself."""
    return [json.loads(path.read_text()) for path in out.glob("*/seed-*/round-*/manifest.json")]


def test_other_shares_are_other_data() -> None:
    prints = [Digits(label_noise=share).load().fingerprint() for share in (0.0, 0.1, 0.2)]
    prints.append(Digits(only=(3, 7)).load().fingerprint())
    prints.append(Digits(only=(7, 3)).load().fingerprint())
    assert len(set(prints)) == 5


@pytest.mark.parametrize(("test", "left"), [(1, 1), (120, 120), (397, 397), (1000, 397)])
def test_the_first_test_images_are_looked_at_and_no_others(test: int, left: int) -> None:
    whole, some = Digits().load(), Digits(test=test).load()
    assert_same(some.test, whole.test[:left])
    assert_same(some.train, whole.train)
    assert_same(some.val, whole.val)


def test_they_are_those_of_the_classes_that_are_wanted_and_part_of_the_id() -> None:
    assert_same(Digits(test=20, only=(7, 3)).load().test, Digits(only=(7, 3)).load().test[:20])
    assert compose(["dataset.test=20"]).id != compose([]).id
