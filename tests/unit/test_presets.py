"""Published recipes and presets: what they compose to is what their sources say."""

from functools import cache
from itertools import pairwise

import pytest

from ticketsearch.compose import compose
from ticketsearch.conf import Head, conf_dir
from ticketsearch.config import Config
from ticketsearch.pruners.base import Source
from ticketsearch.pruners.scopes import Global, Rates
from ticketsearch.rewind import Rewind
from ticketsearch.training.recipe import Recipe


@cache
def composed(line: str) -> Config:
    return compose(line.split())


def recipe(name: str) -> Recipe:
    return composed(f"recipe={name}").recipe


def drops(chosen: Recipe, per_epoch: int) -> dict[int, float]:
    """The step of each change of the learning rate, and what it is from there on."""
    rates = chosen.learning_rates(chosen.epochs * per_epoch, per_epoch)
    return {step: after for step, (before, after) in enumerate(pairwise(rates), 1) if after != before}


# 45,000 images in batches of 128, 50,000 of them, batches of 256, and one batch an epoch.
@pytest.mark.parametrize("per_epoch", [352, 391, 176, 1])
@pytest.mark.parametrize(
    ("name", "epochs", "first", "second"),
    [("cifar", 182, 91, 136), ("cifar_renda", 182, 91, 136), ("cifar_openlth", 160, 80, 120)],
)
def test_the_learning_rate_drops_after_whole_epochs(
    name: str, epochs: int, first: int, second: int, per_epoch: int
) -> None:
    chosen = recipe(name)
    assert (chosen.epochs, chosen.lr) == (epochs, 0.1)
    assert chosen.learning_rates(epochs * per_epoch, per_epoch)[0] == 0.1
    assert drops(chosen, per_epoch) == {
        first * per_epoch: pytest.approx(0.01),
        second * per_epoch: pytest.approx(0.001),
    }


@pytest.mark.parametrize(("name", "decay"), [("cifar", 1e-4), ("cifar_renda", 2e-4), ("cifar_openlth", 1e-4)])
def test_recipes_for_cifar(name: str, decay: float) -> None:
    chosen = recipe(name)
    assert (chosen.optimiser, chosen.batch_size, chosen.momentum) == ("sgd", 128, 0.9)
    assert (chosen.weight_decay, chosen.warmup, chosen.nesterov) == (decay, 0, False)


def test_lenet_trains_with_adam_for_fifty_thousand_updates() -> None:
    chosen = recipe("mnist")
    assert (chosen.optimiser, chosen.lr, chosen.batch_size, chosen.weight_decay) == ("adam", 1.2e-3, 60, 0)
    assert (chosen.momentum, chosen.beta2, chosen.eps) == (0.9, 0.999, 1e-8)
    per_epoch = -(-55_000 // 60)
    assert drops(chosen, per_epoch) == {}
    assert (chosen.epochs - 1) * per_epoch < 50_000 <= chosen.epochs * per_epoch


def test_lenet_in_open_lth() -> None:
    chosen = recipe("mnist_openlth")
    assert (chosen.optimiser, chosen.lr, chosen.batch_size, chosen.epochs) == ("sgd", 0.1, 128, 40)
    assert (chosen.momentum, chosen.weight_decay) == (0, 0)
    assert drops(chosen, 430) == {}


@pytest.mark.parametrize(
    ("dataset", "name"),
    [(name, "mnist") for name in ("mnist", "fashion_mnist", "kmnist")]
    + [(name, "cifar") for name in ("cifar10", "cifar100", "svhn")],
)
def test_auto_is_the_recipe_of_the_dataset(dataset: str, name: str) -> None:
    config = composed(f"dataset={dataset}")
    assert (config.names["recipe"], config.recipe) == (name, recipe(name))


@pytest.mark.parametrize(("name", "dataset"), [("paper_c10_r20s", "cifar10"), ("paper_c100_r20s", "cifar100")])
def test_the_papers_presets(name: str, dataset: str) -> None:
    config = composed(f"experiment={name}")
    parts = {part: config.names[part] for part in ("dataset", "model", "pruner", "recipe", "schedule", "rest")}
    assert parts == {
        "dataset": dataset,
        "model": "resnet20",
        "pruner": "lth",
        "recipe": "cifar",
        "schedule": "geometric",
        "rest": "zero",
    }
    assert config.recipe == recipe("cifar")
    assert config.rewind == Rewind(weights="step", at="3ep", lr="resume", data="resume")
    assert (list(config.seeds), config.options.prunable, config.pruner.source) == (
        [0, 1, 2],
        "default",
        Source.PREVIOUS,
    )
    assert config.pruner.scope == Global()
    # 20 % in each of 21 rounds: to 99.08 %.
    assert list(config.rounds) == list(range(1, 22))
    total = 267_696
    assert 1 - config.schedule.keep(21, total) / total == pytest.approx(0.9908, abs=5e-5)
    assert (config.dataset.validation, config.dataset.pad, config.dataset.flip) == (5000, 4, True)


def test_frankle_and_carbins_preset() -> None:
    config = composed("experiment=frankle_mnist")
    assert (config.names["dataset"], config.names["model"], config.names["recipe"]) == ("mnist", "lenet300", "mnist")
    assert (config.names["pruner"], config.names["rewind"], config.options.prunable) == ("lth_layerwise", "init", "all")
    assert config.pruner.scope == Rates(0.2, 0.2, 0.1)
    assert list(config.seeds) == [0, 1, 2, 3, 4]
    assert config.model.widths == (300, 100)
    assert (config.dataset.validation, config.dataset.pad, config.dataset.flip) == (5000, 0, False)
    assert config.schedule.keep(1, 266_200) == 212_960


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("experiment/frankle_mnist", "Frankle & Carbin 2019"),
        ("experiment/paper_c10_r20s", "Chen et al. 2022"),
        ("experiment/paper_c100_r20s", "Chen et al. 2022"),
        ("recipe/mnist", "Frankle & Carbin 2019"),
        ("recipe/mnist_openlth", "OpenLTH"),
        ("recipe/cifar", "PrAC-LTH"),
        ("recipe/cifar_openlth", "OpenLTH"),
        ("recipe/cifar_renda", "Renda et al. 2020"),
        ("pruner/lth_layerwise", "Frankle & Carbin 2019"),
    ],
)
def test_each_names_its_source(path: str, source: str) -> None:
    assert source in Head.of(conf_dir() / f"{path}.yaml").reference


def test_what_is_no_more_than_a_proxy_says_so() -> None:
    for path in ("recipe/cifar", "experiment/paper_c10_r20s", "experiment/paper_c100_r20s"):
        assert "proxy" in Head.of(conf_dir() / f"{path}.yaml").summary
