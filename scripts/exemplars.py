"""Compression-identified exemplars: the test images on which tickets and dense models disagree, by vote of all seeds.

    python scripts/exemplars.py outputs/mnist-lenet300-lth_layerwise-ca27006d --round 10 --to exemplars
    python scripts/exemplars.py outputs/cifar10-resnet20-lth-0123abcd --round 5 --root /data --to exemplars

After Hooker et al. (2019, "What do compressed deep neural networks forget?"): of each test image the label that most
dense models give is compared with the one that most tickets of the round give. Writes TO/exemplars.csv, a line for each
image where they differ, and TO/exemplars.png, the first 40 of them.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

import ticketsearch
from ticketsearch.config import Config, Options
from ticketsearch.data.base import Dataset, Split
from ticketsearch.errors import TicketError, UsageError
from ticketsearch.store import Run
from ticketsearch.training.predict import predict

SHOWN = 40


def modal(predicted: Tensor, classes: int) -> Tensor:
    """The label that most models give each image, the smallest of equals; int64 [N] of int64 [models, N]."""
    votes = torch.zeros(predicted.shape[1], classes, dtype=torch.int64)
    return votes.scatter_add_(1, predicted.T, torch.ones_like(predicted.T)).argmax(1)


def predictions(run: Path, round: int, seeds: list[int], test: Split) -> Tensor:
    """What the tickets of a round predict; int64 [seeds, N]."""
    return torch.stack([predict(ticketsearch.load(run, seed, round)[0], test).argmax(1) for seed in seeds])


def exemplars(dense: Tensor, tickets: Tensor, labels: Tensor, classes: int) -> pd.DataFrame:
    """A line for each image that the votes differ on: image, label, dense, ticket."""
    votes = {"dense": modal(dense, classes), "ticket": modal(tickets, classes)}
    image = (votes["dense"] != votes["ticket"]).nonzero()[:, 0]
    return pd.DataFrame({"image": image, "label": labels[image], **{name: v[image] for name, v in votes.items()}})


def told(found: pd.DataFrame, dense: Tensor, tickets: Tensor, labels: Tensor) -> Iterator[str]:
    """What they are, in words: how many, how hard, and of which classes."""
    among = torch.zeros(len(labels), dtype=torch.bool)
    among[torch.tensor(found["image"].to_numpy(), dtype=torch.int64)] = True
    models = f"{len(dense)} seed" + "s" * (len(dense) != 1)
    yield f"{len(found)} of {len(labels)} test images ({len(found) / len(labels):.2%}), votes of {models}"
    for name, part in (("exemplars", among), ("all others", ~among)):
        if part.any():
            right = [float((models[:, part] == labels[part]).double().mean()) for models in (dense, tickets)]
            yield f"accuracy on {name}: dense {right[0]:.2%}, tickets {right[1]:.2%}"
    counts = found["label"].value_counts().sort_values(ascending=False)
    yield "of class: " + ", ".join(f"{label} ({count})" for label, count in counts.items())


def drawn(found: pd.DataFrame, test: Split, path: Path) -> None:
    """The first of them with their label, and what dense models and tickets say."""
    lines = -(-min(len(found), SHOWN) // 8)
    page = Figure(figsize=(8, 1.25 * lines), layout="constrained")
    FigureCanvasAgg(page)
    for place, line in enumerate(found.head(SHOWN).itertuples(), 1):
        axes = page.add_subplot(lines, 8, place)
        pixels = test.images[line.image].permute(1, 2, 0)
        axes.imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{line.label}: {line.dense} → {line.ticket}", fontsize=8)
        axes.axis("off")
    page.savefig(path, dpi=120)


def dataset_of(run: Path, root: str | None) -> Dataset:
    """The dataset of a stored run, its images looked for in another folder."""
    found = Config.restored(run, Options(), {}).dataset
    return replace(found, root=root) if root else found


def main() -> int:
    """Find them, tell and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--round", type=int, required=True, help="whose tickets are compared with the dense models")
    parser.add_argument("--root", help="the folder of the images; else $TICKETSEARCH_DATA")
    parser.add_argument("--to", type=Path, default=Path("exemplars"), help="the folder of what is written (exemplars)")
    typed = parser.parse_args()
    try:
        if typed.round < 1:
            raise UsageError(f"--round {typed.round}", "tickets are compared with the dense models, which are round 0")
        dataset = dataset_of(typed.run, typed.root)
        test = dataset.load().test
        seeds = sorted({cell.seed for cell in Run(typed.run).cells() if cell.round == typed.round})
        if not seeds:
            raise UsageError(f"{typed.run} has no round {typed.round}", "ticketsearch status lists the rounds")
        dense, tickets = (predictions(typed.run, round, seeds, test) for round in (0, typed.round))
    except TicketError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    found = exemplars(dense, tickets, test.labels, dataset.outputs)
    typed.to.mkdir(parents=True, exist_ok=True)
    found.to_csv(typed.to / "exemplars.csv", index=False, lineterminator="\n")
    (typed.to / "exemplars.png").unlink(missing_ok=True)  # of another round
    if len(found):
        drawn(found, test, typed.to / "exemplars.png")
    sys.stdout.write("\n".join(told(found, dense, tickets, test.labels)) + f"\nwritten to {typed.to}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
