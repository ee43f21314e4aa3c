"""Training a wave: tickets that do not depend on each other. How many train together is decided here and changes no
result.
"""

from collections.abc import Iterator, Sequence

from torch import nn

from ticketsearch.data.base import Data, Dataset
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment, Trained


def fit(
    wave: Sequence[Assignment], model: nn.Module, recipe: Recipe, dataset: Dataset, data: Data
) -> Iterator[Trained]:
    """Train every ticket of the wave and hand each over, in order, as soon as it is done.

    Args:
        wave: the tickets; each brings its own start, data order and checkpoint.
        model: a network of the right shape; its weights are overwritten.
        recipe: how to train.
        dataset: how training images are cropped and flipped.
        data: the images, on the device to train on.

    Raises:
        RunFailed: a loss was not finite.
    """
    for job in wave:
        yield Training(model, job, recipe, dataset, data).run()
