"""Layer collapse (Tanaka et al. 2020): VGG-16, what is left of its layers at 10^2.5 and 10^3 times fewer weights."""

import pytest
import torch

from tests.three import pruner
from tests.tiny import RECIPE, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.models.vgg import SmallImageVGG
from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Mask, prunable_layers


def vgg16() -> tuple[View, Context]:
    """Everything prunable, as in the authors' code; SynFlow needs no images, only their shape."""
    model = SmallImageVGG(depth=16).initial(Cifar10(), 0).eval()
    layers = prunable_layers(model, "all")
    at = View(model, weights_of(model), Mask.ones(layers), None, layers)
    blank = Split(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, dtype=torch.long))
    data = Data(blank, blank[:0], blank[:0])
    return at, Context(0, at.weights, lambda _: at.weights, at.weights, data, RECIPE, lambda *_: 0)


def smallest(name: str, compression: float) -> int:
    """The weights that the poorest layer keeps."""
    at, ctx = vgg16()
    mask = pruner(name).draw(at, round(at.mask.total / compression), ctx)
    return min(mask.layer_kept.values())


def test_magnitude_at_initialisation_empties_layers() -> None:
    """In the authors' runs accuracy is 10 % from 10^2.5 on: of 2,359,296 weights some layer keeps one in 20,000 there,
    and soon none. With the normal weights of He et al. (2015), which are theirs too, the count reaches zero later.
    """
    assert smallest("magnitude_init", 10**2) > 1000
    assert 0 < smallest("magnitude_init", 10**2.5) < 2_359_296 / 20_000
    assert smallest("magnitude_init", 10**3) == 0


@pytest.mark.slow
def test_synflow_keeps_every_layer() -> None:
    assert smallest("synflow", 10**3) > 100
