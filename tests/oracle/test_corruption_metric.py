"""Errors under corruption: against a plain loop, with the published files, and what is skipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import DATASET, magnitude_mask, network
from ticketsearch.compose import compose
from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.data.corruptions import EXTRA, KINDS, corrupt
from ticketsearch.data.mnist import Mnist
from ticketsearch.errors import UsageError
from ticketsearch.metrics import sweep
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.bins import expected_calibration_error
from ticketsearch.metrics.corruption import Corruption
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.training.predict import predict

Found = dict[tuple[str, str], Value]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TICKETSEARCH_DATA", raising=False)


def measured(metric: Corruption, model: nn.Module, data: Data, dataset: Dataset = DATASET) -> Found:
    ctx = EvalContext(magnitude_mask(model, 0.5), {}, None, lambda split: predict(model, split), dataset)
    values = metric(model.eval(), data, ctx)
    return {(value.name, value.variant): value for value in values}


def digits(count: int = 60) -> Data:
    data = DATASET.load()
    return Data(data.train, data.val, data.test[:count])


@pytest.mark.parametrize("kind", ["gaussian_noise", "fog", "pixelate"])
def test_values_are_those_of_a_plain_loop(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "native_dtype", lambda _: torch.float32)
    data, model = digits(), network()
    found = measured(Corruption(kinds=(kind,), severities=(2, 5), images=50), model, data)
    wrong = []
    for severity in (2, 5):
        with torch.no_grad():
            images = corrupt(data.test.images[:50], kind, severity, "cifar")
            logits = model(images / 255).double()
        labels = data.test.labels[:50]
        wrong.append((logits.argmax(1) != labels).double())
        nll = F.cross_entropy(logits, labels, reduction="none").numpy()
        error = found["corruption_error", f"{kind}-{severity}"]
        assert error.value == float(wrong[-1].mean())
        assert error.stderr == pytest.approx(np.sqrt(error.value * (1 - error.value) / 50))
        stated = found["corruption_nll", f"{kind}-{severity}"]
        assert stated.value == pytest.approx(nll.mean(), rel=1e-4)
        assert stated.stderr == pytest.approx(nll.std() / np.sqrt(50), rel=1e-3)
        ece = expected_calibration_error(logits.softmax(1), labels, 15)
        assert found["corruption_ece", f"{kind}-{severity}"].value == pytest.approx(ece, abs=1e-4)
    mean = found["corruption_error", ""]
    each = torch.stack(wrong).mean(0)
    assert mean.value == pytest.approx(float(each.mean()))
    assert mean.stderr == pytest.approx(float(each.std(correction=0)) / np.sqrt(50))
    difference = found["sweep_difference", "float32"]
    assert 0 <= difference.value < 1e-4


def test_all_fifteen_are_the_default_and_frost_without_pictures_says_so() -> None:
    found = measured(Corruption(severities=(3,), images=20), network(), digits(20))
    kinds = {variant.removesuffix("-3") for name, variant in found if name == "corruption_error" and variant}
    assert kinds == {*KINDS, "procedural_frost", "clean"} - {"frost"}


def test_the_clean_error_is_that_of_the_same_images() -> None:
    data, model = digits(60), network()
    found = measured(Corruption(kinds=("fog",), severities=(1,), images=25), model, data)
    right = predict(model, data.test).argmax(1) == data.test.labels
    assert found["corruption_error", "clean"].value == pytest.approx(1 - float(right[:25].double().mean()))
    assert found["corruption_error", ""].value == found["corruption_error", "fog-1"].value


def test_frost_with_pictures_is_frost(tmp_path: Path) -> None:
    from PIL import Image

    noise = np.random.default_rng(0)
    (tmp_path / "frost").mkdir()
    for number, suffix in enumerate(("png", "png", "png", "jpg", "jpg", "jpg"), 1):
        Image.fromarray(noise.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(
            tmp_path / "frost" / f"frost{number}.{suffix}"
        )
    dataset = type(DATASET)(subset=150, validation=50, root=str(tmp_path))
    metric = Corruption(kinds=("frost",), severities=(1,), images=20)
    found = measured(metric, network(), digits(20), dataset)
    assert ("corruption_error", "frost-1") in found
    kinds = {metric.suited(each).frost for each in (dataset, DATASET)}
    assert "grown" in kinds  # settings of the two differ, so their rows are never mixed
    assert len(kinds) == 2
    (tmp_path / "frost" / "frost3.png").unlink()
    assert metric.lacks(dataset) == {"frost pictures are missing: frost3.png"}


def test_what_makes_no_sense_is_skipped_with_the_reason() -> None:
    metric = Corruption(kinds=("saturate", "fog"), severities=(1,), images=20)
    found = measured(metric, network(), digits(20))
    assert "one channel has no hue" in found["corruption_error", "saturate-1"].skipped
    assert {found["corruption_error", "saturate-1"].skipped} == metric.lacks(DATASET)
    assert found["corruption_error", ""].value == found["corruption_error", "fog-1"].value
    alone = measured(Corruption(kinds=("saturate",), severities=(1,), images=20), network(), digits(20))
    assert alone["corruption_error", ""].skipped


def published(folder: Path, images: Tensor, labels: Tensor) -> None:
    """One kind in the published form; severity s has every pixel at 40 s."""
    folder.mkdir(parents=True)
    shape = (len(images), *images.permute(0, 2, 3, 1).shape[1:])
    np.save(folder / "fog.npy", np.concatenate([np.full(shape, 40 * s, np.uint8) for s in range(1, 6)]))
    np.save(folder / "labels.npy", np.tile(labels.numpy(), 5))


def test_published_files_are_looked_at_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "native_dtype", lambda _: torch.float32)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (30, 3, 32, 32), generator=rng).to(torch.uint8)
    split = Split(images, torch.randint(10, (30,), generator=rng))
    dataset = Cifar10(root=str(tmp_path))
    model = SmallImageResNet(depth=8, width=4).initial(dataset, 0).eval()
    metric = Corruption(kinds=("fog", "snow"), severities=(2,), images=25, files=True)
    published(tmp_path / "CIFAR-10-C", images, split.labels)
    found = measured(metric, model, Data(split, split, split), dataset)
    logits = predict(model, Split(torch.full((25, 3, 32, 32), 80, dtype=torch.uint8), split.labels[:25]))
    expected = float((logits.argmax(1) != split.labels[:25]).double().mean())
    assert found["corruption_error", "fog-2"].value == expected
    assert metric.lacks(dataset) == {found["corruption_error", "snow-2"].skipped}
    assert found["corruption_error", "snow-2"].skipped == "CIFAR-10-C/snow.npy is not in the folder of datasets"
    np.save(tmp_path / "CIFAR-10-C" / "labels.npy", np.tile((split.labels.numpy() + 1) % 10, 5))
    with pytest.raises(ValueError, match="of other test images"):
        measured(metric, model, Data(split, split, split), dataset)


def test_other_datasets_have_no_published_files() -> None:
    for dataset in (DATASET, Mnist(), Cifar10(only=(1, 2))):
        [reason] = Corruption(files=True).lacks(dataset)
        assert "there are published ones of all classes of CIFAR-10 and CIFAR-100" in reason


def test_kinds_are_known_and_listed_once() -> None:
    for typed in ("metrics.corruption.kinds=[fogg]", "metrics.corruption.kinds=[fog,fog]"):
        with pytest.raises(UsageError):
            compose(["metrics=[corruption]", typed])
    with pytest.raises(UsageError):
        compose(["metrics=[corruption]", "metrics.corruption.severities=[6]"])
    assert set(EXTRA).isdisjoint(KINDS)


def test_the_datasets_sample_is_how_many_are_looked_at() -> None:
    assert compose(["metrics=[corruption]"]).metrics["corruption"].images == 200
    assert compose(["metrics=[corruption]", "dataset=cifar10"]).metrics["corruption"].images == 2000
    assert compose(["metrics=[corruption]", "dataset.sample=70"]).metrics["corruption"].images == 70
    assert compose(["metrics=[corruption]", "metrics.corruption.images=50"]).metrics["corruption"].images == 50
