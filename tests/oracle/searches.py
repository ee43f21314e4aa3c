"""What a search for a mask needs, on the tiny network, and the plain loop that learned masks are held against."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import DATASET, PER_EPOCH, RECIPE, network, weights_of
from ticketsearch.data.base import Data
from ticketsearch.data.batches import Batches
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, Prunable, Ticket, Weights, keep_top, prunable_layers
from ticketsearch.training.loop import Training
from ticketsearch.training.predict import predict
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment

ORDER = 5
"""The seed of the order of the data."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""How the entries end that a batch norm notes."""
Look = Callable[[int, Mapping[str, Tensor]], tuple[dict[str, Tensor], dict[str, Tensor]]]
"""Of a step and the scores: which weights are in the mask, and the slope of what the gradient passes through."""


class Single(nn.Module):
    """Pixels times a matrix."""

    classifier = "fc"

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10, bias=False, dtype=torch.float64)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.fc(pixels.flatten(1).double())


def view(model: nn.Module | None = None, mask: Mask | None = None, prunable: Prunable = "default") -> View:
    """A network in evaluation mode within a mask; by default the tiny one, with everything alive."""
    model = model or network()
    layers = prunable_layers(model, prunable)
    return View(model.eval(), weights_of(model), mask or Mask.ones(layers), None, layers)


def half(model: nn.Module, seed: int = 3) -> Mask:
    """A random half of what is prunable."""
    layers, rng = prunable_layers(model), torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(layer.shape, generator=rng) for name, layer in layers.items()}
    return keep_top(scores, Mask.ones(layers), Mask.ones(layers).total // 2)


def context(at: View, seed: int = 0, data: Data | None = None, recipe: Recipe = RECIPE) -> Context:
    """A context whose searches are trained by the loop that trains tickets; tickets start from the view's weights."""
    data = data or DATASET.load()

    def train(module: nn.Module, recipe: Recipe, epochs: float) -> int:
        job = Assignment(Ticket(Mask({}), module.state_dict()), seed, ORDER, epochs=epochs)
        history = Training(module, job, recipe, DATASET, data).run().progress.history
        return int(sum(record["images"] for record in history))

    return Context(seed, at.weights, lambda purpose: weights_of(network(seed + 7)), at.weights, data, recipe, train)


def plain(at: View, scores: Mapping[str, Tensor], look: Look, recipe: Recipe, steps: int) -> dict[str, Tensor]:
    """A mask learned as the papers say it: torch.optim.SGD on the scores, whose gradient is written down:
    weight x gradient of the loss by the masked weight x slope. The network's state dict and, by layer, the scores.
    """
    model, frozen = deepcopy(at.model), at.weights
    model.load_state_dict(dict(frozen))
    parameters, learned = dict(model.named_parameters()), {name: s.clone() for name, s in scores.items()}
    optimiser = torch.optim.SGD(learned.values(), 1.0, recipe.momentum, weight_decay=recipe.weight_decay)
    batches = Batches(DATASET.load().train, DATASET, recipe.batch_size, ORDER)
    for step, rate in enumerate(recipe.learning_rates(steps, PER_EPOCH)):
        if step % PER_EPOCH == 0:
            stream = batches.epoch(step // PER_EPOCH)
        mask, slope = look(step, learned)
        for name in learned:
            parameters[name].data.copy_(torch.where(mask[name], frozen[name], 0))
        pixels, labels = next(stream)
        model.train().zero_grad()
        F.cross_entropy(model(pixels).float(), labels).backward()  # as the loop does
        for name, score in learned.items():
            score.grad = frozen[name] * parameters[name].grad * slope[name]
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
    return learned | {f"network.{name}": tensor for name, tensor in model.state_dict().items() if name not in learned}


def others(weights: Weights, mask: Mask) -> dict[str, Tensor]:
    """What of a state dict is not prunable and no statistic: it must be as it was."""
    return {name: t for name, t in weights.items() if name not in mask and not name.endswith(STATISTICS)}


def right(model: nn.Module, ticket: Ticket) -> float:
    """The share of the test images that a ticket gets right."""
    loaded, test = deepcopy(model), DATASET.load().test
    loaded.load_state_dict(ticket.masked(ticket.start))
    return float((predict(loaded, test).argmax(1) == test.labels).float().mean())


def quick(**fields: object) -> Recipe:
    """The tiny recipe with other fields."""
    return replace(RECIPE, **fields)
