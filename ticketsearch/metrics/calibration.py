"""Calibration: whether the probabilities that a model states are the ones with which it is right."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.data.base import Data
from ticketsearch.metrics.base import EvalContext, Metric, Value


@dataclass(frozen=True)
class Calibration(Metric):
    """NLL, ECE, SCE and Brier score from one logit matrix, in float64.

    ECE (Guo et al. 2017) sums |confidence - accuracy| over equal-width bins of the top probability, weighted by their
    share of images. The code released with Chen et al. (2022) cuts with 15 edges, hence 14 bins: variant `bins-14`.

    Attributes:
        bins: of ECE and SCE, of equal width, each open below and closed above.
        released_bins: the bins of the second ECE; 0: none.
    """

    bins: Annotated[int, Ge(1)] = 15
    released_bins: Annotated[int, Ge(0)] = 14

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        values = []
        for name, split in data.splits().items():
            logits, labels = ctx.logits(name, split).double(), split.labels
            p = logits.softmax(1)
            values += [
                Value("nll", float(F.cross_entropy(logits, labels)), -1, "nats", name),
                Value("ece", expected_calibration_error(p, labels, self.bins), -1, split=name),
                Value("sce", static_calibration_error(p, labels, self.bins), -1, split=name),
                Value("brier", brier_score(p, labels), -1, split=name),
            ]
            if self.released_bins:
                released = expected_calibration_error(p, labels, self.released_bins)
                values.append(Value("ece", released, -1, split=name, variant=f"bins-{self.released_bins}"))
        return values


def expected_calibration_error(p: Tensor, labels: Tensor, bins: int) -> float:
    """ECE of probabilities [N, C]: sum over bins of |sum of (correct - top probability)| / N, in [0, 1]."""
    confidence, predicted = p.max(1)
    return float(_gaps(confidence, predicted == labels, bins).sum()) / len(labels)


def static_calibration_error(p: Tensor, labels: Tensor, bins: int) -> float:
    """SCE (Nixon et al. 2019): ECE of every class's own probability against its label, averaged over the C classes; [0,
    1].
    """
    classes = p.shape[1]
    gaps = [_gaps(p[:, c].contiguous(), labels == c, bins).sum() for c in range(classes)]
    return float(torch.stack(gaps).sum()) / (len(labels) * classes)


def brier_score(p: Tensor, labels: Tensor) -> float:
    """Mean squared distance to the one-hot label, summed over classes (Brier 1950); [0, 2]."""
    return float((p - F.one_hot(labels, p.shape[1])).square().sum(1).mean())


def _gaps(confidence: Tensor, correct: Tensor, bins: int) -> Tensor:
    """|sum of (correct - confidence)| of each bin (i / bins, (i + 1) / bins]; a confidence of 0 is in the first."""
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)[1:-1]
    place = torch.bucketize(confidence, edges)
    return torch.zeros_like(confidence[:1]).repeat(bins).index_add(0, place, correct.to(confidence) - confidence).abs()
