"""Scores: one number per weight, higher = keep. Pure functions with their settings as fields."""

from dataclasses import dataclass

import torch

from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Scores


@dataclass(frozen=True)
class Magnitude(Score):
    """|w| (Han et al. 2015; `large_final` of Zhou et al. 2019 when the view is a trained model)."""

    def __call__(self, at: View, ctx: Context) -> Scores:
        return {name: at.weights[name].abs() for name in at.mask}


@dataclass(frozen=True)
class Random(Score):
    """Uniform on [0, 1), one draw per seed: the same in every round, so that masks are nested.

    Ranked across layers this gives every layer the same density in expectation (`RandomUnstructured` over all layers,
    the random pruning of Chen et al. 2022).
    """

    def __call__(self, at: View, ctx: Context) -> Scores:
        return {name: torch.rand(layer.shape, generator=ctx.rng(f"random/{name}")) for name, layer in at.layers.items()}
