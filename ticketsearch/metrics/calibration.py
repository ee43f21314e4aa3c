"""Calibration: whether the probabilities that a model states are the ones with which it is right."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.bins import Bins, expected_calibration_error, static_calibration_error
from ticketsearch.metrics.temperature import fitted_temperature

NO_VALIDATION = "dataset.validation=0 leaves no images to fit a temperature on"


@dataclass(frozen=True)
class Calibration(Metric):
    """NLL, ECE, SCE and Brier score of validation and test, in float64; those of test also with the temperature that
    was fitted on validation; and the bins of test, for a reliability diagram.

    ECE (Guo et al. 2017) sums |confidence - accuracy| over bins of the top probability, weighted by their share of
    images. The code released with Chen et al. (2022) cuts with 15 edges, hence 14 bins: variant `bins-14`. Variant
    `adaptive` has bins of equal mass (Nixon et al. 2019). Variant `tempered` divides the logits by the temperature.

    Attributes:
        bins: of ECE, SCE and the diagram; those of equal width are open below and closed above.
        released_bins: the bins of the second ECE; 0: none.
    """

    revision: ClassVar[int] = 2

    bins: Annotated[int, Ge(1)] = 15
    released_bins: Annotated[int, Ge(0)] = 14

    def lacks(self, dataset: Dataset) -> frozenset[str]:
        return frozenset() if dataset.validation else frozenset({NO_VALIDATION})

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        values = []
        for name, split in data.splits().items():
            values += self._of(ctx.logits(name, split).double(), split.labels, name)
        test = ctx.logits("test", data.test).double()
        temperature = fitted_temperature(ctx.logits("val", data.val), data.val.labels) if len(data.val) else None
        values += self._tempered(test, data.test.labels, temperature)
        return values + list(self._diagram(test.softmax(1), data.test.labels))

    def _of(self, logits: Tensor, labels: Tensor, split: str) -> list[Value]:
        p = logits.softmax(1)
        values = [
            *_proper(logits, labels, split),
            Value("ece", expected_calibration_error(p, labels, self.bins), -1, split=split),
            Value("ece", expected_calibration_error(p, labels, self.bins, True), -1, split=split, variant="adaptive"),
            Value("sce", static_calibration_error(p, labels, self.bins), -1, split=split),
            Value("sce", static_calibration_error(p, labels, self.bins, True), -1, split=split, variant="adaptive"),
        ]
        if self.released_bins:
            released = expected_calibration_error(p, labels, self.released_bins)
            values.append(Value("ece", released, -1, split=split, variant=f"bins-{self.released_bins}"))
        return values

    def _tempered(self, logits: Tensor, labels: Tensor, temperature: float | None) -> list[Value]:
        """The temperature and what it makes of the test images."""
        if temperature is None:
            units = {"nll": "nats", "brier": "", "ece": ""}
            return [
                Value("temperature", math.nan, None, split="val", skipped=NO_VALIDATION),
                *(Value(n, math.nan, -1, u, variant="tempered", skipped=NO_VALIDATION) for n, u in units.items()),
            ]
        logits = logits / temperature
        ece = expected_calibration_error(logits.softmax(1), labels, self.bins)
        return [
            Value("temperature", temperature, None, split="val"),
            *_proper(logits, labels, "test", "tempered"),
            Value("ece", ece, -1, variant="tempered"),
        ]

    def _diagram(self, p: Tensor, labels: Tensor) -> Iterator[Value]:
        """Of each bin of the ECE its share of images, and where it has some their mean confidence and accuracy."""
        confidence, predicted = p.max(1)
        bins = Bins.equal_width(confidence, predicted == labels, self.bins)
        table = zip(bins.count.tolist(), bins.stated.tolist(), bins.right.tolist(), strict=True)
        for number, (count, stated, right) in enumerate(table, 1):
            variant = f"bin-{number:02d}"
            yield Value("bin_share", count / len(labels), None, variant=variant)
            if count:
                yield Value("bin_confidence", stated / count, None, variant=variant)
                spread = math.sqrt(right * (count - right) / count**3)
                yield Value("bin_accuracy", right / count, None, stderr=spread, variant=variant)


def brier_score(p: Tensor, labels: Tensor) -> Tensor:
    """Squared distance of probabilities [N, C] to the one-hot label, summed (Brier 1950); [N], in [0, 2]."""
    return (p - F.one_hot(labels, p.shape[1])).square().sum(1)


def _proper(logits: Tensor, labels: Tensor, split: str, variant: str = "") -> list[Value]:
    """The two proper scores: means over images, with their standard errors."""
    nll, brier = F.cross_entropy(logits, labels, reduction="none"), brier_score(logits.softmax(1), labels)
    errors = [float(scores.std()) / math.sqrt(len(labels)) if len(labels) > 1 else None for scores in (nll, brier)]
    return [
        Value("nll", float(nll.mean()), -1, "nats", split, errors[0], variant),
        Value("brier", float(brier.mean()), -1, "", split, errors[1], variant),
    ]
