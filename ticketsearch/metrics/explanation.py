"""Explanations: how well a linear function of superpixels says what the model does near an image, and how much it
changes from one neighbour of the image to the next.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.segments import How, segmented
from ticketsearch.metrics.surrogate import Surrogates, nearness, ridge, switched
from ticketsearch.metrics.sweep import Sweep

PUBLISHED = (100, 1000)
"""Images, by the default of the code released with Chen et al. (2022), and samples of each."""
FEW = 20
"""Segments up to which samples that are the same are looked for: beyond, a million images are possible, and none is
made twice.
"""
CHUNK = 2000
"""Perturbed images that are made together."""

Stability = Literal["fresh", "refit"]


@dataclass(frozen=True)
class Explanation(Metric):
    """Fidelity and stability of LIME's explanations (Ribeiro et al. 2016), lower being better, with standard errors
    over the images.

    A sample of an image has every superpixel shown or black with the same probability; the first shows all. A weighted
    ridge regression explains the probability of the image's most probable class f by what is shown: g. Near samples
    weigh more, by the cosine distance of what they show.

    `fidelity` is the mean of (g - f)^2 over the samples, none weighted, as in the code released with Chen et al.
    (2022). Variant `weighted`: the mean by the weights that g was fitted with.

    `stability` is the mean of |e(x) - e(x')|^2 over neighbours x', the first samples, as Plumb et al. (2020) define it,
    e being the coefficients of the explanation. `fresh`: e(x') is fitted to samples of its own around x'. `refit`: to
    those of x, weighed anew by their distance to x', which takes no forward pass: as in the released code, which draws
    x' by permuting the samples. The first of `stabilities` has no variant, another its name. Both hold the noise of the
    fits, and are lower with more samples.

    A model that is less sure moves its probabilities less, so that both are lower for it, however poor its
    explanations. Variant `relative` (`refit/relative`) is divided by the variance of f over the samples, both as means
    over the images: of the fidelity, that is the share of the variance which the explanations leave, one less R^2. It
    does not change when probabilities are drawn toward constants, all by the same share. Images over whose samples f
    hardly moves hardly count. Where f moves nowhere it is 0, as everything is.

    The samples go through the folded copy of the model that corruptions use; `explanation_difference` says how far its
    logits are from the exact ones on the clean images, and its variant its precision, or `exact` where that was used.

    Attributes:
        images: how many test images, the first of them; None: 100 as published by default, or a tenth of the dataset's
            `sample` where that is less.
        samples: of each image, the image among them; None: 1,000 as published, or half of the dataset's `sample`.
        neighbours: x' of each image.
        stabilities: which. `fresh` takes `neighbours` times the samples.
        segments: superpixels; see `segmented`.
        width: of the kernel.
        alpha: the penalty of the squared coefficients.
    """

    images: Annotated[int, Ge(1)] | None = None
    samples: Annotated[int, Ge(2)] | None = None
    neighbours: Annotated[int, Ge(1)] = 5
    stabilities: Annotated[tuple[Stability, ...], MinLen(1)] = ("fresh", "refit")
    segments: How = "auto"
    width: Annotated[float, Gt(0)] = 0.25
    alpha: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples <= self.neighbours:
            raise ValueError(f"{self.samples} samples hold no more than {self.samples - 1} neighbours of an image")
        if len(set(self.stabilities)) < len(self.stabilities):
            raise ValueError(f"stabilities lists something twice: {', '.join(self.stabilities)}")

    def suited(self, dataset: Dataset) -> Self:
        images, samples = self._sizes(dataset)
        return replace(self, images=images, samples=samples)

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        count, samples = self._sizes(ctx.dataset)
        images, exact = data.test.images[:count], ctx.logits("test", data.test)[:count]
        sweep, maps = Sweep(model, images, exact), segmented(images, self.segments)
        tables = [self._tables(number, int(map.max()) + 1, samples) for number, map in enumerate(maps)]
        found = _probabilities(sweep, images, maps, tables, exact.argmax(1))
        each = torch.stack([self._measured(*pair) for pair in zip(tables, found, strict=True)])
        return [*self._values(each), *_difference(sweep)]

    def _sizes(self, dataset: Dataset) -> tuple[int, int]:
        """How many images, and samples of each."""
        images, samples = self.images, self.samples
        if images is None:
            images = min(PUBLISHED[0], max(dataset.sample // 10, 1))
        if samples is None:
            samples = max(min(PUBLISHED[1], dataset.sample // 2), self.neighbours + 1)
        return images, samples

    def _tables(self, number: int, segments: int, samples: int) -> Tensor:
        """What the samples of an image show, float64 [1, S, D]; with those of its neighbours, [1 + K, S, D]."""
        near = switched(torch.ones(segments), samples, number, 0)
        if "fresh" not in self.stabilities:
            return near.unsqueeze(0)
        around = [switched(near[k], samples, number, k) for k in range(1, self.neighbours + 1)]
        return torch.stack([near, *around])

    def _measured(self, tables: Tensor, probabilities: Tensor) -> Tensor:
        """Of one image: variance, fidelity plain and weighted, and each stability, float64 [3 + stabilities].

        Args:
            tables: see `_tables`.
            probabilities: of its class, float64 of the same rows.
        """
        moved = probabilities - probabilities[0, 0]  # a model that says always the same has variance 0 exactly
        near, targets, centres = tables[:1], moved[:1], tables[0, 1 : self.neighbours + 1]
        own = self._explained(near, targets, near[:, 0])
        residuals = (own(near) - targets).square()
        weighted = (own.weights * residuals).sum() / own.weights.sum()
        numbers = [targets.var(correction=0), residuals.mean(), weighted]
        for how in self.stabilities:
            rows, values = (tables[1:], moved[1:]) if how == "fresh" else (near, targets)
            rows, values = (part.expand(len(centres), *part.shape[1:]) for part in (rows, values))
            others = self._explained(rows, values, centres)
            numbers.append((others.coefficients - own.coefficients).square().sum(1).mean())
        return torch.stack(numbers)

    def _explained(self, rows: Tensor, targets: Tensor, centres: Tensor) -> Surrogates:
        return ridge(rows, targets, nearness(rows, centres, self.width), self.alpha)

    def _values(self, each: Tensor) -> Iterator[Value]:
        """What the numbers of the images, as of `_measured`, say together."""
        variance, fidelity, weighted, *stabilities = each.unbind(1)
        yield _mean("fidelity", "", fidelity)
        yield _mean("fidelity", "weighted", weighted)
        yield _ratio("fidelity", "relative", fidelity, variance)
        for how, stability in zip(self.stabilities, stabilities, strict=True):
            variant = "" if how == self.stabilities[0] else how
            yield _mean("stability", variant, stability)
            yield _ratio("stability", f"{variant}/relative".lstrip("/"), stability, variance)


def _mean(name: str, variant: str, each: Tensor) -> Value:
    error = float(each.std(correction=0)) / math.sqrt(len(each))
    return Value(name, float(each.mean()), -1, stderr=error, variant=variant)


def _ratio(name: str, variant: str, each: Tensor, scale: Tensor) -> Value:
    """The ratio of two means over the images, and its standard error to first order; 0 where the second mean is 0."""
    whole = float(scale.mean())
    if whole == 0:
        return Value(name, 0.0, -1, stderr=0.0, variant=variant)
    ratio = float(each.mean()) / whole
    error = float((each - ratio * scale).std(correction=0)) / whole / math.sqrt(len(each))
    return Value(name, ratio, -1, stderr=error, variant=variant)


def _difference(sweep: Sweep) -> Iterator[Value]:
    if math.isfinite(sweep.difference):
        how = str(sweep.dtype).removeprefix("torch.") if sweep.fast else "exact"
        yield Value("explanation_difference", sweep.difference, None, variant=how)


def _probabilities(sweep: Sweep, images: Tensor, maps: Tensor, tables: list[Tensor], labels: Tensor) -> list[Tensor]:
    """The probability of each image's label on its samples.

    What is shown twice goes through the network once; chunks are of as many samples as fit, of whatever images.

    Args:
        sweep: the network.
        images: uint8 [N, C, H, W].
        maps: their segments, int64 [N, H, W].
        tables: of each image, what its samples show: float64 [T, S, D].
        labels: int64 [N].

    Returns:
        of each image float64 [T, S], on the CPU.
    """
    distinct = [_distinct(table.flatten(0, 1)) for table in tables]
    shown = [rows for rows, _ in distinct]
    owners = torch.arange(len(shown)).repeat_interleave(torch.tensor([len(rows) for rows in shown]))
    most = max(rows.shape[1] for rows in shown)
    padded = torch.cat([nn.functional.pad(rows, (0, most - rows.shape[1])) for rows in shown])
    chunks = zip(*(part.to(images.device).split(CHUNK) for part in (padded, owners)), strict=True)
    logits = ((sweep.logits(_hidden(images, maps, rows, owner)), owner) for rows, owner in chunks)
    found = torch.cat([_of_labels(part, labels[owner]) for part, owner in logits]).cpu()
    parts = found.split([len(rows) for rows in shown])
    return [part[place].view(table.shape[:2]) for part, (_, place), table in zip(parts, distinct, tables, strict=True)]


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of 0 and 1 without repetitions, uint8 [R, D], and the place of each of the given ones among them."""
    small = rows.to(torch.uint8)
    if rows.shape[1] > FEW:
        return small, torch.arange(len(rows))
    powers = 2.0 ** torch.arange(rows.shape[1], dtype=rows.dtype)
    codes, place = (rows @ powers).long().unique(return_inverse=True)
    first = torch.empty_like(codes).scatter_(0, place, torch.arange(len(rows)))  # any of the equal ones
    return small[first], place


def _hidden(images: Tensor, maps: Tensor, rows: Tensor, owner: Tensor) -> Tensor:
    """Images with what is not shown black: uint8 [R, C, H, W].

    Args:
        images: uint8 [N, C, H, W].
        maps: their segments, int64 [N, H, W].
        rows: 1 where a segment is shown, uint8 [R, D].
        owner: whose segments, int64 [R].
    """
    shown = rows.gather(1, maps[owner].flatten(1)).view(len(rows), 1, *maps.shape[1:])
    return images[owner] * shown


def _of_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probabilities of one label of each row, float64 [R]."""
    return logits.double().softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
