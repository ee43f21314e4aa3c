"""The accuracy family: by hand, and against numpy and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, recall_score
from torch import Tensor

from tests.metric import measure, random_case
from ticketsearch.data.base import Split
from ticketsearch.metrics.accuracy import Accuracy
from ticketsearch.training.predict import BATCH, predict

# Five images of four classes; class 3 is absent. Predicted: 0, 1, 1, 2, 3. Right: images 0, 2, 3.
LABELS = torch.tensor([0, 0, 1, 2, 2])
LOGITS = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 2, 3]), 4).float() * 2
DENSE = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 3, 3]), 4).float()


def test_five_images_by_hand() -> None:
    found = measure(Accuracy(), {"test": LOGITS}, {"test": LABELS}, {"test": DENSE})
    values = {name + variant: value.value for (name, _, variant), value in found.items()}
    right, wrong = math.log(math.e**2 + 3) - 2, math.log(math.e**2 + 3)
    assert values == pytest.approx(
        {
            "accuracy": 0.6,
            "loss": (3 * right + 2 * wrong) / 5,
            "worst_class_accuracy": 0.5,
            "disagreement": 0.4,  # images 1 and 3
            "majority_share": 0.4,
            "class_accuracyclass-0": 0.5,
            "class_accuracyclass-1": 1.0,
            "class_accuracyclass-2": 0.5,  # and no row for the absent class
        },
        abs=1e-12,
    )
    assert found["accuracy", "test", ""].stderr == pytest.approx(math.sqrt(0.6 * 0.4 / 5), abs=1e-12)
    assert found["majority_share", "test", ""].stderr == pytest.approx(math.sqrt(0.4 * 0.6 / 5), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_scikit_learn(seed: int) -> None:
    logits, labels = random_case(1003, 10, 8, seed)
    dense, _ = random_case(1003, 10, 8, seed + 10)
    found = measure(Accuracy(), {"test": logits}, {"test": labels}, {"test": dense})
    predicted, truth = logits.numpy().argmax(1), labels.numpy()
    p = np.exp(logits.numpy().astype(np.float64))
    recalls = recall_score(truth, predicted, average=None, labels=range(8), zero_division=np.nan)
    wanted = {
        ("accuracy", ""): accuracy_score(truth, predicted),
        ("loss", ""): log_loss(truth, p / p.sum(1, keepdims=True), labels=range(10)),
        ("worst_class_accuracy", ""): recalls.min(),
        ("disagreement", ""): np.mean(predicted != dense.numpy().argmax(1)),
        ("majority_share", ""): np.bincount(truth).max() / 1003,
        **{("class_accuracy", f"class-{c}"): recall for c, recall in enumerate(recalls)},
    }
    assert {(n, v): value.value for (n, _, v), value in found.items()} == pytest.approx(wanted, abs=1e-12)


def test_the_dense_model_does_not_disagree_with_itself() -> None:
    assert measure(Accuracy(), {"test": LOGITS}, {"test": LABELS})["disagreement", "test", ""].value == 0


def test_each_split_is_measured_against_its_own_labels_and_dense_predictions() -> None:
    right = torch.nn.functional.one_hot(LABELS, 4).float()
    found = measure(
        Accuracy(),
        {"val": right, "test": LOGITS},
        {"val": LABELS, "test": LABELS},
        {"val": right, "test": DENSE},
    )
    pairs = {split: (found["accuracy", split, ""].value, found["disagreement", split, ""].value) for split in
             ("val", "test")}  # fmt: skip
    assert pairs == {"val": (1.0, 0.0), "test": (0.6, 0.4)}


def test_an_empty_validation_split_has_no_rows() -> None:
    assert {split for _, split, _ in measure(Accuracy(), {"test": LOGITS}, {"test": LABELS})} == {"test"}


class Brightness(torch.nn.Module):
    """Logits (m, 1/2), m the image's mean; batch normalisation shows whether it is in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = torch.nn.BatchNorm2d(1, affine=False, eps=1e-30)  # 1 + eps is 1

    def forward(self, pixels: Tensor) -> Tensor:
        mean = self.bn(pixels).flatten(1).mean(1, keepdim=True)
        return torch.cat([mean, torch.full_like(mean, 0.5)], 1)


def test_predictions_of_batches_of_unequal_size_are_counted_by_image() -> None:
    # 500 bright images and a single dark one, all of class 0: 500/501, not the mean 1/2 of two batches.
    images = torch.full((BATCH + 1, 1, 2, 2), 255, dtype=torch.uint8)
    images[-1] = 0
    model = Brightness().train()
    logits = predict(model, Split(images, torch.zeros(BATCH + 1, dtype=torch.int64)))
    assert logits[[0, -1]].tolist() == [[1.0, 0.5], [0.0, 0.5]]
    assert model.training
    assert model.bn.training
    found = measure(Accuracy(), {"test": logits}, {"test": torch.zeros(BATCH + 1, dtype=torch.int64)})
    assert found["accuracy", "test", ""].value == BATCH / (BATCH + 1)
