"""Linear surrogates of a function of switches, as LIME fits them: weighted by nearness, ridge regression."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ticketsearch import seeding


@dataclass(frozen=True)
class Surrogates:
    """Linear functions of D switches, each fitted to S samples.

    Attributes:
        coefficients: of each switch, float64 [B, D].
        intercepts: float64 [B].
        weights: that the samples had, float64 [B, S].
    """

    coefficients: Tensor
    intercepts: Tensor
    weights: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """What each says of its samples.

        Args:
            rows: [B, S, D].
        """
        return (rows @ self.coefficients.unsqueeze(2)).squeeze(2) + self.intercepts.unsqueeze(1)


def switched(centre: Tensor, samples: int, *key: int | str) -> Tensor:
    """A neighbourhood: the centre, and then samples in which every switch is on or off with the same probability.

    Args:
        centre: [D], 1 where on.
        samples: how many rows there are, the centre among them.
        key: what the random numbers are a function of.

    Returns:
        float64 [S, D] of 0 and 1.
    """
    rng = seeding.generator(0, "explanation", *key)
    drawn = torch.randint(2, (samples - 1, len(centre)), generator=rng, dtype=torch.uint8)
    return torch.cat([centre.unsqueeze(0).double(), drawn.double()])


def nearness(rows: Tensor, centres: Tensor, width: float) -> Tensor:
    """LIME's kernel: the root of exp(-d^2 / width^2), d being the cosine distance. All-off is at distance 1 from
    everything, itself too, as in scikit-learn.

    Args:
        rows: float64 [B, S, D] of 0 and 1.
        centres: float64 [B, D] of 0 and 1.
        width: of the kernel.

    Returns:
        float64 [B, S] in (0, 1].
    """
    common = (rows @ centres.unsqueeze(2)).squeeze(2)
    lengths = rows.sum(2) * centres.sum(1, keepdim=True)
    distance = 1 - common / lengths.clamp(min=1).sqrt()
    return torch.exp(-(distance**2) / (2 * width**2))


def ridge(rows: Tensor, targets: Tensor, weights: Tensor, alpha: float) -> Surrogates:
    """Weighted ridge regressions, the intercept not penalised: argmin of sum w (y - a - b x)^2 + alpha |b|^2, by
    Cholesky's factors of the normal equations, which a penalty makes definite.

    Args:
        rows: float64 [B, S, D].
        targets: float64 [B, S].
        weights: float64 [B, S], not negative.
        alpha: above 0.
    """
    share = (weights / weights.sum(1, keepdim=True)).unsqueeze(1)
    mean, level = share @ rows, (share @ targets.unsqueeze(2)).squeeze(2)
    centred = rows - mean
    pull = (centred * weights.unsqueeze(2)).mT
    normal = pull @ centred
    normal.diagonal(dim1=1, dim2=2).add_(alpha)
    right = pull @ (targets - level).unsqueeze(2)
    found = torch.cholesky_solve(right, torch.linalg.cholesky(normal))
    return Surrogates(found.squeeze(2), (level - (mean @ found).squeeze(2)).squeeze(1), weights)
