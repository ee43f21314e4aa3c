"""What every model in `conf/model` and every dataset in `conf/dataset` must be. That the numbers of parameters in a
model's yaml are those of its network is asked where they are listed.
"""

import importlib.util
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import executed
from tests.three import CONF
from tests.tiny import Memory, magnitude_mask, same, weights_of
from ticketsearch import channels
from ticketsearch.build import build
from ticketsearch.conf import OWN, Conf
from ticketsearch.config import PARTS
from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.data.digits import Digits
from ticketsearch.errors import DataMissing
from ticketsearch.export.compact import compact
from ticketsearch.models.base import Model, Normalise
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Assignment

YAMLS = Conf.beside(CONF)
"""Ours, and the network that all pruners are held to."""
LARGE = 1_000_000
"""Parameters from which on a network as it is belongs to the slow tests; the others take one that is narrow instead."""
NARROW = 4
PRUNABLE = Path(__file__).with_name("prunable.json")
"""Of each model of ours, the prunable weights at its native images: name and shape, in their order."""
SIDES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))


def model(name: str) -> Model:
    """The model of a yaml, or of `YAML narrow`."""
    yaml, _, narrow = name.partition(" ")
    chosen: Any = build(YAMLS.load("model", yaml), "model", ("tests",), PARTS["model"])
    return replace(chosen, width=NARROW) if narrow else chosen


def native(name: str) -> tuple[tuple[int, int, int], int]:
    """Shape of the images and number of classes that a yaml's head says."""
    shape, _, classes = YAMLS.head("model", name).facts["native"].partition(", ")
    channels, height, width = map(int, shape.split("x"))
    return (channels, height, width), int(classes.split()[0])


def installed(name: str) -> list[pytest.MarkDecorator]:
    """Skips a model of a library that is not here."""
    library = getattr(model(name), "library", "torch")
    missing = importlib.util.find_spec(library) is None
    return [pytest.mark.skipif(missing, reason=f"{library} is not installed")]


def sized() -> Iterator[Any]:
    """Every model, the large ones as slow tests; beside those the same in narrow, if its width is a setting."""
    for name in YAMLS.choices("model"):
        large = int(YAMLS.head("model", name).facts.get("parameters", "0").replace(",", "")) > LARGE
        yield pytest.param(name, marks=installed(name) + [pytest.mark.slow] * large)
        if large and hasattr(model(name), "width") and getattr(model(name), "widths", None) is None:
            yield f"{name} narrow"


every_model = pytest.mark.parametrize("name", list(sized()))
every_own_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=installed(name)) for name in OWN.choices("model")]
)
every_dataset = pytest.mark.parametrize("name", OWN.choices("dataset"))


@cache
def initial(name: str) -> nn.Module:
    """The network for digits with the initial weights of seed 0; not to be changed."""
    return model(name).initial(Digits(), 0).eval()


def shaken(name: str) -> nn.Module:
    """A network of which every normalisation does something, with the statistics of some images: a deep one would give
    the same for every image otherwise.
    """
    network = model(name).initial(Digits(), 0).double()
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            for tensor in (module.weight.data, module.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    with torch.no_grad():
        network.train()(pixels(16))
    return network.eval()


def pixels(count: int, shape: tuple[int, int, int] = Digits.shape, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(1), dtype=dtype)


# Models.


@every_model
def test_the_classifier_is_declared_and_gives_the_logits(name: str) -> None:
    network, seen = model(name).initial(Digits(), 0).eval(), []
    network.get_submodule(network.classifier).register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits = network(pixels(3, dtype=torch.float32))
    assert logits.shape == (3, Digits.classes)
    assert torch.equal(seen[0].flatten(1), logits)
    assert len(seen) == 1
    default, everything = prunable_layers(network), prunable_layers(network, "all")
    assert everything.keys() - default.keys() == {f"{network.classifier}.weight"}
    assert len(default) >= 1


@every_model
def test_initial_weights_are_a_function_of_the_seed_and_the_purpose(name: str) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
        found.append(weights_of(model(name).initial(Digits(), 0)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (str(np.random.get_state()), random.getstate()) == before[1:]
    assert same(found[0], found[1])
    for other in (model(name).initial(Digits(), 1), model(name).initial(Digits(), 0, "reinit")):
        state = other.state_dict()
        assert not [layer for layer in prunable_layers(other, "all") if torch.equal(state[layer], found[0][layer])]


@every_model
def test_evaluation_changes_nothing_and_training_notes_statistics(name: str) -> None:
    network = model(name).initial(Digits(), 0).eval()
    before = weights_of(network)
    one = network(pixels(4, dtype=torch.float32))
    assert same(weights_of(network), before)
    assert torch.equal(network(pixels(4, dtype=torch.float32)), one)
    network.train()(pixels(4, dtype=torch.float32))
    changed = {entry for entry, tensor in network.state_dict().items() if not torch.equal(tensor, before[entry])}
    assert changed == before.keys() - dict(network.named_parameters()).keys()


@every_model
def test_an_images_logits_do_not_depend_on_its_neighbours(name: str) -> None:
    network, images = shaken(name), pixels(5)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-9)
    assert not torch.equal(alone[0], alone[1])


@every_model
def test_normalisation_is_the_first_layer(name: str) -> None:
    """Pixels as they are go in: a network without it gives the same for pixels that are normalised before."""
    mean, std = 0.3, 0.4
    network, bare = (
        model(name).build(Digits.shape, Digits.classes, Normalise([m], [s])).double().eval()
        for m, s in ((mean, std), (0.0, 1.0))
    )
    bare.load_state_dict(network.state_dict())
    normal = (pixels(3) - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(network(pixels(3)), bare(normal), rtol=0, atol=1e-9)
    torch.testing.assert_close(_read(network, pixels(3)), _read(bare, normal), rtol=0, atol=1e-12)
    assert not torch.allclose(_read(network, pixels(3)), _read(bare, pixels(3)))


def _read(network: nn.Module, images: Tensor) -> Tensor:
    """What the first layer with weights reads."""
    first = executed.layers(network, images)[0]
    seen = list[Tensor]()
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(images)
    hook.remove()
    return seen[0]


@every_model
@pytest.mark.parametrize("density", [0.5, 0.2])
def test_without_removed_channels_the_logits_are_the_same(name: str, density: float) -> None:
    """To 1e-6, in double precision; a network that declares no channels is refused instead."""
    network = shaken(name)
    if not getattr(network, "channels", ()):
        with pytest.raises(ValueError, match="declares no channels"):
            channels.declared(network)
        return
    ones = Mask.ones(prunable_layers(network))
    ranked = {layer: network.state_dict()[f"{layer}.weight"].flatten(1).norm(dim=1) for layer in _removable(network)}
    mask = channels.lowest_removed(network, ones, ranked, round(density * ones.total))
    network.load_state_dict(Ticket(mask, {}).masked(network.state_dict()))
    small, images = compact(network, mask), pixels(4)
    torch.testing.assert_close(small(images), network(images), rtol=0, atol=1e-6)
    assert not torch.allclose(network(images[:1]), network(images[1:2]))
    assert sum(p.numel() for entry, p in small.named_parameters() if entry in mask) == mask.kept < ones.total


def _removable(network: nn.Module) -> list[str]:
    return [group.layer for group in channels.declared(network)]


@every_model
def test_what_is_declared_is_there(name: str) -> None:
    """Each group's normalisation has its channels, and its readers take a multiple of them."""
    network = initial(name)
    for group in getattr(network, "channels", ()):
        made = network.get_submodule(group.layer).weight.shape[0]
        assert network.get_submodule(group.norm).weight.shape == (made,)
        assert group.consumers
        assert all(network.get_submodule(reader).weight.shape[1] % made == 0 for reader in group.consumers)


@every_own_model
def test_the_prunable_weights_are_those_that_they_were(name: str) -> None:
    """`prunable.json`: a change of names or shapes makes stored tickets unreadable."""
    shape, classes = native(name)
    with torch.device("meta"):
        network = model(name).build(shape, classes, Normalise([0.0] * shape[0], [1.0] * shape[0]))
    found = [[layer.removesuffix(".weight"), list(facts.shape)] for layer, facts in prunable_layers(network).items()]
    assert found == json.loads(PRUNABLE.read_text())[name]


def test_every_model_of_ours_has_its_list_of_prunable_weights() -> None:
    assert list(json.loads(PRUNABLE.read_text())) == OWN.choices("model")


def made(images_shape: tuple[int, int, int]) -> Dataset:
    """Eight images of noise to train on."""

    class Noise(Digits):
        shape, mean, std = images_shape, (0.5,) * images_shape[0], (0.25,) * images_shape[0]

        def load(self) -> Data:
            images = pixels(8, images_shape, torch.float32).mul(255).to(torch.uint8)
            split = Split(images, torch.arange(8))
            return Data(split, split[:4], split)

    return Noise(validation=0)


@every_model
@pytest.mark.parametrize("shape", SIDES, ids=lambda shape: "x".join(map(str, shape)))
def test_a_ticket_of_a_tenth_trains_on_images_of_every_shape(name: str, shape: tuple[int, int, int]) -> None:
    _a_tenth_trains(model(name), shape)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 224, 224)], ids=["64", "224"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=installed(n)) for n in OWN.choices("model") if native(n)[0] == (3, 224, 224)]
)
def test_a_ticket_of_a_tenth_trains_on_images_of_imagenet(name: str, shape: tuple[int, int, int]) -> None:
    _a_tenth_trains(model(name), shape)


def _a_tenth_trains(chosen: Model, shape: tuple[int, int, int]) -> None:
    dataset = made(shape)
    network = chosen.initial(dataset, 0)
    mask, before = magnitude_mask(network, 0.1), weights_of(network)
    recipe = Recipe(epochs=1, batch_size=4, lr=0.01)
    trained = Training(network, Assignment(Ticket(mask, before), 0, 0, Memory()), recipe, dataset, dataset.load()).run()
    assert mask.kept == round(0.1 * mask.total)
    assert trained.progress.step == 2
    assert all(bool(tensor.isfinite().all()) for tensor in trained.weights.values())
    assert not any(trained.weights[layer][~alive].any() for layer, alive in mask.items())
    moved = {entry for entry, tensor in trained.weights.items() if not torch.equal(tensor, before[entry])}
    assert f"{network.classifier}.weight" in moved
    assert moved & mask.keys()


# Datasets.


def dataset(name: str) -> Dataset:
    return build(OWN.load("dataset", name), "dataset", (), PARTS["dataset"])


def loaded(chosen: Dataset) -> Data:
    """Its images; where they are not on this machine the test is skipped, and says why."""
    try:
        return chosen.load()
    except DataMissing as error:
        pytest.skip(error.what)


def splits(data: Data) -> dict[str, Split]:
    return {"train": data.train, "val": data.val, "test": data.test}


def same_split(one: Split, other: Split) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


@every_dataset
def test_images_and_labels_are_what_the_dataset_says(name: str) -> None:
    chosen = dataset(name)
    for part, split in splits(loaded(chosen)).items():
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert split.images.shape == (len(split), *chosen.shape)
        assert len(split) == chosen.validation or part != "val"
        if len(split):
            assert set(split.labels.tolist()) <= set(range(chosen.classes))
    assert set(loaded(chosen).train.labels.tolist()) == set(range(chosen.classes))
    assert set(loaded(chosen).test.labels.tolist()) == set(range(chosen.classes))
    assert len(chosen.mean) == len(chosen.std) == chosen.shape[0]
    assert all(0 < mean < 1 and 0 < std < 1 for mean, std in zip(chosen.mean, chosen.std, strict=True))


@every_dataset
def test_its_recipe_is_one_of_ours(name: str) -> None:
    assert dataset(name).recipe in set(OWN.choices("recipe")) - {"auto"}
    recipes = {model(other).recipe for other in OWN.choices("model")} - {None}
    assert recipes <= set(OWN.choices("recipe")) - {"auto"}


@every_dataset
def test_it_is_the_same_each_time_whatever_the_global_generators(name: str) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        random.seed(state)
        found.append(loaded(dataset(name)).fingerprint())
    assert found[0] == found[1]


@every_dataset
def test_validation_is_cut_from_the_end_and_subset_from_the_start(name: str) -> None:
    whole, some = loaded(replace(dataset(name), validation=0)), loaded(replace(dataset(name), validation=30, subset=20))
    assert len(whole.val) == 0
    assert same_split(some.train, whole.train[:20])
    assert same_split(some.val, whole.train[-30:])
    assert same_split(some.test, whole.test)
    usual = loaded(dataset(name))
    count = len(usual.train)
    assert count + len(usual.val) <= len(whole.train)  # with both from the two ends, no image is in two splits
    assert same_split(usual.train, whole.train[:count])
    assert same_split(usual.val, whole.train[len(whole.train) - len(usual.val) :])


@every_dataset
def test_more_images_than_there_are_are_refused(name: str) -> None:
    count = len(loaded(replace(dataset(name), validation=0)).train)
    for impossible in (
        {"validation": count},
        {"validation": 1, "subset": count},
        {"validation": 0, "subset": count + 1},
    ):
        with pytest.raises(ValueError, match=f"{count} training images cannot give"):
            replace(dataset(name), **impossible).load()
