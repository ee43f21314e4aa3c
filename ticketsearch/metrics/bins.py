"""Probabilities in bins: how far those that a model states are from how often it is right."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bins:
    """Images in bins of their probability, float64 [bins] each.

    Attributes:
        count: images in each.
        stated: sum of their probabilities.
        right: how many of them are right.
    """

    count: Tensor
    stated: Tensor
    right: Tensor

    @classmethod
    def equal_width(cls, p: Tensor, right: Tensor, bins: int) -> "Bins":
        """Bins (i / bins, (i + 1) / bins]; a probability of 0 is in the first.

        Args:
            p: probabilities, float64 [N].
            right: which are right, bool [N].
            bins: how many.
        """
        edges = torch.linspace(0, 1, bins + 1, dtype=p.dtype, device=p.device)[1:-1]
        return cls._filled(torch.bucketize(p, edges), p, right, bins)

    @classmethod
    def equal_mass(cls, p: Tensor, right: Tensor, bins: int) -> "Bins":
        """Bins with as many images each, from the least probable on; where sizes differ by one, the larger come first.
        Of equal probabilities the order of the images decides.
        """
        size, more = divmod(len(p), bins)
        sizes = torch.tensor([size + (i < more) for i in range(bins)], device=p.device)
        place = torch.empty_like(p, dtype=torch.int64)
        place[p.argsort(stable=True)] = torch.arange(bins, device=p.device).repeat_interleave(sizes)
        return cls._filled(place, p, right, bins)

    @classmethod
    def _filled(cls, place: Tensor, p: Tensor, right: Tensor, bins: int) -> "Bins":
        empty = torch.zeros(bins, dtype=p.dtype, device=p.device)
        return cls(*(empty.index_add(0, place, values.to(p)) for values in (torch.ones_like(p), p, right)))

    @property
    def error(self) -> Tensor:
        """Sum over bins of |right - stated|, over the number of images; float64 []."""
        return (self.right - self.stated).abs().sum() / self.count.sum()


def expected_calibration_error(p: Tensor, labels: Tensor, bins: int, adaptive: bool = False) -> float:
    """ECE of probabilities [N, C] (Guo et al. 2017): of each image's highest one, in bins of equal width, or of equal
    mass (`adaptive`); [0, 1].
    """
    confidence, predicted = p.max(1)
    cut = Bins.equal_mass if adaptive else Bins.equal_width
    return float(cut(confidence, predicted == labels, bins).error)


def static_calibration_error(p: Tensor, labels: Tensor, bins: int, adaptive: bool = False) -> float:
    """SCE of probabilities [N, C] (Nixon et al. 2019): ECE of every class's own probability against its label, averaged
    over the C classes; [0, 1]. `adaptive`: in bins of equal mass, their ACE.

    The class-wise ECE of Kull et al. (2019) is the same number.
    """
    cut = Bins.equal_mass if adaptive else Bins.equal_width
    return float(torch.stack([cut(p[:, c].contiguous(), labels == c, bins).error for c in range(p.shape[1])]).mean())
