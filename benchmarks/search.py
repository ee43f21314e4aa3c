"""What a careful user writes today, second part: train, prune with `torch.nn.utils.prune`, rewind, train again.

Initial weights, order, crops, flips and counts are the product's, so that both sides do the same work.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.cases import CASES, Case, Job
from benchmarks.images import dataset
from benchmarks.report import Outcome, digest, of_weights
from ticketsearch import seeding
from ticketsearch.models.base import Model
from ticketsearch.models.lenet import LeNet300
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.schedule import Geometric
from ticketsearch.ticket import prunable_layers

Batch = tuple[Tensor, Tensor]
MODELS: dict[str, Model] = {"lenet300": LeNet300(), "resnet20": SmallImageResNet()}


class Feed(Protocol):
    """Batches of pixels, float32 [B, C, H, W] in [0, 1], and labels."""

    @property
    def val(self) -> Iterable[Batch]:
        """The validation images; empty where there are none."""

    @property
    def test(self) -> Iterable[Batch]:
        """The test images."""

    def train(self, epoch: int) -> Iterable[Batch]:
        """The training images, shuffled and augmented."""


@dataclass(frozen=True)
class Table:
    """What is random in an epoch, by the product's keys.

    Attributes:
        order: indices of the images.
        crop: of each image, which of the (2 pad + 1)^2 windows.
        flip: of each image.
    """

    order: Tensor
    crop: Tensor
    flip: Tensor

    @classmethod
    def drawn(cls, job: Job, pad: int, epoch: int) -> "Table":
        """The table of an epoch."""
        count, windows = job.images, (2 * pad + 1) ** 2
        order = torch.randperm(count, generator=seeding.generator(job.seed, "order", epoch))
        crop = torch.randint(windows, (count,), generator=seeding.generator(job.seed, "crop", epoch))
        flip = torch.rand(count, generator=seeding.generator(job.seed, "flip", epoch)) < 0.5
        return cls(order, crop, flip)


def search(job: Job, feed: Feed) -> Outcome:
    """Train the dense model; then prune, rewind and train, level by level."""
    model = MODELS[CASES[job.case].model].initial(dataset(job), job.seed)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers = [(model.get_submodule(name.removesuffix(".weight")), "weight") for name in prunable_layers(model)]
    total = sum(module.get_parameter(name).numel() for module, name in layers)
    losses, kept, seen, accuracies = list[list[float]](), list[int](), list[Tensor](), list[float]()
    for level in range(job.levels + 1):
        if level:
            removed = kept[-1] - Geometric().keep(level, total)
            prune.global_unstructured(layers, prune.L1Unstructured, amount=removed)
            _rewind(model, initial)
        kept.append(sum(_kept(module) for module, _ in layers))
        losses.append(_train(model, job, feed, [] if level else seen))
        accuracies.append(_accuracy(model, feed.test))
    return Outcome(of_weights(initial), digest(seen), kept, losses, accuracies)


def _train(model: nn.Module, job: Job, feed: Feed, seen: list[Tensor]) -> list[float]:
    """Train for all epochs; the mean loss of each. The labels go to `seen`, which proves the order."""
    optimiser = _optimiser(model, CASES[job.case], job.lr)
    losses = []
    for epoch in range(job.epochs):
        model.train()
        loss_sum, images = 0.0, 0
        for pixels, labels in feed.train(epoch):
            optimiser.zero_grad()
            loss = F.cross_entropy(model(pixels), labels)
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(labels)
            images += len(labels)
            seen.append(labels)
        losses.append(loss_sum / images)
        _accuracy(model, feed.val)
    return losses


def _optimiser(model: nn.Module, case: Case, lr: float) -> torch.optim.Optimizer:
    if case.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), lr, betas=(case.momentum, 0.999), weight_decay=case.weight_decay)
    return torch.optim.SGD(model.parameters(), lr, momentum=case.momentum, weight_decay=case.weight_decay)


@torch.no_grad()
def _rewind(model: nn.Module, initial: dict[str, Tensor]) -> None:
    """Put every weight and every statistic back to where it began; the masks stay."""
    for name, tensor in model.state_dict().items():
        if not name.endswith("_mask"):
            tensor.copy_(initial[name.removesuffix("_orig")])


def _kept(module: nn.Module) -> int:
    mask = dict(module.named_buffers()).get("weight_mask")
    return int(mask.sum()) if mask is not None else module.get_parameter("weight").numel()


@torch.no_grad()
def _accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    model.eval()
    hits = images = 0
    for pixels, labels in batches:
        hits += int((model(pixels).argmax(1) == labels).sum())
        images += len(labels)
    return hits / max(images, 1)
