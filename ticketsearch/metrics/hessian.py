"""Flatness of the loss: eigenvalues and trace of its Hessian with respect to the weights, and to the pixels.

Products with the Hessian are exact, by differentiating the gradient again. They are of a function of copies of the
model's state, so that the model is only read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.spectrum import Product, deflated_trace, lanczos, rademacher
from ticketsearch.ticket import Mask

PUBLISHED = 200
"""Images that Chen et al. (2022) look at: one batch of the first training images, not augmented."""


@dataclass(frozen=True)
class Hessian(Metric):
    """Largest eigenvalues and trace of two Hessians of the cross-entropy, the model in evaluation mode (with products
    alone, as Yao et al. 2020).

    Weights: of the mean loss; pruned weights are no directions, so that they contribute nothing. Pixels, in [0, 1]: of
    each image's own loss; eigenvalues and trace are means over the images. So the trace is that of the code released
    with Chen et al. (2022), which stacks the images of a batch; the largest eigenvalue of the stack, which is the
    largest of any image over their number, is variant `stacked`.

    Eigenvalues are Ritz values of Lanczos' iteration, from the greatest down, signs counted; the k-th is variant `k`.
    None is farther from an eigenvalue than its residual, of which the same variants tell; those that have not converged
    are too small. All Ritz values of the weights' Hessian, and which share of the spectrum lies near each, are
    `spectrum_value` and `spectrum_share`, variants `01` and so on from the greatest down: its density, the finer the
    more `steps` (Ghorbani et al. 2019 take 90 or more, PyHessian 100).
    The trace is exact within the Krylov space and Hutchinson's estimate outside it; its standard error is that of the
    probes, for these images. Where there are fewer directions than eigenvalues the rest is 0. Random vectors depend on
    the numbers of images, of directions and of the probe alone.

    Attributes:
        images: how many, the first of the split; None: 200 as published, or a quarter of the dataset's `sample` where
            that is less.
        split: of which images. The published ones are training images.
        parameters: `prunable`: weights alive within the mask; `all`: also what is never pruned, normalisation, biases
            and classifier, as published; what goes with a removed channel is no direction there either.
        steps: of Lanczos' iteration.
        probes: of the trace of the weights.
        input_probes: of each image's trace. They are averaged over the images too; and where a network is linear
            between its kinks, as with ReLU, a Hessian in pixels has the rank of the classes less one, which twelve
            steps exhaust for ten classes.
        top: how many eigenvalues.
        batch: images that go through the network together at most. The memory is that of their graph.
        precision: what is computed in.
    """

    images: Annotated[int, Ge(1)] | None = None
    split: Literal["train", "val", "test"] = "train"
    parameters: Literal["prunable", "all"] = "prunable"
    steps: Annotated[int, Ge(1)] = 12
    probes: Annotated[int, Ge(2)] = 6
    input_probes: Annotated[int, Ge(2)] = 2
    top: Annotated[int, Ge(1)] = 5
    batch: Annotated[int, Ge(1)] = 200
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        if self.top > self.steps:
            raise ValueError(f"{self.steps} steps give no more than {self.steps} eigenvalues, not {self.top}")

    def suited(self, dataset: Dataset) -> Self:
        return replace(self, images=few(dataset)) if self.images is None else self

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        part = looked_at(data, self.split, self.images)
        return [*self._weight(model, part, ctx.mask), *self._input(model, part)]

    def _weight(self, model: nn.Module, part: Split, mask: Mask) -> Iterator[Value]:
        product = WeightHessian(model, part, directions(model, mask, self.parameters), self.batch, self._dtype)
        if not product.size:  # nothing is alive: the loss does not move
            nothing = torch.zeros(0)
            yield from self._values("weight", nothing, nothing, 0.0, 0.0)
            yield from self._density(torch.zeros(1), torch.ones(1))
            return
        signs = (rademacher([product.size], "hessian", "weight", n) for n in range(self.probes + 1))
        start, *probes = (sign.to(part.images.device, self._dtype) for sign in signs)
        ritz = lanczos(product, start, self.steps)
        trace, error = deflated_trace(product, ritz, probes)
        yield from self._values("weight", ritz.values, ritz.residuals, float(trace), float(error))
        yield from self._density(ritz.values, ritz.shares)

    def _density(self, values: Tensor, shares: Tensor) -> Iterator[Value]:
        for place, (value, share) in enumerate(zip(values.tolist(), shares.tolist(), strict=True), 1):
            yield Value("spectrum_value", value, None, split=self.split, variant=f"{place:02d}")
            yield Value("spectrum_share", share, None, split=self.split, variant=f"{place:02d}")

    def _input(self, model: nn.Module, part: Split) -> Iterator[Value]:
        shape, count = [len(part), part.images[0].numel()], self.input_probes + 1
        drawn = [rademacher(shape, "hessian", "input", n) for n in range(count)]
        signs, found = torch.stack(drawn).to(part.images.device, self._dtype), []
        state = copied(model, self._dtype)
        chunks = signs.split(self.batch, 1)
        for (pixels, labels), (start, *probes) in zip(_batches(part, self.batch, self._dtype), chunks, strict=True):
            product = input_hessian(model, state, pixels, labels)
            ritz = lanczos(product, start, self.steps)
            found.append((ritz.values, ritz.residuals, *deflated_trace(product, ritz, probes)))
        values, residuals, traces, errors = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        trace, error = float(traces.mean()), float(errors.norm() / len(part))
        yield from self._values("input", values.mean(0), residuals.mean(0), trace, error)
        stacked = float(values[:, 0].max()) / len(part)
        yield Value("hessian_eigen_input", stacked, -1, split=self.split, variant="stacked")

    def _values(self, of: str, eigenvalues: Tensor, residuals: Tensor, trace: float, error: float) -> Iterator[Value]:
        yield Value(f"hessian_trace_{of}", trace, -1, split=self.split, stderr=error)
        kinds: tuple[tuple[str, Tensor, Literal[-1] | None], ...]
        kinds = ("eigen", eigenvalues, -1), ("residual", residuals, None)
        for kind, numbers, better in kinds:
            for place, value in enumerate(F.pad(numbers, (0, self.top))[: self.top].tolist()):
                variant = str(place + 1) if place else ""
                yield Value(f"hessian_{kind}_{of}", value, better, split=self.split, variant=variant)

    @property
    def _dtype(self) -> torch.dtype:
        return getattr(torch, self.precision)


class WeightHessian:
    """Products with the Hessian of the mean cross-entropy of images with respect to some of a model's parameters.

    The graph of the gradient is kept where all images are one batch; else it is made again with each product, so that
    no more than one batch's is held.

    Attributes:
        size: the number of directions: entries of the vectors that it is called with.
    """

    def __init__(
        self, model: nn.Module, part: Split, alive: Mapping[str, Tensor], batch: int, dtype: torch.dtype
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: in evaluation mode; stays as it is.
            part: the images and labels.
            alive: parameter -> True where an entry is a direction.
            batch: images that go through the network together at most.
            dtype: what is computed in.
        """
        self._model, self._part, self._batch, self._dtype = model, part, batch, dtype
        self._state = copied(model, dtype)
        device = part.images.device
        self._places = {name: entries.flatten().nonzero().squeeze(1).to(device) for name, entries in alive.items()}
        self._weights = [self._state[name].requires_grad_() for name in alive]
        self._sizes = [len(places) for places in self._places.values()]
        self._kept: list[tuple[Tensor, ...]] = []
        self.size = sum(self._sizes)

    def __call__(self, vector: Tensor) -> Tensor:
        """The product, [size]."""
        tangents = list(self._spread(vector))
        total = torch.zeros_like(vector)
        for gradient in self._gradients():
            product = again(gradient, self._weights, tangents)
            total += torch.cat([t.flatten()[places] for t, places in zip(product, self._places.values(), strict=True)])
        return total

    def _spread(self, vector: Tensor) -> Iterator[Tensor]:
        """The vector as tensors of the parameters' shapes, 0 where nothing is alive."""
        for weight, places, entries in zip(
            self._weights, self._places.values(), vector.split(self._sizes), strict=True
        ):
            yield entries.new_zeros(weight.numel()).index_copy(0, places, entries).view(weight.shape)

    def _gradients(self) -> Iterator[tuple[Tensor, ...]]:
        """Each batch's part of the gradient of the mean loss, with its graph."""
        if self._kept:
            yield from self._kept
            return
        for pixels, labels in _batches(self._part, self._batch, self._dtype):
            with torch.enable_grad():
                logits = functional_call(self._model, self._state, (pixels,))
                loss = F.cross_entropy(logits, labels, reduction="sum") / len(self._part)
                gradient = torch.autograd.grad(loss, self._weights, create_graph=True, materialize_grads=True)
            if len(self._part) <= self._batch:
                self._kept.append(gradient)
            yield gradient


def input_hessian(model: nn.Module, state: dict[str, Tensor], pixels: Tensor, labels: Tensor) -> Product:
    """Products with the Hessians of each image's cross-entropy with respect to its own pixels, [N, C H W].

    The gradient of the summed loss holds every image's; since no image depends on another in evaluation mode, one
    product with the Hessian of the sum holds every image's too.

    Args:
        model: in evaluation mode.
        state: what it computes with.
        pixels: in [0, 1], [N, C, H, W].
        labels: int64 [N].
    """
    pixels = pixels.requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(functional_call(model, state, (pixels,)), labels, reduction="sum")
        gradient = torch.autograd.grad(loss, (pixels,), create_graph=True, materialize_grads=True)
    return lambda vectors: again(gradient, [pixels], [vectors.view(pixels.shape)])[0].flatten(1)


def again(gradient: tuple[Tensor, ...], of: list[Tensor], tangents: list[Tensor]) -> tuple[Tensor, ...]:
    """The product of the Hessian with tangents; the graph of the gradient stays."""
    bent = [(part, tangent) for part, tangent in zip(gradient, tangents, strict=True) if part.requires_grad]
    if not bent:  # the loss is linear in all of them, or does not know them
        return tuple(torch.zeros_like(tensor) for tensor in of)
    parts, along = zip(*bent, strict=True)
    return torch.autograd.grad(parts, of, along, retain_graph=True, materialize_grads=True)


def looked_at(data: Data, split: str, images: int | None) -> Split:
    """The first images of a split.

    Raises:
        ValueError: it has none.
    """
    part: Split = getattr(data, split)[:images]
    if not len(part):
        raise ValueError(f"there are no images in {split}")
    return part


def few(dataset: Dataset) -> int:
    """How many images measures of geometry look at where nobody says: 200 as published, or a quarter of the dataset's
    `sample` where that is less.
    """
    return min(PUBLISHED, max(dataset.sample // 4, 1))


def directions(model: nn.Module, mask: Mask, parameters: Literal["prunable", "all"]) -> dict[str, Tensor]:
    """Parameter -> True where an entry may move: what is alive of the prunable weights, or of all parameters."""
    if parameters == "prunable":
        return dict(mask)
    free = {name: torch.ones(parameter.shape, dtype=torch.bool) for name, parameter in model.named_parameters()}
    return free | {name: ~gone for name, gone in mask.held.items() if name in free} | dict(mask)


def copied(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Copies of a model's parameters and buffers, those with a point as `dtype`."""
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        name: tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in own.items()
    }


def _batches(part: Split, batch: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels in [0, 1] and labels."""
    for images, labels in zip(part.images.split(batch), part.labels.split(batch), strict=True):
        yield images.to(dtype).div_(255), labels
