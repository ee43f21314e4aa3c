"""What all metrics of one round cost at their published sizes, in epochs of training: ResNet-20 at 32x32, one thread.

    python -m benchmarks.families [--rounds 3]

Each family is measured on few images, and its CPU seconds are multiplied up to the images of `metrics=as_published`,
since images go through it one batch after the other; the measures of flatness have their whole 200. An epoch is 45,000
images through forward, backward and SGD with momentum in float32, batches of 128, multiplied up likewise. So everything
but flatness is extrapolated. Making the corrupted images is not part of it: published ones are read, ours are made once
for all tickets.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.evaluation import model_and_images
from ticketsearch.data.base import Data, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.metrics.attack import Fgsm
from ticketsearch.metrics.base import EvalContext, Metric
from ticketsearch.metrics.explanation import Explanation
from ticketsearch.metrics.flatness import Flatness
from ticketsearch.metrics.hessian import Hessian
from ticketsearch.metrics.sweep import Sweep
from ticketsearch.ticket import Mask, prunable_layers
from ticketsearch.training.predict import predict

TRAIN, TEST, EPOCHS, GOAL = 45_000, 10_000, 160, 0.2
KINDS, SEVERITIES, SETS = 19, 5, 3
"""Corruptions and sets of other images that the released code looks at, 10,000 images of each."""


@dataclass(frozen=True)
class Case:
    """What is timed, and by what its seconds are multiplied."""

    name: str
    work: Callable[[], object]
    times: float


def cases() -> list[Case]:
    """An epoch first, then each family that costs more than arithmetic on logits."""
    model, split = model_and_images(500)
    model.eval()
    data = Data(split, split, split)
    mask = Mask.ones(prunable_layers(model))
    ctx = EvalContext(mask, {}, None, lambda part: predict(model, part), Cifar10())
    sweep = Sweep(model, split.images, predict(model, split))

    def measured(metric: Metric) -> Callable[[], object]:
        return lambda: metric(model, data, ctx)

    explained, attacked = 3, 200
    return [
        Case("one epoch of training", lambda: step(model, split), TRAIN / 128),
        Case("forward: accuracy, calibration, ood", lambda: predict(model, split), (1 + SETS) * TEST / 500),
        Case("corruption", lambda: sweep.logits(split.images), KINDS * SEVERITIES * TEST / 500),
        Case("explanation", measured(Explanation(explained, samples=1000, stabilities=("refit",))), 1000 / explained),
        Case("fgsm", measured(Fgsm(images=attacked)), TEST / attacked),
        Case("hessian", measured(Hessian(images=200, parameters="all")), 1),
        Case("flatness", measured(Flatness(images=200, draws=15, tolerance=1e-3)), 1),
    ]


def step(model: nn.Module, split: Split) -> None:
    """One update of a copy of the weights, so that the model stays."""
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    model.train()
    optimiser.zero_grad()
    F.cross_entropy(model(split.images[:128].float() / 255), split.labels[:128]).backward()
    optimiser.step()
    model.zero_grad(set_to_none=True)
    model.load_state_dict(weights)
    model.eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where all families together take more than a fifth of the training of a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed; the median counts")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = dict[str, float]()
    for case in cases():
        taken = []
        case.work()
        for _ in range(options.rounds):
            started = time.process_time()
            case.work()
            taken.append(time.process_time() - started)
        found[case.name] = median(taken) * case.times
    (_, epoch), *families = found.items()
    sys.stdout.write(f"{'':<38}{'CPU s':>9}{'epochs':>9}\n{'one epoch of training':<38}{epoch:>9.0f}{1:>9.2f}\n")
    for name, seconds in families:
        sys.stdout.write(f"{name:<38}{seconds:>9.0f}{seconds / epoch:>9.2f}\n")
    whole = sum(seconds for _, seconds in families) / epoch
    share = whole / EPOCHS
    sys.stdout.write(f"all families: {whole:.1f} epochs, {share:.1%} of a round of {EPOCHS}; goal {GOAL:.0%}: ")
    sys.stdout.write(f"{'met' if share <= GOAL else 'missed'}\n")
    return int(share > GOAL)


if __name__ == "__main__":
    sys.exit(main())
