"""Calibration: by hand, against numpy's bins, and against scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from tests.metric import measure, random_case
from ticketsearch.data.digits import Digits
from ticketsearch.metrics.bins import Bins, expected_calibration_error, static_calibration_error
from ticketsearch.metrics.calibration import NO_VALIDATION, Calibration, brier_score
from ticketsearch.metrics.temperature import HIGHEST, LOWEST, fitted_temperature


def two_classes(*first: float) -> Tensor:
    """Probabilities of class 0, completed to two classes."""
    return torch.tensor([[p, 1 - p] for p in first], dtype=torch.float64)


def softmax(logits: Tensor) -> np.ndarray:
    z = logits.numpy().astype(np.float64)
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def test_ece_of_four_images_by_hand() -> None:
    # Five bins. Confidences 0.9 right | 0.7 wrong, 0.75 right | 0.55 wrong:
    # (|1 - 0.9| + |1 - 1.45| + |0 - 0.55|) / 4 = 1.1 / 4.
    p, labels = two_classes(0.9, 0.3, 0.75, 0.45), torch.tensor([0, 0, 0, 0])
    assert expected_calibration_error(p, labels, 5) == pytest.approx(0.275, abs=1e-12)


def test_bins_are_closed_above_and_open_below() -> None:
    # Five bins, so 0.6 is an edge. With 0.55 it shares (0.4, 0.6]: |1 - 1.15| / 2. From 0.65 it is apart.
    assert expected_calibration_error(two_classes(0.6, 0.55), torch.tensor([0, 1]), 5) == pytest.approx(0.075)
    assert expected_calibration_error(two_classes(0.6, 0.65), torch.tensor([0, 1]), 5) == pytest.approx(0.525)


def test_certainty_is_in_the_last_bin_and_zero_in_the_first() -> None:
    p = two_classes(1.0, 0.95)
    assert expected_calibration_error(p, torch.tensor([1, 0]), 10) == pytest.approx(0.95 / 2)  # |1 - 1.95|
    # SCE bins every class: class 0 as above, class 1 has 0 and 0.05 in the first bin, |1 - 0.05|.
    assert static_calibration_error(p, torch.tensor([1, 0]), 10) == pytest.approx((0.95 + 0.95) / 4)


def test_ece_edges() -> None:
    perfect = two_classes(1.0, 1.0, 0.0)
    assert expected_calibration_error(perfect, torch.tensor([0, 0, 1]), 15) == 0
    assert expected_calibration_error(perfect, torch.tensor([1, 1, 0]), 15) == 1


def test_sce_of_four_images_by_hand() -> None:
    # Two bins. Class 0: {0.3, 0.1} none of class 0, |0 - 0.4|; {0.8, 0.6} one, |1 - 1.4|.
    # Class 1: {0.2, 0.4} one, |1 - 0.6|; {0.7, 0.9} two, |2 - 1.6|. 1.6 / (4 images x 2 classes).
    p, labels = two_classes(0.8, 0.6, 0.3, 0.1), torch.tensor([0, 1, 1, 1])
    assert static_calibration_error(p, labels, 2) == pytest.approx(0.2, abs=1e-12)


def test_brier_by_hand() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
    # (0.09 + 0.04 + 0.01 + 0.01 + 0.81 + 0.64) / 2
    assert float(brier_score(p, torch.tensor([0, 1])).mean()) == pytest.approx(0.8, abs=1e-12)
    assert float(brier_score(two_classes(0.0), torch.tensor([0]))) == 2


def ece_by_digitize(p: np.ndarray, labels: np.ndarray, edges: np.ndarray) -> float:
    """The released computation: sum over bins of |sum of (right - confidence)|, over N."""
    place = np.digitize(p.max(1), edges, right=True)
    gap = (p.argmax(1) == labels) - p.max(1)
    return sum(abs(gap[place == b].sum()) for b in np.unique(place)) / len(labels)


CASES = [
    random_case(2003, classes, present, seed) for seed, (classes, present) in enumerate([(10, 8), (2, 2), (100, 60)])
]


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
def test_ece_agrees_with_numpy_in_both_conventions(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    found = measure(Calibration(), {"test": logits}, {"test": labels})
    p = softmax(logits)
    released = ece_by_digitize(p, labels.numpy(), np.linspace(0, 1, 15))  # 15 edges: 14 bins
    assert found["ece", "test", "bins-14"].value == pytest.approx(released, abs=1e-12)
    assert found["ece", "test", ""].value == pytest.approx(
        ece_by_digitize(p, labels.numpy(), np.linspace(0, 1, 16)), abs=1e-12
    )
    assert abs(found["ece", "test", ""].value - released) > 1e-6  # the conventions differ


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
def test_sce_agrees_with_numpy(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    p, edges, total = softmax(logits), np.linspace(0, 1, 16), 0.0
    for c in range(p.shape[1]):
        place = np.clip(np.digitize(p[:, c], edges, right=True), 1, 15)  # a probability of 0 is in the first bin
        gap = (labels.numpy() == c) - p[:, c]
        total += sum(abs(gap[place == b].sum()) for b in range(1, 16))
    found = measure(Calibration(), {"test": logits}, {"test": labels})["sce", "test", ""].value
    assert found == pytest.approx(total / p.size, abs=1e-12)


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
def test_nll_agrees_with_scikit_learn_and_brier_with_numpy(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    p, classes = softmax(logits), range(logits.shape[1])
    found = measure(Calibration(), {"test": logits}, {"test": labels})
    assert found["nll", "test", ""].value == pytest.approx(log_loss(labels, p, labels=classes), rel=1e-12)
    brier = ((p - np.eye(len(classes))[labels.numpy()]) ** 2).sum(1).mean()
    assert found["brier", "test", ""].value == pytest.approx(brier, rel=1e-12)


def test_brier_of_two_classes_is_twice_the_one_of_the_positive_class() -> None:
    logits, labels = CASES[1]
    once = brier_score_loss(labels.numpy(), softmax(logits)[:, 1])
    assert measure(Calibration(), {"test": logits}, {"test": labels})["brier", "test", ""].value == pytest.approx(
        2 * once
    )


@pytest.mark.parametrize(
    ("row", "label", "nll"),
    [([0.0, -1000.0], 1, 1000.0), ([1e4, 0.0], 1, 1e4), ([3e38, -3e38], 1, 6e38), ([1e4, 0.0], 0, 0.0)],
)
def test_nll_of_extreme_logits_is_finite(row: list[float], label: int, nll: float) -> None:
    # The logarithm of a float32 softmax would be -inf.
    found = measure(Calibration(), {"test": torch.tensor([row])}, {"test": torch.tensor([label])})
    assert found["nll", "test", ""].value == pytest.approx(nll, rel=1e-6)
    assert all(np.isfinite(value.value) for value in found.values() if not value.skipped)


def test_bins_are_settings() -> None:
    logits, labels = CASES[0]
    found = measure(Calibration(bins=7, released_bins=0), {"test": logits}, {"test": labels})
    p = softmax(logits)
    assert found["ece", "test", ""].value == pytest.approx(
        ece_by_digitize(p, labels.numpy(), np.linspace(0, 1, 8)), abs=1e-12
    )
    assert "bins-14" not in {variant for _, _, variant in found}
    assert {variant for name, _, variant in found if name == "bin_share"} == {f"bin-{n:02d}" for n in range(1, 8)}


def test_each_split_has_its_own_values() -> None:
    (a, x), (b, y) = random_case(200, 10, 10, 5), random_case(300, 10, 10, 6)
    both = measure(Calibration(), {"val": a, "test": b}, {"val": x, "test": y})
    for split, logits, labels in (("val", a, x), ("test", b, y)):
        alone = measure(Calibration(), {"test": logits}, {"test": labels})
        for name, variant in [(n, v) for n, s, v in both if s == split == "val" and n != "temperature"] + [("ece", "")]:
            assert both[name, split, variant].value == alone[name, "test", variant].value


def test_bins_of_equal_mass_by_hand() -> None:
    # Sorted 0.1 | 0.3 0.4 0.9: five images in three bins are 2, 2 and 1.
    p, right = torch.tensor([0.9, 0.1, 0.4, 0.3, 0.2]).double(), torch.tensor([True, False, True, False, False])
    bins = Bins.equal_mass(p, right, 3)
    assert bins.count.tolist() == [2, 2, 1]
    assert bins.stated.tolist() == pytest.approx([0.3, 0.7, 0.9])
    assert bins.right.tolist() == [0, 1, 1]
    assert float(bins.error) == pytest.approx((0.3 + 0.3 + 0.1) / 5)


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
def test_adaptive_errors_agree_with_numpy(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    p, y = softmax(logits), labels.numpy()

    def error(stated: np.ndarray, right: np.ndarray) -> float:
        order = np.argsort(stated, kind="stable")
        return sum(abs((right[part] - stated[part]).sum()) for part in np.array_split(order, 15)) / len(y)

    found = measure(Calibration(), {"test": logits}, {"test": labels})
    top, each = error(p.max(1), p.argmax(1) == y), [error(p[:, c], y == c) for c in range(p.shape[1])]
    assert found["ece", "test", "adaptive"].value == pytest.approx(top, abs=1e-12)
    assert found["sce", "test", "adaptive"].value == pytest.approx(np.mean(each), abs=1e-12)


def test_ece_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = CASES[0]
    theirs = multiclass_calibration_error(logits.double().softmax(1), labels, 10, n_bins=15, norm="l1")
    found = measure(Calibration(), {"test": logits}, {"test": labels})["ece", "test", ""].value
    assert found == pytest.approx(float(theirs), abs=1e-6)  # theirs is float32


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
def test_the_diagram_is_scikit_learns(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    p = softmax(logits)
    right, top = p.argmax(1) == labels.numpy(), p.max(1)
    accuracy, confidence = calibration_curve(right, top, n_bins=15)
    found = measure(Calibration(), {"test": logits}, {"test": labels})
    told = {n: [o for (name, _, _), o in found.items() if name == n] for n in ("bin_accuracy", "bin_confidence")}
    assert [o.value for o in told["bin_accuracy"]] == pytest.approx(accuracy, abs=1e-12)
    assert [o.value for o in told["bin_confidence"]] == pytest.approx(confidence, abs=1e-12)
    share = np.histogram(top, np.linspace(0, 1, 16))[0] / len(top)
    assert [o.value for (name, _, _), o in found.items() if name == "bin_share"] == pytest.approx(share)
    for value, part in zip(told["bin_accuracy"], share[share > 0], strict=True):
        assert value.stderr == pytest.approx(np.sqrt(value.value * (1 - value.value) / (part * len(top))))


def test_standard_errors_of_the_proper_scores_are_those_of_means() -> None:
    logits, labels = CASES[0]
    p, y = softmax(logits), labels.numpy()
    each = {"nll": -np.log(p[np.arange(len(y)), y]), "brier": ((p - np.eye(10)[y]) ** 2).sum(1)}
    found = measure(Calibration(), {"test": logits}, {"test": labels})
    for name, scores in each.items():
        assert found[name, "test", ""].stderr == pytest.approx(scores.std(ddof=1) / np.sqrt(len(y)), rel=1e-9)


def nll_at(temperature: float, logits: Tensor, labels: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double() / temperature, labels))


@pytest.mark.parametrize("case", CASES, ids=["ten", "two", "hundred"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_the_temperature_has_the_smallest_nll_that_scipy_finds(case: tuple[Tensor, Tensor], scale: float) -> None:
    logits, labels = case[0] * scale, case[1]
    found = fitted_temperature(logits, labels)
    theirs = minimize_scalar(lambda log_t: nll_at(np.exp(log_t), logits, labels), bounds=(-4, 4), method="bounded")
    assert nll_at(found, logits, labels) <= theirs.fun + 1e-12
    assert found == pytest.approx(np.exp(theirs.x), rel=1e-3)  # around a minimum scipy sees half of the digits


def test_the_temperature_of_two_images_by_hand() -> None:
    # Margin 2, right three times of four: sigmoid(2 / T) = 3 / 4, so T = 2 / log 3.
    logits = torch.tensor([[2.0, 0.0]] * 4)
    assert fitted_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(2 / np.log(3), rel=1e-12)


def test_temperatures_end_somewhere() -> None:
    sure = torch.tensor([[5.0, 0.0]])
    assert fitted_temperature(sure, torch.tensor([0])) == pytest.approx(LOWEST)  # always right: never sure enough
    assert fitted_temperature(sure, torch.tensor([1])) == pytest.approx(HIGHEST)


def test_the_temperature_is_fitted_on_validation_and_applied_to_test() -> None:
    (a, x), (b, y) = random_case(400, 10, 10, 5), random_case(300, 10, 10, 6)
    found = measure(Calibration(), {"val": 3 * a, "test": b}, {"val": x, "test": y})
    temperature = fitted_temperature(3 * a, x)
    assert found["temperature", "val", ""].value == temperature > 2  # it was made three times too sure
    plain = measure(Calibration(), {"test": b / temperature}, {"test": y})
    for name in ("nll", "brier", "ece"):
        assert found[name, "test", "tempered"].value == pytest.approx(plain[name, "test", ""].value, rel=1e-5)


def test_without_validation_there_is_no_temperature() -> None:
    logits, labels = CASES[0]
    found = measure(Calibration(), {"test": logits}, {"test": labels})
    skipped = {key for key, value in found.items() if value.skipped}
    assert skipped == {("temperature", "val", ""), *((n, "test", "tempered") for n in ("nll", "brier", "ece"))}
    assert {value.skipped for value in found.values()} == {"", NO_VALIDATION}
    assert Calibration().lacks(Digits(validation=0)) == {NO_VALIDATION}
    assert Calibration().lacks(Digits()) == frozenset()
