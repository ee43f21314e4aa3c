"""Fidelity and the released stability of explanations: ours beside LIME's loop over images and samples.

    python -m benchmarks.explanation [--images 4] [--rounds 3]

ResNet-20 at 32x32, a thousand samples of each image and five refits, as published. The loop is what LIME does: for each
image superpixels, for each sample a copy of the image, batches through the model, scikit-learn's distances and ridge.
Batches are of a thousand, which the goal is for, and of ten: LIME's default, which the code released with Chen et al.
(2022) keeps; on a CPU they stay in its cache, on a GPU they starve it. LIME's second ridge, by which it sorts
coefficients, is left out. All draw the same samples and take turns on one thread; what counts is CPU seconds, and where
they go. Fresh neighbourhoods take six times the samples on either side.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from skimage.segmentation import felzenszwalb
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn

from benchmarks.evaluation import model_and_images
from ticketsearch.data.base import Data, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.metrics import explanation, segments
from ticketsearch.metrics.base import EvalContext
from ticketsearch.metrics.explanation import Explanation
from ticketsearch.metrics.surrogate import switched
from ticketsearch.ticket import Mask
from ticketsearch.training.predict import predict

SAMPLES, REFITS, GOAL = 1000, 5, 4.0
Spent = Counter[str]
"""CPU seconds of superpixels, samples, forward passes and fits."""


@contextmanager
def clock(spent: Spent, part: str) -> Iterator[None]:
    """Add the CPU seconds of the block."""
    started = time.process_time()
    yield
    spent[part] += time.process_time() - started


class Lime:
    """The loop.

    Args:
        model: in evaluation mode.
        batch: samples that go through it together.
    """

    def __init__(self, model: nn.Module, batch: int) -> None:
        self._model, self._batch, self.spent = model, batch, Spent()

    def __call__(self, images: Tensor) -> list[float]:
        """Mean fidelity and stability."""
        found = [self._explained(number, image.permute(1, 2, 0).numpy()) for number, image in enumerate(images)]
        return np.mean(found, 0).tolist()

    def _explained(self, number: int, picture: np.ndarray[Any, Any]) -> tuple[float, float]:
        with clock(self.spent, "superpixels"):
            map = felzenszwalb(picture, scale=10, sigma=0.4, min_size=20)
        with clock(self.spent, "samples"):
            rows = switched(torch.ones(map.max() + 1), SAMPLES, number, 0).numpy()
            shown = [self._shown(picture, map, row) for row in rows]
        with clock(self.spent, "forward"):
            found = np.concatenate([
                self._probabilities(shown[first : first + self._batch]) for first in range(0, SAMPLES, self._batch)
            ])  # fmt: skip
        with clock(self.spent, "fits"):
            targets = found[:, found[0].argmax()]
            own = self._fitted(rows, targets, rows[0])
            fidelity = ((own.predict(rows) - targets) ** 2).mean()
            others = [self._fitted(rows, targets, rows[n]).coef_ for n in range(1, REFITS + 1)]
            return fidelity, np.mean([((other - own.coef_) ** 2).sum() for other in others])

    def _shown(self, picture: np.ndarray[Any, Any], map: np.ndarray[Any, Any], row: np.ndarray[Any, Any]) -> Any:
        copy, hidden = picture.copy(), np.zeros(map.shape, bool)
        for place in np.flatnonzero(row == 0):
            hidden[map == place] = True
        copy[hidden] = 0
        return copy

    @torch.no_grad()
    def _probabilities(self, pictures: list[np.ndarray[Any, Any]]) -> Any:
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255)
        return self._model(pixels).softmax(1).numpy()

    def _fitted(self, rows: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], centre: np.ndarray[Any, Any]) -> Ridge:
        distance = pairwise_distances(rows, centre.reshape(1, -1), metric="cosine").ravel()
        return Ridge(alpha=1).fit(rows, targets, sample_weight=np.sqrt(np.exp(-(distance**2) / 0.25**2)))


class Ours:
    """The metric, its superpixels cut anew each time.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self.spent = model, Spent()

    def __call__(self, images: Tensor) -> list[float]:
        """Mean fidelity and stability."""
        split = Split(images, torch.zeros(len(images), dtype=torch.int64))
        ctx = EvalContext(Mask({}), {}, None, lambda part: predict(self._model, part), Cifar10())
        metric = Explanation(images=len(images), samples=SAMPLES, neighbours=REFITS, stabilities=("refit",))
        segments._numbered.cache_clear()
        with ExitStack() as stack:
            for owner, name, part in (
                (explanation, "segmented", "superpixels"),
                (explanation.Sweep, "logits", "forward"),
                (Explanation, "_measured", "fits"),
            ):
                stack.enter_context(mock.patch.object(owner, name, self._timed(getattr(owner, name), part)))
            before = sum(self.spent.values())
            with clock(whole := Spent(), "all"):
                values = metric(self._model, Data(split, split[:0], split), ctx)
        self.spent["samples"] += whole["all"] - (sum(self.spent.values()) - before)
        return [value.value for value in values if not value.variant]

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            with clock(self.spent, part):
                return function(*given)

        return timed


def line(name: str, side: Lime | Ours, per: int) -> str:
    """Milliseconds an image, and of what."""
    parts = ", ".join(
        f"{part} {1e3 * side.spent[part] / per:.1f}" for part in ("superpixels", "samples", "forward", "fits")
    )
    return f"{name:26} {1e3 * sum(side.spent.values()) / per:7.0f} ms an image: {parts}\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table.

    Returns:
        1 where ours is less than four times as fast as the loop with batches of a thousand, or says something else.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4, help="that are explained (4)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each explains them all (3)")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, split = model_and_images(200)
    images = split.images[: asked.images]
    sides = {
        "LIME, batches of ten": Lime(model, 10),
        "LIME, batches of a thousand": Lime(model, SAMPLES),
        "ours": Ours(model),
    }
    values, totals = dict[str, list[float]](), list[list[float]]()
    for side in sides.values():  # warms up
        side(images[:1])
        side.spent.clear()
    for _ in range(asked.rounds):
        before = [sum(side.spent.values()) for side in sides.values()]
        values = {name: side(images) for name, side in sides.items()}
        totals.append([sum(side.spent.values()) - was for side, was in zip(sides.values(), before, strict=True)])
    out = sys.stdout.write
    for name, side in sides.items():
        out(line(name, side, asked.rounds * len(images)))
        out(f"{'':26} fidelity {values[name][0]:.5f}, stability {values[name][1]:.5f}\n")
    ten, thousand = (sorted(row[n] / row[2] for row in totals) for n in range(2))
    for name, ratios in (("batches of ten", ten), (f"batches of a thousand (goal {GOAL:g}x)", thousand)):
        out(f"{median(ratios):.1f}x [{ratios[0]:.1f}-{ratios[-1]:.1f}] beside {name}\n")
    theirs, own = values["LIME, batches of ten"], values["ours"]
    apart = max(abs(one / other - 1) for one, other in zip(own, theirs, strict=True))
    out(f"values differ by {apart:.1%} at most\n")
    return int(median(thousand) < GOAL or apart > 0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
