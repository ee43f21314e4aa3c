"""Corrupted images a second, against the package `imagecorruptions`: the same images, kinds and severities, by turns.

    python -m benchmarks.corruptions
    python -m benchmarks.corruptions --images 100 --json found.json

Both run on one thread and are timed in CPU seconds. A turn is every kind at severities 1, 3 and 5 with the numbers of
ImageNet-C on 32x32 images: ours in one call for all images, the package's in one call for each. The first turn of each
side, in which tables are made and loops compiled, is not timed. Ratios are of medians over the turns.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ticketsearch.data.corruptions import EXTRA, KINDS, corrupt

GOAL = 6.0
"""How many times faster all kinds together should be."""
SEVERITIES = (1, 3, 5)
SIDE = 32


@dataclass(frozen=True)
class Found:
    """One kind.

    Attributes:
        ours: median microseconds of CPU time an image.
        package: the same of `imagecorruptions`.
    """

    ours: float
    package: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.package / self.ours


def made_up(count: int) -> Tensor:
    """Smooth images with grain, uint8 [count, 3, 32, 32]."""
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6, generator=rng), (SIDE, SIDE), mode="bilinear")
    grain = torch.randn(count, 3, SIDE, SIDE, generator=rng) * 0.03
    return ((smooth + grain) * 255).clamp(0, 255).to(torch.uint8)


def sides(images: Tensor) -> dict[str, Callable[[str, int], object]]:
    """What is compared: each corrupts all images by a kind and a severity."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import imagecorruptions
    frost = Path(imagecorruptions.__file__).parent / "frost"
    pixels = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images]

    def package(kind: str, severity: int) -> object:
        return [imagecorruptions.corrupt(image, severity, kind) for image in pixels]

    return {"ours": lambda kind, severity: corrupt(images, kind, severity, "imagenet", frost=frost), "package": package}


def measure(images: Tensor, kinds: tuple[str, ...], turns: int) -> dict[str, Found]:
    """CPU time of each kind on both sides, which take turns."""
    both, times = sides(images), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in kinds:
            spent: dict[str, list[float]] = {name: [] for name in both}
            for turn in range(turns + 1):
                for name, side in both.items():
                    began = time.process_time()
                    for severity in SEVERITIES:
                        side(kind, severity)
                    if turn:
                        spent[name].append(time.process_time() - began)
            share = 1e6 / (len(images) * len(SEVERITIES))
            times[kind] = Found(*(statistics.median(spent[name]) * share for name in ("ours", "package")))
    return times


def together(found: dict[str, Found]) -> Found:
    """All kinds."""
    return Found(sum(kind.ours for kind in found.values()), sum(kind.package for kind in found.values()))


def rows(found: dict[str, Found]) -> dict[str, Found]:
    """Each kind, and all of them: once without frost, for which the package opens and enlarges a picture each time."""
    others = {name: kind for name, kind in found.items() if name != "frost"}
    return {**found, **({"without frost": together(others)} if others else {}), "in all": together(found)}


def table(found: dict[str, Found], images: int) -> str:
    """What is printed."""
    lines = [f"microseconds an image, {images} images of {SIDE}x{SIDE}, one thread", ""]
    lines += [f"{'':18} {'ours':>9} {'package':>9} {'ratio':>8}"]
    for name, kind in rows(found).items():
        lines.append(f"{name:18} {kind.ours:9.1f} {kind.package:9.1f} {kind.ratio:7.1f}x")
    lines.append(f"\ngoal {GOAL}x: {'met' if together(found).ratio >= GOAL else 'missed'}")
    return "\n".join(lines)


def main(typed: list[str] | None = None) -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, *EXTRA], default=[*KINDS, *EXTRA])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(typed)
    torch.set_num_threads(1)
    found = measure(made_up(options.images), tuple(options.kinds), options.turns)
    sys.stdout.write(table(found, options.images) + "\n")
    if options.json:
        told = {name: {**asdict(kind), "ratio": kind.ratio} for name, kind in rows(found).items()}
        options.json.write_text(json.dumps({"images": options.images, "turns": options.turns, "kinds": told}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
