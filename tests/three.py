"""A network of three layers with 4,752 prunable weights: small enough that every pruner draws from it in every test,
and large enough that 5 of them are left at 99.9 %.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ticketsearch
from tests.tiny import DATASET, RECIPE, Memory, weights_of
from ticketsearch.build import build
from ticketsearch.cell import Cell
from ticketsearch.channels import Channels, without
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.console import Display
from ticketsearch.data.base import Data
from ticketsearch.models.base import Model, Normalise
from ticketsearch.pruners.base import Pruner, Source
from ticketsearch.pruners.view import Context, Twin, View
from ticketsearch.ticket import Mask, Ticket, Weights, keep_top, prunable_layers
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment

CONF = Path(__file__).parent / "contract" / "conf"
"""Yamls of the tests' own, for `--config-dir`: `model=three` is this network."""
SPARSITIES = (0.2, 0.5, 0.9, 0.99, 0.999)
WORDS = (
    "extensions=[tests]", "model=three", "dataset.subset=150", "dataset.validation=50", "recipe=digits",
    "recipe.epochs=3", "recipe.batch_size=32", "metrics=[accuracy,ticket]", "schedule=explicit",
    f"schedule.sparsities=[{','.join(map(str, SPARSITIES))}]",
)  # fmt: skip
"""A search of five rounds; each of them trains for a tenth of a second."""


class Three(nn.Module):
    """The network: `normalise`, two convolutions with batch norm, a maximum between them, a mean, the classifier."""

    classifier = "fc"
    channels = (Channels("one", "norm_one", ("two",)), Channels("two", "norm_two", ("fc",)))

    def __init__(self, width: int, channels: int, classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.one, self.norm_one = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.two, self.norm_two = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm_one(self.one(self.normalise(pixels)))), 2)
        return self.fc(F.relu(self.norm_two(self.two(x))).mean((2, 3)))


@dataclass(frozen=True)
class ThreeLayers(Model):
    """Its yaml.

    Attributes:
        width: channels of the first convolution; the second has twice as many.
    """

    width: int = 16

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        return Three(self.width, shape[0], classes, normalise)


def pruner(name: str) -> Pruner:
    """The pruner of a yaml, by itself."""
    return build(OWN.load("pruner", name), "pruner", (), PARTS["pruner"])


def run(out: Path, *overrides: str, display: Display | None = None) -> Path:
    """A search on this network in this process: its folder."""
    return ticketsearch.run([*WORDS, *overrides, f"out={out}"], display, config_dir=CONF)


class Told(Display):
    """Notes the epochs of one cell, those of a search within its draw too.

    Args:
        run: the cell's run, by its pruner.
        round: of the cell.
        moment: Ctrl-C at this many of them; 0: before it is drawn; None: never.
    """

    def __init__(self, run: str, round: int, moment: int | None = None) -> None:
        self._cell, self._moment = (run, round), moment
        self.here: list[int] = []

    def begin(self, cell: Cell, label: str, sparsity: float) -> None:
        self._look(cell)

    def epoch(self, cell: Cell, record: Mapping[str, float], epochs: int) -> None:
        if self._of(cell):
            self.here.append(int(record["epoch"]))
            self._look(cell)

    def _look(self, cell: Cell) -> None:
        if self._of(cell) and len(self.here) == self._moment:
            raise KeyboardInterrupt

    def _of(self, cell: Cell) -> bool:
        return (cell.run.name.split("-")[2], cell.round) == self._cell


# What a draw is given, without a search around it.


def network(seed: int = 0) -> nn.Module:
    """The network with the initial weights of a seed."""
    return ThreeLayers().initial(DATASET, seed)


@cache
def data() -> Data:
    """150 digits to train on, 50 for validation."""
    return DATASET.load()


@cache
def trained() -> Weights:
    """The network's weights after three epochs."""
    model = network()
    whole = Ticket(Mask.ones(prunable_layers(model)), weights_of(model))
    return Training(model, Assignment(whole, 0, 0, Memory()), RECIPE, DATASET, data()).run().weights


def view(chosen: Pruner) -> View:
    """What a pruner looks at: the initial or the trained weights, and of them some 70 %, in whole channels for a pruner
    of channels. A search shows everything to those that look at the initialisation or at the dense model; a mask must
    lie within `at.mask` all the same.
    """
    model = network()
    layers, rng = prunable_layers(model), torch.Generator().manual_seed(1)
    if chosen.source is not Source.INIT:
        model.load_state_dict(dict(trained()))
    mask = Mask.ones(layers)
    if chosen.unit == "channel":
        mask = without(
            model,
            mask,
            {g.layer: torch.rand(n, generator=rng) < 0.7 for g, n in zip(Three.channels, (16, 32), strict=True)},
        )
    else:
        scores = {name: torch.rand(layer.shape, generator=rng) for name, layer in layers.items()}
        mask = keep_top(scores, mask, round(0.7 * mask.total))
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    return View(model.eval(), weights_of(model), mask, None, layers)


def context(at: View, seed: int = 0, kind: type[Context] = Context, rewound: Weights | None = None) -> Context:
    """What a draw may use; the initial weights are the same whatever the seed, so that what differs is its randomness.

    The twin, for those that have one, is magnitude pruning that has drawn what `at` shows. A search within the draw is
    a training as it always is.
    """

    def train(module: nn.Module, recipe: Recipe, epochs: float) -> int:
        job = Assignment(Ticket(Mask({}), module.state_dict()), seed, seed, Memory(), epochs=epochs)
        history = Training(module, job, recipe, DATASET, data()).run().progress.history
        return int(sum(record["images"] for record in history))

    lth, initial = pruner("lth"), weights_of(network())
    twin = Twin(lth.score, lth.scope, lambda: Ticket(at.mask, initial), lambda: view(pruner("omp")))
    fresh = {"fresh": lambda purpose: weights_of(network(seed + 7)), "rewound": rewound or deepcopy(initial)}
    return kind(seed, initial, data=data(), recipe=RECIPE, train=train, twin=twin, **fresh)


def keep_of(chosen: Pruner, at: View) -> int:
    """How many weights a draw from a view is to keep: a twentieth of the living ones, so few that the largest are not
    the best that a search can find; a twin's ticket has its own count.
    """
    return at.mask.kept if chosen.source is Source.TWIN else at.mask.kept // 20
