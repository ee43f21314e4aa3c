"""Perturbed images through a model: the folded copy that corruptions use beside the model as it is.

    python -m benchmarks.evaluation [--rounds 5] [--images 500]

Both look at the same images in turn, on one thread; what counts is CPU seconds. The ratio is void, and the exit code 1,
where the copy says something else than the model.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn

from ticketsearch.data import ood
from ticketsearch.data.base import Split
from ticketsearch.metrics.sweep import Sweep
from ticketsearch.models.base import Normalise
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.training.predict import predict

STEPS = 40


def model_and_images(count: int) -> tuple[nn.Module, Split]:
    """ResNet-20 that has learned a little of how bright patches of photographs are, and the patches."""
    images = ood.images("patches", (3, 32, 32), count, Path(), torch.device("cpu"))
    bright = images.float().mean((1, 2, 3)).argsort().argsort()
    split = Split(images, bright * 10 // count)
    torch.manual_seed(0)
    model = SmallImageResNet(depth=20).build((3, 32, 32), 10, Normalise((0.5,) * 3, (0.25,) * 3))
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(STEPS):
        chosen = torch.randint(count, (64,))
        loss = F.cross_entropy(model(images[chosen] / 255), split.labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), split


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of it."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each looks at all images (5)")
    parser.add_argument("--images", type=int, default=500, help="how many (500)")
    typed = parser.parse_args()
    torch.set_num_threads(1)
    model, split = model_and_images(typed.images)
    exact = predict(model, split)
    sweep = Sweep(model, split.images, exact)
    pairs = []
    for _ in range(typed.rounds + 1):  # the first warms up
        pairs.append((seconds(lambda: predict(model, split)), seconds(lambda: sweep.logits(split.images))))
    plain, fast = zip(*pairs[1:], strict=True)
    ratios = [one / other for one, other in zip(plain, fast, strict=True)]
    micro = 1e6 / typed.images
    lines = [
        f"ResNet-20, 32x32, {typed.images} images, {str(sweep.dtype).removeprefix('torch.')}",
        f"  as it is {median(plain) * micro:.0f} us an image, folded copy {median(fast) * micro:.0f} us",
        f"  ratio {median(ratios):.2f}x [{min(ratios):.2f}-{max(ratios):.2f}]",
        f"  logits differ by {sweep.difference:.1e} of their norm" + ", which is too much" * (not sweep.fast),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if sweep.fast else 1


if __name__ == "__main__":
    sys.exit(main())
