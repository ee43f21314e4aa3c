"""What is measured: the cases, their sizes and goals, and one piece of work as every side gets it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ticketsearch.errors import closest

Isa = Literal["amx", "avx512_bf16", "none"]
Images = Literal["real", "synthetic"]

GATE_STEPS, GATE_BATCH = 20, 32
"""The first steps, whose losses must agree, and how many images they look at."""


@dataclass(frozen=True)
class Job:
    """One piece of work, the same for every side; travels to its process as JSON.

    Attributes:
        case: names an entry of `CASES`.
        data: the official images, or images that are made up.
        root: the folder of the images.
        images: training images.
        validation: images that are looked at after each epoch.
        tests: images that are looked at in the end.
        epochs: of each level; of the loader: passes over the images.
        batch_size, lr: of the recipe.
        levels: tickets besides the dense model.
        bfloat16: whether the product trains in that precision; the other sides never do.
        seed: of weights, order, crops and flips.
    """

    case: str
    data: Images
    root: str
    images: int
    validation: int
    tests: int
    epochs: int
    batch_size: int
    lr: float
    levels: int = 1
    bfloat16: bool = False
    seed: int = 0

    def gate(self) -> "Job":
        """The first steps of it: with as many images as a batch an epoch is one step, whose loss the rows tell; in
        float32, so that rounding is all that may differ.
        """
        size, lr = min(GATE_BATCH, self.images), CASES[self.case].gate_lr
        sizes = {"images": size, "validation": 0, "tests": size, "batch_size": size, "epochs": GATE_STEPS, "levels": 0}
        return replace(self, **sizes, lr=lr, bfloat16=False)  # type: ignore[arg-type]

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Job":
        """What `text` has written."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Case:
    """A kind of work, with what is the same in every run of it. No learning rate falls in so few epochs.

    Attributes:
        summary: what it is, for the help.
        images, validation, tests, epochs: sizes of a usual run (see `Job`).
        goals: how many times faster than the plain side it should be, by what the processor can do.
        model: of `conf/model`; '' where nothing is trained.
        dataset: the benchmark's own yaml.
        recipe: of `conf/recipe`, which the fields that follow repeat for the other sides.
        batch_size, optimiser, lr, momentum, weight_decay: of that recipe.
        gate_lr: of the first steps. At 0.1 those of a ResNet are chaotic: 20 of them in float32 and in float64, with
            nothing else changed, were 4e-2 nats apart, and 2e-4 at 0.001.
        channels_last: whether the product keeps images in that memory format.
        halves: whether the product trains in bfloat16 where the processor has instructions for it.
    """

    summary: str
    images: int
    validation: int
    tests: int
    epochs: int
    goals: Mapping[Isa, float]
    model: str
    dataset: str
    recipe: str = "cifar"
    batch_size: int = 128
    optimiser: Literal["adam", "sgd"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gate_lr: float = 3e-4
    channels_last: bool = False
    halves: bool = False

    @property
    def trains(self) -> bool:
        """Whether it is a search; the other case only loads images."""
        return bool(self.model)

    def job(self, name: str, data: Images, root: str, isa: Isa) -> Job:
        """The usual run of it on this processor."""
        sizes = (self.images, self.validation, self.tests, self.epochs)
        recipe = (self.batch_size, self.lr)
        return Job(name, data, root, *sizes, *recipe, bfloat16=self.halves and isa != "none")


CASES: Mapping[str, Case] = {
    "lenet300-mnist": Case(
        "LeNet-300-100 on MNIST: the dense model and one round of LTH, Adam, batches of 60",
        *(40_000, 5_000, 10_000, 2),
        {"amx": 5.0, "avx512_bf16": 5.0, "none": 5.0},
        "lenet300",
        "bench_mnist",
        "mnist",
        batch_size=60,
        optimiser="adam",
        lr=1.2e-3,
        gate_lr=1.2e-3,
        weight_decay=0.0,
    ),
    "resnet20-cifar": Case(
        "ResNet-20 on CIFAR-10: the dense model and one round of LTH, SGD, batches of 128",
        *(2_560, 256, 256, 1),
        {"amx": 2.8, "avx512_bf16": 1.9, "none": 1.2},
        "resnet20",
        "bench_cifar10",
        channels_last=True,
        halves=True,
    ),
    "loader": Case(
        "images a second of one core, in batches of 128 with random crops and flips; nothing is trained",
        *(10_000, 0, 500, 4),
        {"amx": 10.0, "avx512_bf16": 10.0, "none": 10.0},
        "",
        "bench_cifar10",
    ),
}


def case(name: str) -> Case:
    """The case of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in CASES:
        attempt, otherwise = "python -m benchmarks.run --case {}", "python -m benchmarks.run --help"
        raise closest(name, CASES, f"no case {name!r}", attempt, otherwise)
    return CASES[name]
