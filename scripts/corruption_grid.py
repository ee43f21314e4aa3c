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
from ticketsearch.data.corruptions import EXTRA, KINDS, SEVERITIES, Table, corrupt, frost_is_procedural, refusal
from ticketsearch.data.digits import Digits
from ticketsearch.data.mnist import Mnist
from ticketsearch.errors import TicketError, UsageError

DATASETS: dict[str, type[Dataset]] = {"digits": Digits, "mnist": Mnist, "cifar10": Cifar10}


def draw(images: Tensor, table: Table, frost: Path | None, out: Path) -> None:
    """Two images under everything that makes sense for them, side by side in each column."""
    channels, high, wide = images.shape[1:]
    kinds = [kind for kind in (*KINDS, *EXTRA) if not refusal(kind, table, (channels, high, wide), frost)]
    if not kinds:
        raise UsageError(f"nothing of the table {table!r} makes sense for {high}x{wide} pixels", "--table cifar")
    grid = torch.full(
        (channels, len(kinds) * (high + 2), (1 + len(SEVERITIES)) * (2 * wide + 2)), 255, dtype=torch.uint8
    )
    for row, kind in enumerate(kinds):
        made = [images, *(corrupt(images, kind, severity, table, frost=frost) for severity in SEVERITIES)]
        for column, shown in enumerate(made):
            top, left = row * (high + 2), column * (2 * wide + 2)
            grid[:, top : top + high, left : left + 2 * wide] = torch.cat(list(shown), 2)
    grown = " (grown)" if frost_is_procedural(frost) else ""
    figure, axes = plt.subplots(figsize=(14, 1.15 * len(kinds)))
    axes.imshow(grid.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    names = [kind + grown * (kind == "frost") for kind in kinds]
    axes.set_yticks([row * (high + 2) + high / 2 for row in range(len(kinds))], names)
    axes.set_xticks([column * (2 * wide + 2) + wide for column in range(6)], ["clean", *map(str, SEVERITIES)])
    figure.savefig(out, dpi=90, bbox_inches="tight")
    plt.close(figure)


def main(typed: list[str] | None = None) -> int:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", choices=sorted(DATASETS), default="digits")
    parser.add_argument("--table", choices=["cifar", "imagenet"], default="cifar")
    parser.add_argument("--frost", type=Path, help="the folder of the published frost pictures")
    parser.add_argument("--image", type=int, default=0, help="the first of the two test images")
    options = parser.parse_args(typed)
    try:
        test = DATASETS[options.dataset]().read()[1].images
        if not 0 <= options.image < len(test) - 1:
            raise UsageError(f"--image {options.image}", f"two images are drawn, from 0 to {len(test) - 2} on")
        draw(test[options.image : options.image + 2], options.table, options.frost, options.out)
    except TicketError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
