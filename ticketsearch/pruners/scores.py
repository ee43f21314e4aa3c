"""Scores: one number per weight, higher = keep. Pure functions with their settings as fields."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Scores


@dataclass(frozen=True)
class Magnitude(Score):
    """|w| (Han et al. 2015; `large_final` of Zhou et al. 2019 when the view is a trained model)."""

    def __call__(self, at: View, ctx: Context) -> Scores:
        return {name: at.weights[name].abs() for name in at.mask}


@dataclass(frozen=True)
class Lamp(Score):
    """w^2 over the sum of v^2 over the weights v of the layer that are alive and not smaller (Lee et al. 2021,
    "Layer-adaptive sparsity for the magnitude-based pruning"). Ranked across layers.

    Of weights of the same size the earlier one has the higher score, so that the largest of each layer has 1 and no
    layer loses its last weight before another has lost all but one. Computed in float64.
    """

    def __call__(self, at: View, ctx: Context) -> Scores:
        return {name: _lamp(at.weights[name].cpu(), alive) for name, alive in at.mask.items()}


def _lamp(weights: Tensor, alive: Tensor) -> Tensor:
    squares = weights[alive].double().square()
    order = squares.argsort(descending=True, stable=True)
    found = torch.empty_like(squares)
    found[order] = squares[order] / squares[order].cumsum(0).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.zeros(weights.shape, dtype=torch.float64).masked_scatter(alive, found)


@dataclass(frozen=True)
class Random(Score):
    """Uniform on [0, 1), one draw per seed: the same in every round, so that masks are nested.

    Ranked across layers this gives every layer the same density in expectation (`RandomUnstructured` over all layers,
    the random pruning of Chen et al. 2022).
    """

    def __call__(self, at: View, ctx: Context) -> Scores:
        return {name: torch.rand(layer.shape, generator=ctx.rng(f"random/{name}")) for name, layer in at.layers.items()}
