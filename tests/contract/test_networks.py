"""What every model in `conf/model` and every dataset in `conf/dataset` must be. That the numbers of parameters in a
model's yaml are those of its network is asked where they are listed.
"""

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.three import CONF
from tests.tiny import same, weights_of
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

YAMLS = Conf.beside(CONF)
"""Ours, and the network that all pruners are held to."""
every_model = pytest.mark.parametrize("name", YAMLS.choices("model"))
every_dataset = pytest.mark.parametrize("name", OWN.choices("dataset"))


def model(name: str) -> Model:
    return build(YAMLS.load("model", name), "model", ("tests",), PARTS["model"])


@cache
def initial(name: str) -> nn.Module:
    """The network for digits with the initial weights of seed 0; not to be changed."""
    return model(name).initial(Digits(), 0).eval()


def shaken(name: str) -> nn.Module:
    """A network of which every normalisation does something."""
    network = model(name).initial(Digits(), 0)
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.double().eval()


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
    wanted = bare((pixels(3) - torch.tensor(mean)) / torch.tensor(std))
    torch.testing.assert_close(network(pixels(3)), wanted, rtol=0, atol=1e-9)
    assert not torch.allclose(network(pixels(3)), bare(pixels(3)))


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
