"""A picture of every corruption at every severity, for looking at: rows are kinds, columns are severities.

    python scripts/corruption_grid.py --out grid.png
    python scripts/corruption_grid.py --out grid.png --dataset cifar10 --frost FOLDER --image 3

Datasets other than digits are looked for in the folder that TICKETSEARCH_DATA names.
"""

import argparse
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from ticketsearch.data.base import Dataset
from ticketsearch.data.cifar import Cifar10
from ticketsearch.data.corruptions import EXTRA, KINDS, SEVERITIES, corrupt, frost_is_procedural, refusal
from ticketsearch.data.digits import Digits
from ticketsearch.data.mnist import Mnist
from ticketsearch.errors import TicketError

DATASETS: dict[str, type[Dataset]] = {"digits": Digits, "mnist": Mnist, "cifar10": Cifar10}


def draw(images: Tensor, table: str, frost: Path | None, out: Path) -> None:
    """Two images under everything that makes sense for them, side by side in each column."""
    kinds = [kind for kind in (*KINDS, *EXTRA) if not refusal(kind, table, tuple(images.shape[1:]), frost)]
    figure, axes = plt.subplots(len(kinds), 1 + len(SEVERITIES), figsize=(15, 1.25 * len(kinds)))
    for row, kind in zip(axes, kinds, strict=True):
        made = [images, *(corrupt(images, kind, severity, table, frost=frost) for severity in SEVERITIES)]
        for place, shown in zip(row, made, strict=True):
            picture = torch.cat(list(shown), 2).permute(1, 2, 0).squeeze(2).numpy()
            place.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.axis("off")
        grown = " (grown)" if kind == "frost" and frost_is_procedural(frost) else ""
        row[0].set_title(kind + grown, fontsize=8, pad=2)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def main() -> int:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", choices=sorted(DATASETS), default="digits")
    parser.add_argument("--table", choices=["cifar", "imagenet"], default="cifar")
    parser.add_argument("--frost", type=Path, help="the folder of the published frost pictures")
    parser.add_argument("--image", type=int, default=0, help="the first of the two test images")
    options = parser.parse_args()
    try:
        test = DATASETS[options.dataset]().read()[1].images
        draw(test[options.image : options.image + 2], options.table, options.frost, options.out)
    except TicketError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
