"""A small network and images for explanations, and what LIME and captum say of them.

    PYTHONPATH=. python tests/oracle/explained.py

writes `explained.json` anew, where `lime` (0.2.0.1) and `captum` (0.9.0) are installed. Both are made to draw the
samples that the metric draws, because their own come from generators that are nobody's; the rest is theirs.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ticketsearch.data import ood
from ticketsearch.metrics.segments import segmented
from ticketsearch.metrics.surrogate import switched

FILE = Path(__file__).with_suffix(".json")
SAMPLES = 200
PHOTOS = ood.images("patches", (3, 32, 32), 4, Path(), torch.device("cpu"))


class Waves(nn.Module):
    """Two layers whose weights are a formula: the same network everywhere.

    Args:
        sharpness: what logits are multiplied by.
    """

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        first = torch.sin(torch.arange(16 * 3 * 32 * 32, dtype=torch.float64) ** 1.3).view(16, 3, 32, 32)
        second = torch.cos(torch.arange(5 * 16, dtype=torch.float64) ** 1.7).view(5, 16)
        self.first, self.second = nn.Parameter(first.float() / 12), nn.Parameter(sharpness * second.float())

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.tanh(pixels.flatten(1) @ self.first.flatten(1).T) @ self.second.T


def table(number: int, segments: int) -> Tensor:
    """What the metric shows of an image: float64 [S, D]."""
    return switched(torch.ones(segments), SAMPLES, number, 0)


@torch.no_grad()
def probabilities(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of images uint8 [N, H, W, C], as LIME hands them over."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return Waves()(pixels).double().softmax(1).numpy()


class _Drawn(np.random.RandomState):
    """Draws the samples of an image, and nothing else is asked of it."""

    def __init__(self, number: int) -> None:
        super().__init__(0)
        self._number = number

    def randint(self, low: int, high: int | None = None, size: int | None = None, dtype: Any = int) -> Any:
        if size is None:  # for a segmentation that draws; this one does not
            return 0
        return table(self._number, size // SAMPLES).long().flatten().numpy()


def by_lime(number: int, image: Tensor) -> dict[str, Any]:
    """The explanation by the package of Ribeiro et al., with its own superpixels, kernel and regression."""
    from lime.lime_image import LimeImageExplainer
    from lime.wrappers.scikit_image import SegmentationAlgorithm

    cut = SegmentationAlgorithm("felzenszwalb", scale=10, sigma=0.4, min_size=20)
    explainer = LimeImageExplainer(random_state=_Drawn(number))
    picture = image.permute(1, 2, 0).contiguous().numpy()
    found = explainer.explain_instance(picture, probabilities, top_labels=1, hide_color=0, num_samples=SAMPLES,
        segmentation_fn=cut)  # fmt: skip
    (label,) = found.top_labels
    own = dict(found.local_exp[label])
    coefficients = [float(own[place]) for place in range(len(own))]
    return {"label": int(label), "coefficients": coefficients, "intercept": float(found.intercept[label]),
            "r2": float(found.score)}  # fmt: skip


def by_captum(number: int, image: Tensor, label: int) -> list[float]:
    """The coefficients by captum's `LimeBase`, with scikit-learn's ridge, on the same segments."""
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import LimeBase

    map = segmented(image.unsqueeze(0), "felzenszwalb")[0]
    rows = iter(table(number, int(map.max()) + 1))

    def near(_: Tensor, __: Tensor, row: Tensor, **kwargs: Any) -> Tensor:
        lengths = row.norm() * torch.ones_like(row).norm()
        distance = 1 - float(row.sum() / lengths) if row.any() else 1.0
        return torch.tensor(np.sqrt(np.exp(-(distance**2) / 0.25**2)))

    explainer = LimeBase(
        lambda pixels: Waves()(pixels).double().softmax(1)[:, label],
        SkLearnRidge(alpha=1.0),
        near,
        lambda _, **kwargs: next(rows).unsqueeze(0),
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda row, pixels, **kwargs: pixels * row[0][map].float(),
        to_interp_rep_transform=None,
    )
    with torch.no_grad():
        return explainer.attribute(image.unsqueeze(0).float() / 255, n_samples=SAMPLES).flatten().tolist()


def main() -> None:
    """Ask both and write."""
    found = []
    for number, image in enumerate(PHOTOS):
        lime = by_lime(number, image)
        found.append({**lime, "captum": by_captum(number, image, lime["label"])})
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
