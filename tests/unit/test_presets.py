"""Published recipes and presets: what they compose to is what their sources say."""

import math
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ticketsearch
from ticketsearch.compose import compose
from ticketsearch.conf import OWN, Head, conf_dir
from ticketsearch.config import Config
from ticketsearch.errors import DataMissing
from ticketsearch.overrides import expanded
from ticketsearch.pruners.base import Source
from ticketsearch.pruners.scopes import Erk, Global, Rates
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
    [
        ("cifar", 182, 91, 136),
        ("cifar_renda", 182, 91, 136),
        ("cifar_openlth", 160, 80, 120),
        ("cifar_early_bird", 160, 80, 120),
    ],
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


@pytest.mark.parametrize("per_epoch", [1252, 1242, 98, 1])  # all of ImageNet, without 10,000, CIFAR, one batch
def test_the_recipe_for_imagenet(per_epoch: int) -> None:
    chosen = recipe("imagenet")
    assert (chosen.epochs, chosen.batch_size, chosen.momentum, chosen.weight_decay) == (90, 1024, 0.9, 1e-4)
    rates = chosen.learning_rates(90 * per_epoch, per_epoch)
    assert rates[0] == pytest.approx(0.4 / (5 * per_epoch))
    assert rates[5 * per_epoch - 1] == 0.4
    assert {step: rate for step, rate in drops(chosen, per_epoch).items() if step >= 5 * per_epoch} == {
        epoch * per_epoch: pytest.approx(rate) for epoch, rate in ((30, 0.04), (60, 0.004), (80, 0.0004))
    }


def test_the_recipe_of_rigl_falls_every_thirty_thousand_updates() -> None:
    chosen = recipe("cifar_rigl")
    assert (chosen.epochs, chosen.batch_size, chosen.momentum, chosen.nesterov) == (250, 128, 0.9, True)
    assert (chosen.weight_decay, chosen.warmup) == (5e-4, 0)
    rates = chosen.learning_rates(97_656, 391)
    changes = {n: after for n, (before, after) in enumerate(pairwise(rates), 1) if before != after}
    assert changes == {30_000: pytest.approx(0.02), 60_000: pytest.approx(0.004), 90_000: pytest.approx(0.0008)}


def test_the_recipe_of_pytorch_cifar_is_a_cosine() -> None:
    chosen = recipe("cifar_cosine")
    assert (chosen.epochs, chosen.batch_size, chosen.lr, chosen.weight_decay) == (200, 128, 0.1, 5e-4)
    rates = chosen.learning_rates(200, 1)
    assert [rates[0], rates[100], rates[150]] == pytest.approx([0.1, 0.05, 0.1 * (1 - 0.5**0.5) / 2])


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


PAPER = {
    "paper_c10_r20s": ("cifar10", "resnet20", 21, 3, 267_696),
    "paper_c10_r18": ("cifar10", "resnet18", 21, 3, 11_159_232),
    "paper_c10_wrn": ("cifar10", "wrn28_10", 26, 1, 36_454_832),
    "paper_c100_r20s": ("cifar100", "resnet20", 21, 3, 267_696),
    "paper_c100_r18": ("cifar100", "resnet18", 21, 3, 11_159_232),
    "paper_c100_wrn": ("cifar100", "wrn28_10", 26, 1, 36_454_832),
    "paper_imagenet_r50": ("imagenet", "resnet50_imagenet", 12, 1, 23_454_912),
}
"""Preset -> dataset, model, rounds and seeds as in the paper's figures, and prunable weights."""
SPARSEST = {12: 0.9313, 21: 0.9908, 26: 0.9970}
"""Round -> the sparsity that the figures' axes end at."""


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_presets(name: str) -> None:
    config, (dataset, model, rounds, seeds, total) = composed(f"experiment={name}"), PAPER[name]
    whole = dataset == "imagenet"
    parts = {part: config.names[part] for part in ("dataset", "model", "pruner", "recipe", "schedule", "rest")}
    assert parts == {
        "dataset": dataset,
        "model": model,
        "pruner": "lth",
        "recipe": "imagenet" if whole else "cifar",
        "schedule": "geometric",
        "rest": "zero",
    }
    assert config.recipe == recipe(parts["recipe"])
    assert config.rewind == Rewind(weights="step", at="15ep" if whole else "3ep", lr="resume", data="resume")
    assert (len(config.seeds), config.seeds[0], config.options.prunable) == (seeds, 0, "default")
    assert (config.pruner.source, config.pruner.scope) == (Source.PREVIOUS, Global())
    assert list(config.rounds) == list(range(1, rounds + 1))
    assert 1 - config.schedule.keep(rounds, total) / total == pytest.approx(SPARSEST[rounds], abs=5e-5)
    expected = (10_000, 4, True) if whole else (5000, 4, True)
    assert (config.dataset.validation, config.dataset.pad, config.dataset.flip) == expected


def test_the_preset_of_rigl() -> None:
    config = composed("experiment=rigl_c10")
    assert (config.names["dataset"], config.names["pruner"]) == ("cifar10", "rigl")
    assert (config.model.depth, config.model.width, config.model.widths) == (22, 32, None)
    assert config.schedule.sparsities == (0.5, 0.8, 0.9, 0.95)
    assert (config.recipe, config.dataset.validation) == (recipe("cifar_rigl"), 0)
    assert (config.pruner.every, config.pruner.share, config.pruner.scope) == (100, 0.3, Erk())


def test_the_preset_of_renda_et_al() -> None:
    config = composed("experiment=renda_c10_r20")
    assert (config.names["dataset"], config.names["model"], config.names["pruner"]) == ("cifar10", "resnet20", "lth")
    assert config.rewind == Rewind(weights="source")
    assert (config.recipe, config.dataset.validation) == (recipe("cifar_renda"), 0)
    densities = [config.schedule.keep(n, 1000) for n in config.rounds]
    assert densities == [800, 640, 512, 410, 328, 262, 210, 168, 134, 107]
    other = composed("experiment=renda_c10_r20 rewind=step rewind.at=12ep")
    assert other.rewind == Rewind(weights="step", at="12ep", lr="resume", data="resume")


def test_the_preset_of_early_birds() -> None:
    config = composed("experiment=early_bird_c100")
    assert (config.names["dataset"], config.names["model"], config.names["pruner"]) == (
        "cifar100",
        "vgg16",
        "early_bird",
    )
    assert (config.pruner.slimming, config.pruner.window, config.pruner.near) == (1e-4, 5, 0.1)
    assert (config.schedule.sparsities, config.dataset.validation) == ((0.1, 0.3, 0.5), 0)
    assert (config.recipe.epochs, config.recipe.batch_size, config.recipe.weight_decay) == (160, 256, 1e-4)


def test_the_preset_of_difficulty_sweeps_over_seven_networks() -> None:
    words = OWN.head("experiment", "difficulty_c10").command.split()
    assert words[:3] == ["ticketsearch", "run", "-m"]
    configs = [compose(job) for job in expanded(words[3:], OWN)]
    assert [config.names["model"] for config in configs] == [
        "lenet5", "pnasnet_a", "pnasnet_b", "resnet32", "mobilenet_v1", "efficientnet_b0", "resnet18",
    ]  # fmt: skip
    for config in configs:
        assert (config.names["dataset"], config.names["pruner"], config.names["rewind"]) == ("cifar10", "lth", "init")
        assert (len(config.seeds), config.recipe) == (50, recipe("cifar_cosine"))


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
        *((f"experiment/{name}", "Chen et al. 2022") for name in PAPER),
        ("experiment/rigl_c10", "Evci et al. 2020"),
        ("experiment/renda_c10_r20", "Renda et al. 2020"),
        ("experiment/early_bird_c100", "You et al. 2020"),
        ("experiment/difficulty_c10", "Sahu et al. 2022"),
        ("recipe/imagenet", "OpenLTH"),
        ("recipe/cifar_rigl", "Evci et al. 2020"),
        ("recipe/cifar_early_bird", "You et al. 2020"),
        ("recipe/cifar_cosine", "pytorch-cifar"),
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
    for path in ("recipe/cifar", "experiment/difficulty_c10", *(f"experiment/{name}" for name in PAPER)):
        assert re.search(r"\bprox(y|ies)\b", Head.of(conf_dir() / f"{path}.yaml").summary)


# Every preset.

every_preset = pytest.mark.parametrize("name", OWN.choices("experiment"))


@every_preset
def test_a_presets_head_says_how_to_run_it_and_what_it_costs(name: str) -> None:
    head, config = OWN.head("experiment", name), composed(f"experiment={name}")
    words = head.command.split()
    assert words[:2] == ["ticketsearch", "run"]
    jobs = [compose(job) for job in expanded([word for word in words[2:] if word != "-m"], OWN)]
    assert {job.names["experiment"] for job in jobs} == {name}
    said = re.match(r"(at most )?([\d,]+) trainings of (\d+) epochs of ([\d,]+) images; ", head.facts["cost"])
    trainings, epochs, images = (int(text.replace(",", "")) for text in said.groups()[1:])
    assert epochs == config.recipe.epochs
    assert images == trained_on(config)
    each = len(config.rounds) * math.ceil(config.pruner.budget) * (1 + len(config.controls)) + 1
    assert trainings == len(jobs) * len(config.seeds) * each
    assert "estimated" in head.facts["cost"] or trainings < 10


def trained_on(config: Config) -> int:
    """Training images, as the dataset's head says; all of them together where none validate."""
    counts = re.findall(
        r"([\d,]+) (?:to train on|for validation)", OWN.head("dataset", config.names["dataset"]).summary
    )
    train, validation = (int(text.replace(",", "")) for text in counts)
    return config.dataset.subset or train + validation - config.dataset.validation


EVERY_METRIC = ("frankle_mnist", "paper_c10_r20s", "paper_imagenet_r50")


@pytest.mark.slow
@every_preset
def test_a_preset_runs_at_its_smallest(name: str, tmp_path: Path) -> None:
    """On ImageNet, on a small folder that is like it. Every metric once for each kind of images."""
    config, words = composed(f"experiment={name}"), [f"experiment={name}", "debug=tiny", f"out={tmp_path / 'out'}"]
    words += [] if name in EVERY_METRIC else ["metrics=fast"]
    if config.names["dataset"] == "imagenet":
        noise = np.random.default_rng(0)
        for path in (f"{part}/n{label}/{n}.png" for part in ("train", "val") for label in range(3) for n in range(60)):
            (place := tmp_path / "imagenet" / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (70, 90, 3), np.uint8)).save(place)
        words += [f"dataset.root={tmp_path}", "dataset.classes=3"]
    try:
        ticketsearch.run(words)
    except DataMissing as error:
        pytest.skip(error.what)
    rows = ticketsearch.load_results(str(tmp_path / "out"))
    assert set(rows["round"]) == {0, 1, 2}
    assert rows[rows.status == "error"].empty
