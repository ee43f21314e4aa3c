"""What a pruner may look at when it draws, and what its score and its scope are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch import seeding
from ticketsearch.cost import Cost
from ticketsearch.data.base import Data
from ticketsearch.seal import digest
from ticketsearch.ticket import Layer, Mask, Scores, Ticket, Weights
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.statistics import with_statistics


@dataclass(frozen=True)
class View:
    """What a score sees.

    Attributes:
        model: the network, holding `weights`; scores leave it as it was.
        weights: its whole state dict.
        mask: the weights alive.
        rest: what pruned weights hold, by layer; None: zero.
        layers: the prunable layers, in the mask's order.
    """

    model: nn.Module
    weights: Weights
    mask: Mask
    rest: Weights | None
    layers: Mapping[str, Layer]


@dataclass(frozen=True)
class Twin:
    """The same round of the run that this one borrows from.

    Attributes:
        score: how its weights were ranked.
        scope: how the survivors were spread over the layers.
        ticket: computes it as its training began: mask, start (every entry of the state dict) and rest.
        view: computes what its pruner looked at; the network holds those weights then.
    """

    score: "Score"
    scope: "Scope"
    ticket: Callable[[], Ticket]
    view: Callable[[], View]


@dataclass(frozen=True)
class Context:
    """What a draw may use besides its view. What its verbs compute is counted in `cost`, as is every other pass through
    the view's network.

    Attributes:
        seed: of the cell.
        initial: the weights at initialisation.
        fresh: computes other initial weights, a state dict for each purpose.
        rewound: the weights that the ticket's training would start from.
        data: the images, on the network's device. Test images choose nothing.
        recipe: of the tickets' training.
        train: trains a module by a recipe for a multiple of its epochs, and says on how many images; see `fit`.
        cost: what was computed so far.
        twin: for the source TWIN.
    """

    seed: int
    initial: Weights
    fresh: Callable[[str], Weights]
    rewound: Weights
    data: Data
    recipe: Recipe
    train: Callable[[nn.Module, Recipe, float], int]
    cost: Cost = field(default_factory=Cost)
    twin: Twin | None = None
    _sets: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict, repr=False)

    def rng(self, purpose: str) -> torch.Generator:
        """A generator for one purpose; the round is no part of its key, so that what it ranks is nested over rounds."""
        return seeding.generator(self.seed, f"pruner/{purpose}")

    def batches(self, per_class: int, size: int = 500) -> list[tuple[Tensor, Tensor]]:
        """A scoring set: as many training images of each class, not augmented, the same in every round of a seed; more
        images a class contain the fewer. The ticket's manifest says which they were.

        Args:
            per_class: images of each class; where a class has fewer, as many of each as that one has.
            size: images a batch at most; classes alternate.

        Returns:
            Pixels float32 [B, C, H, W] in [0, 1] and labels int64 [B].
        """
        train, chosen = self.data.train, []
        labels, counts = train.labels.unique(return_counts=True)
        per_class = min(per_class, int(counts.min()))
        for label in labels.tolist():
            places = (train.labels == label).nonzero().squeeze(1).cpu()
            chosen.append(places[torch.randperm(len(places), generator=self.rng(f"scoring/{label}"))[:per_class]])
        order = torch.stack(chosen, 1).flatten()
        self.cost.scoring[str(per_class)] = digest(order.tolist())
        device = train.images.device
        return [(train.images[p.to(device)].float().div_(255), train.labels[p.to(device)]) for p in order.split(size)]

    @torch.no_grad()
    def loss(self, at: View, mask: Mask, per_class: int) -> float:
        """Mean cross-entropy of a scoring set with the view's weights within a mask, pruned ones at zero.

        Args:
            at: the view; its network is asked in evaluation mode.
            mask: the weights alive.
            per_class: images of each class; see `batches`.
        """
        own = dict(at.model.named_parameters())
        zero = {name: ~alive for name, alive in mask.items()} | dict(mask.held)
        weights = {name: own[name].masked_fill(dead.to(own[name].device), 0) for name, dead in zero.items()}
        if per_class not in self._sets:
            self._sets[per_class] = self.batches(per_class)
        total = [
            F.cross_entropy(functional_call(at.model, weights, (pixels,)), labels, reduction="sum")
            for pixels, labels in self._sets[per_class]
        ]
        return float(torch.stack(total).sum()) / sum(len(labels) for _, labels in self._sets[per_class])

    def fit(self, module: nn.Module, recipe: Recipe, epochs: float) -> None:
        """Train what requires a gradient in a module that gives logits, as tickets are trained: the same images in the
        same order, the same optimiser, the same checks; an interrupted search goes on where it was.

        Everything that changes must be in the module's state dict. Its randomness is a function of that.

        Args:
            module: takes pixels as a network does; it is trained in place.
            recipe: `replace(ctx.recipe, lr=...)`.
            epochs: multiple of the recipe's epochs.

        Raises:
            RunFailed: the loss was not finite.
        """
        with self.cost.counted():
            images = self.train(module, recipe, epochs)
        self.cost.forwards += images
        self.cost.backwards += images

    def with_statistics(self, model: nn.Module, weights: Weights) -> Weights:
        """The weights with batch-norm statistics of their own, from one pass over the training images."""
        return with_statistics(model, weights, self.data.train)


class Score(ABC):
    """Ranks weights: one number for each, higher = keep. Pure."""

    @abstractmethod
    def __call__(self, at: View, ctx: Context) -> Scores:
        """The scores of every prunable weight, by layer."""


class Scope(ABC):
    """Where `keep` survivors may be: a number for all layers together, or one for each, never more than are alive."""

    @abstractmethod
    def __call__(self, at: View, keep: int) -> int | Mapping[str, int]:
        """How many may survive, in all or by layer."""
