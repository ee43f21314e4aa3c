"""Accuracy: how often the model is right, in all, per class, and where it differs from the dense model."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ticketsearch.data.base import Data
from ticketsearch.metrics.base import EvalContext, Metric, Value


@dataclass(frozen=True)
class Accuracy(Metric):
    """Top-1 accuracy and mean cross-entropy; accuracy of every class and of the worst one; the share of images on which
    the prediction differs from the dense model's of the same seed (0 for the dense model).

    `majority_share` is the largest class share p of the split, with the binomial standard error sqrt(p (1 - p) / N):
    what a constant prediction scores, from which Region III is judged. A class without images has no accuracy and no
    row.
    """

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        values = []
        for name, split in data.splits().items():
            logits = ctx.logits(name, split)
            dense = logits if ctx.dense is None else ctx.dense.logits[name].to(logits.device)
            values += _values(logits, split.labels, dense, name)
        return values


def _values(logits: Tensor, labels: Tensor, dense: Tensor, split: str) -> list[Value]:
    predicted, classes = logits.argmax(1), logits.shape[1]
    accuracy, share = class_accuracies(predicted, labels, classes)
    count, majority = len(labels), float(share.max())
    right = int((predicted == labels).sum()) / count
    differs = int((predicted != dense.argmax(1)).sum()) / count
    present = [(c, float(a)) for c, a in enumerate(accuracy) if share[c] > 0]
    return [
        Value("accuracy", right, 1, split=split, stderr=math.sqrt(right * (1 - right) / count)),
        Value("loss", float(F.cross_entropy(logits.double(), labels)), -1, "nats", split),
        Value("worst_class_accuracy", min(a for _, a in present), 1, split=split),
        Value("disagreement", differs, -1, split=split),
        Value("majority_share", majority, None, split=split, stderr=math.sqrt(majority * (1 - majority) / count)),
        *(Value("class_accuracy", a, 1, split=split, variant=f"class-{c}") for c, a in present),
    ]


def class_accuracies(predicted: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Accuracy of each class (NaN for an absent one) and each class's share of the labels: float64 [classes], on the
    CPU.
    """
    count = torch.bincount(labels, minlength=classes).double()
    hits = torch.bincount(labels[predicted == labels], minlength=classes).double()
    return (hits / count).cpu(), (count / count.sum()).cpu()
