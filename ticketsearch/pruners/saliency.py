"""Scores that ask the loss: SNIP, GraSP and the plain gradient. Higher = keep, whatever the original's sign.

Where implementations disagree a field says which way is taken. What is differentiated is a function of copies of the
weights and statistics, so that those of the view stay as they are.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch.data.base import Split
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Scores, Ticket, Weights
from ticketsearch.training.statistics import with_statistics

Weighted = Mapping[str, Tensor]


@dataclass(frozen=True)
class Losses:
    """The mean cross-entropy of a scoring set as a function of a network's state.

    Attributes:
        model: the network, in the mode that is asked for.
        state: its parameters and buffers.
        batches: pixels and labels.
    """

    model: nn.Module
    state: dict[str, Tensor]
    batches: Sequence[tuple[Tensor, Tensor]]

    def gradients(
        self, weights: Sequence[Tensor], temperature: float = 1.0, graph: bool = False
    ) -> Iterator[tuple[Tensor, ...]]:
        """Each batch's part of the gradient of the mean over all images.

        Args:
            weights: with respect to which; entries of the state.
            temperature: what logits are divided by.
            graph: whether the gradients can be differentiated in turn.
        """
        count = sum(len(labels) for _, labels in self.batches)
        for pixels, labels in self.batches:
            logits = functional_call(self.model, self.state, (pixels.to(weights[0].dtype),))
            loss = F.cross_entropy(logits / temperature, labels, reduction="sum") / count
            yield torch.autograd.grad(loss, weights, create_graph=graph, materialize_grads=True)


@dataclass(frozen=True)
class Saliency(Score):
    """What scores that look at gradients have in common.

    Attributes:
        per_class: training images of each class, not augmented, the same in every round of a seed. The codes of
            GraSP and of "Missing the Mark" (Frankle et al. 2021) take 10; SNIP (Lee et al. 2019) takes a mini-batch of
            100.
        batch: images that go through the network together at most; gradients of the batches add up to that of all.
        bn: batch norm while scoring. `eval`: the view's running statistics (Synaptic-Flow's code, Gollini 2026);
            at initialisation these are 0 and 1. `train`: those of each batch (GraSP's code, "Missing the Mark").
            `warm`: running statistics of the scoring set, one pass before (the warm-up of Gollini 2026).
        precision: what is computed in, and ranked in.
        of: whose gradients, within the view's mask: those of the `view`'s weights, or of the `initial` ones, as the
            criteria of Zhou et al. (2019) are.
    """

    per_class: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(2)] = 500
    bn: Literal["eval", "train", "warm"] = "eval"
    precision: Literal["float32", "float64"] = "float32"
    of: Literal["view", "initial"] = "view"

    def __call__(self, at: View, ctx: Context) -> Scores:
        """The scores.

        Raises:
            ValueError: batch norm would take its statistics from one image.
        """
        at = replace(at, weights=ctx.initial) if self.of == "initial" else at
        batches = ctx.batches(self.per_class, self.batch)
        if self.bn == "train" and len(batches[-1][1]) == 1:
            count = sum(len(labels) for _, labels in batches)
            raise ValueError(f"the last batch of {count} images by {self.batch} is one image: bn=train needs two")
        masked = Ticket(at.mask, at.weights, at.rest).masked(at.weights)
        state = scoring_state(at, _warm(at, masked, batches) if self.bn == "warm" else masked, self.precision)
        weights = {name: state[name].requires_grad_() for name in at.mask}
        start = {name: at.weights[name].to(weight) for name, weight in weights.items()}
        with in_mode(at.model, training=self.bn == "train"):
            return self._of(Losses(at.model, state, batches), weights, start)

    @abstractmethod
    def _of(self, losses: Losses, weights: Weighted, start: Weighted) -> dict[str, Tensor]:
        """The scores.

        Args:
            losses: the loss of the scoring set.
            weights: the prunable weights within the view's mask, which alone ask for gradients.
            start: what they are outside the mask too.
        """


@dataclass(frozen=True)
class Snip(Saliency):
    """|w dL/dw|: how much the loss changes with a multiplicative mask (Lee et al. 2019, equation 5, not normalised: the
    ranking is the same). The gradient is that of the mean loss of all images.

    Weights alone compete; the original's biases do too. A weight that is dead in the view, where FORCE looks at those
    too, has the product of its value and the gradient that it would have.

    Attributes:
        absolute: of the gradient over all images, as in SNIP and Synaptic-Flow's code (`sum`), or the mean of each
            batch's, weighted with its images (`batch`, the code of "Missing the Mark").
    """

    absolute: Literal["sum", "batch"] = "sum"

    def _of(self, losses: Losses, weights: Weighted, start: Weighted) -> dict[str, Tensor]:
        parts = losses.gradients(list(weights.values()))
        found = _sums(([g.abs() for g in part] for part in parts) if self.absolute == "batch" else parts)
        return {name: (start[name] * total).abs() for name, total in zip(weights, found, strict=True)}


@dataclass(frozen=True)
class Gradient(Saliency):
    """|dL/dw|: the criterion `grad` of Zhou et al. (2019), with `of: initial`."""

    def _of(self, losses: Losses, weights: Weighted, start: Weighted) -> dict[str, Tensor]:
        found = _sums(losses.gradients(list(weights.values())))
        return {name: total.abs() for name, total in zip(weights, found, strict=True)}


@dataclass(frozen=True)
class Grasp(Saliency):
    """w (H g): how much the squared norm of the gradient falls when a weight is removed (Wang et al. 2020). H and g are
    those of the loss of all images with respect to the prunable weights.

    The original ranks -w (H g) and removes the HIGHEST; so does Synaptic-Flow's code since it mended the sign. "Missing
    the Mark" removes the lowest unless `--prune_highest` is typed, which is the wrong end. Here higher = keep, so the
    score has no minus. The original draws the linear layers of the scored copy anew; here nothing is drawn anew.

    Attributes:
        temperature: logits are divided by this; 200 in the original.
        absolute: |w (H g)|, the variant that Frankle et al. (2021) and its reproductions found better.
    """

    temperature: Annotated[float, Gt(0)] = 200.0
    absolute: bool = False

    def _of(self, losses: Losses, weights: Weighted, start: Weighted) -> dict[str, Tensor]:
        own = list(weights.values())
        gradient = _sums(losses.gradients(own, self.temperature))
        parts = losses.gradients(own, self.temperature, graph=True)
        product = _sums(torch.autograd.grad(part, own, gradient, materialize_grads=True) for part in parts)
        scores = {name: start[name] * total for name, total in zip(weights, product, strict=True)}
        return {name: score.abs() for name, score in scores.items()} if self.absolute else scores


def scoring_state(at: View, weights: Weights, precision: str) -> dict[str, Tensor]:
    """Copies of everything that the view's network computes with, to be differentiated and written to.

    Args:
        at: the view; what its state dict lacks, the normalisation of the pixels, comes from its network.
        weights: its whole state dict, pruned weights at what they hold.
        precision: `float32` or `float64`, of every number with a point.
    """
    dtype, own = getattr(torch, precision), dict(at.model.named_parameters()) | dict(at.model.named_buffers())
    return {
        name: weights.get(name, tensor)
        .detach()
        .to(tensor.device, dtype if tensor.is_floating_point() else None, copy=True)
        for name, tensor in own.items()
    }


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """The network in training or in evaluation mode; afterwards each of its modules is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _warm(at: View, weights: Weights, batches: Sequence[tuple[Tensor, Tensor]]) -> Weights:
    """The weights with running statistics of the scoring set."""
    pixels = torch.cat([pixels for pixels, _ in batches]).mul(255).round().to(torch.uint8)  # as they were
    return with_statistics(at.model, weights, Split(pixels, torch.cat([labels for _, labels in batches])))


def _sums(parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """The sums over the batches, by weight."""
    first, *more = ([tensor.detach() for tensor in part] for part in parts)
    for part in more:
        for total, tensor in zip(first, part, strict=True):
            total.add_(tensor)
    return first
