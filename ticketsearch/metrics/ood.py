"""Out-of-distribution detection: whether the model is surer of the dataset's images than of others."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from ticketsearch.data import ood
from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.data.stored import data_folder
from ticketsearch.metrics.base import EvalContext, Metric, Value

Score = Literal["max_softmax", "max_logit", "energy"]
SCORES: dict[Score, Callable[[Tensor], Tensor]] = {
    "max_softmax": lambda logits: logits.softmax(1).amax(1),  # Hendrycks & Gimpel 2017
    "max_logit": lambda logits: logits.amax(1),  # Hendrycks et al. 2022
    "energy": lambda logits: logits.logsumexp(1),  # Liu et al. 2020: the negative of their energy, at temperature 1
}
"""Name -> logits float64 [N, classes] to scores [N], higher for images that look like the dataset's."""


@dataclass(frozen=True)
class Ood(Metric):
    """AUROC, AUPR and FPR at 95 % TPR of telling test images from those of other sets, by scores of their logits, in
    float64.

    Test images are the positives, as in the code released with Chen et al. (2022), who report the AUROC of the greatest
    softmax probability. The variant of the first set and the first score is ''; `SET` is another set with the first
    score, `SET/SCORE` any set with another score. A set that is not there is skipped, with the reason.

    Attributes:
        sets: names of `ticketsearch.data.ood`, or of files `ood/NAME.npz` of one's own in the folder of datasets, with
            an array `images`, uint8 [N, H, W, C]; None: those of the dataset.
        images: how many test images, the first of them, and at most as many of each set; None: the dataset's `sample`.
        scores: which.
    """

    sets: Annotated[tuple[str, ...], MinLen(1)] | None = None
    images: Annotated[int, Ge(1)] | None = None
    scores: Annotated[tuple[Score, ...], MinLen(1)] = ("max_softmax", "max_logit", "energy")

    def __post_init__(self) -> None:
        for name, listed in (("sets", self.sets or ()), ("scores", self.scores)):
            if len(set(listed)) < len(listed):
                raise ValueError(f"{name} lists something twice: {', '.join(listed)}")

    def suited(self, dataset: Dataset) -> Self:
        """With the dataset's sets where none are named; of those that are, each must exist.

        Raises:
            UsageError: there is no set of that name.
        """
        if self.sets is not None:
            ood.check(self.sets, data_folder(dataset.root))
        return replace(super().suited(dataset), sets=self.sets or dataset.ood)

    def lacks(self, dataset: Dataset) -> frozenset[str]:
        folder = data_folder(dataset.root)
        return frozenset(ood.lacking(name, folder) for name in self.sets or dataset.ood) - {""}

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        dataset, folder = ctx.dataset, data_folder(ctx.dataset.root)
        count = self.images or dataset.sample
        inside, values = ctx.logits("test", data.test)[:count], list[Value]()
        for name in self.sets or dataset.ood:
            reason = ood.lacking(name, folder)
            outside = None if reason else _logits(name, len(inside), data.test, ctx)
            for score in self.scores:
                values += _values(score, inside, outside, self._variant(name, score, dataset), reason)
        return values

    def _variant(self, name: str, score: Score, dataset: Dataset) -> str:
        if score != self.scores[0]:
            return f"{name}/{score}"
        return "" if name == (self.sets or dataset.ood)[0] else name


def _logits(name: str, count: int, test: Split, ctx: EvalContext) -> Tensor:
    """The logits of a set's images, brought to the shape of the test images."""
    channels, height, width = test.images.shape[1:]
    folder, device = data_folder(ctx.dataset.root), test.images.device
    foreign = ood.images(name, (channels, height, width), count, folder, device)
    return ctx.forward(Split(foreign, torch.zeros(len(foreign), dtype=torch.int64, device=device)))


def _values(score: Score, inside: Tensor, outside: Tensor | None, variant: str, reason: str) -> Iterator[Value]:
    """The three values of two sets of logits; without the second they are skipped. Scores that are not finite have no
    order, so the values are none.
    """
    area, error, precision, false = math.nan, None, math.nan, math.nan
    if outside is not None:
        positives, negatives = (SCORES[score](logits.double()).cpu() for logits in (inside, outside))
        if positives.isfinite().all() and negatives.isfinite().all():
            area, error = auroc(positives, negatives)
            precision, false = average_precision(positives, negatives), fpr_at_tpr(positives, negatives)
    yield Value("ood_auroc", area, 1, stderr=error, variant=variant, skipped=reason)
    yield Value("ood_aupr", precision, 1, variant=variant, skipped=reason)
    yield Value("ood_fpr95", false, -1, variant=variant, skipped=reason)


def auroc(positives: Tensor, negatives: Tensor) -> tuple[float, float | None]:
    """The probability that a positive scores higher than a negative, ties counted half, and its standard error (DeLong
    et al. 1988); None where there is but one image on a side.

    Args:
        positives: float64 [M].
        negatives: float64 [N].
    """
    above, below = _placements(positives, negatives), 1 - _placements(negatives, positives)
    if min(len(above), len(below)) < 2:
        return float(above.mean()), None
    return float(above.mean()), math.sqrt(above.var() / len(above) + below.var() / len(below))


def _placements(scores: Tensor, among: Tensor) -> Tensor:
    """For each score, the share of the others that are lower, equal ones counted half."""
    order = among.sort().values
    lower, not_higher = torch.searchsorted(order, scores), torch.searchsorted(order, scores, right=True)
    return (lower + not_higher).double() / (2 * len(among))


def average_precision(positives: Tensor, negatives: Tensor) -> float:
    """AUPR as the mean, over positives, of the precision at a threshold equal to their score, in (0, 1]: nothing is
    interpolated. The precision of a random order is the share of positives, so it depends on both counts.

    Args:
        positives: float64 [M].
        negatives: float64 [N].
    """
    right, wrong = _accepted(positives, positives), _accepted(negatives, positives)
    return float((right / (right + wrong)).mean())


def fpr_at_tpr(positives: Tensor, negatives: Tensor, percent: int = 95) -> float:
    """The share of negatives accepted at the greatest threshold at which at least `percent` of positives are; a score
    equal to the threshold is accepted.

    The code released with Hendrycks et al. (2019), Outlier Exposure, takes the threshold whose TPR is nearest to 95 %;
    it may be below.

    Args:
        positives: float64 [M].
        negatives: float64 [N].
        percent: of the positives; whole, so that how many they are is exact.
    """
    needed = -(-percent * len(positives) // 100)
    threshold = positives.sort(descending=True).values[needed - 1 : needed]
    return float(_accepted(negatives, threshold)) / len(negatives)


def _accepted(scores: Tensor, thresholds: Tensor) -> Tensor:
    """How many scores are at least as high as each threshold: float64."""
    return (len(scores) - torch.searchsorted(scores.sort().values, thresholds)).double()
