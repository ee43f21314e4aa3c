"""Calibration: by hand, against numpy's bins, and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from tests.metric import measure, random_case
from ticketsearch.metrics.calibration import (
    Calibration,
    brier_score,
    expected_calibration_error,
    static_calibration_error,
)


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
    assert brier_score(p, torch.tensor([0, 1])) == pytest.approx(0.8, abs=1e-12)
    assert brier_score(two_classes(0.0), torch.tensor([0])) == 2


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
    assert all(np.isfinite(value.value) for value in found.values())


def test_bins_are_settings() -> None:
    logits, labels = CASES[0]
    found = measure(Calibration(bins=7, released_bins=0), {"test": logits}, {"test": labels})
    p = softmax(logits)
    assert found["ece", "test", ""].value == pytest.approx(
        ece_by_digitize(p, labels.numpy(), np.linspace(0, 1, 8)), abs=1e-12
    )
    assert {variant for _, _, variant in found} == {""}


def test_each_split_has_its_own_values() -> None:
    (a, x), (b, y) = random_case(200, 10, 10, 5), random_case(300, 10, 10, 6)
    both = measure(Calibration(), {"val": a, "test": b}, {"val": x, "test": y})
    for split, logits, labels in (("val", a, x), ("test", b, y)):
        alone = measure(Calibration(), {"test": logits}, {"test": labels})
        assert {(n, v): o.value for (n, s, v), o in both.items() if s == split} == {
            (n, v): o.value for (n, _, v), o in alone.items()
        }
