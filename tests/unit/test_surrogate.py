"""Linear surrogates: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from torch import Tensor

from ticketsearch.metrics.surrogate import nearness, ridge, switched

FOUR = torch.tensor([[[1, 1], [1, 0], [0, 1], [0, 0]]], dtype=torch.float64)


def case(count: int = 5, samples: int = 60, switches: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, targets, and weights that differ by orders of magnitude."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(2, (count, samples, switches), generator=rng).double()
    targets = torch.rand(count, samples, generator=rng, dtype=torch.float64)
    return rows, targets, torch.exp(-8 * torch.rand(count, samples, generator=rng, dtype=torch.float64))


def test_ridge_by_hand() -> None:
    # Switches less their means are +-1/2, so the normal matrix is 1 + alpha on its diagonal, which halves 2 and 4.
    found = ridge(FOUR, torch.tensor([[6.0, 2, 4, 0]]).double(), torch.ones(1, 4).double(), 1.0)
    assert found.coefficients[0].tolist() == pytest.approx([1, 2], rel=1e-12)
    assert found.intercepts.tolist() == pytest.approx([1.5], rel=1e-12)
    assert found(FOUR)[0].tolist() == pytest.approx([4.5, 2.5, 3.5, 1.5], rel=1e-12)


@pytest.mark.parametrize("alpha", [1e-9, 1.0, 30.0])
def test_ridge_is_that_of_scikit_learn(alpha: float) -> None:
    rows, targets, weights = case()
    found = ridge(rows, targets, weights, alpha)
    for n in range(len(rows)):
        theirs = Ridge(alpha).fit(rows[n].numpy(), targets[n].numpy(), sample_weight=weights[n].numpy())
        assert np.allclose(found.coefficients[n], theirs.coef_, rtol=1e-7, atol=1e-10)
        assert float(found.intercepts[n]) == pytest.approx(theirs.intercept_, rel=1e-8)
        assert np.allclose(found(rows)[n], theirs.predict(rows[n].numpy()), rtol=1e-8)


def test_nearness_by_hand() -> None:
    near = nearness(FOUR, torch.ones(1, 2).double(), 0.25)[0].tolist()
    half = math.exp(-((1 - math.sqrt(0.5)) ** 2) / 0.125)
    assert near == pytest.approx([1, half, half, math.exp(-8)], rel=1e-12)
    assert half == pytest.approx(0.50344, abs=1e-5)


def test_nearness_is_the_released_kernel_of_scikit_learns_distance_also_of_all_off() -> None:
    rows, _, _ = case(4, 40, 6)
    rows[:, 3] = 0
    centres = torch.stack([torch.ones(6).double(), rows[1, 5], torch.zeros(6).double(), rows[3, 0]])
    found = nearness(rows, centres, 0.25)
    for n in range(4):
        distance = pairwise_distances(rows[n].numpy(), centres[n : n + 1].numpy(), metric="cosine").ravel()
        assert np.allclose(found[n], np.sqrt(np.exp(-(distance**2) / 0.25**2)), rtol=1e-9)
    assert found[2].tolist() == [math.exp(-8)] * 40


def test_a_neighbourhood_begins_with_its_centre_and_is_even() -> None:
    centre = torch.tensor([1.0, 0, 1, 1, 0])
    rows = switched(centre, 4001, 7, 1)
    assert rows.shape == (4001, 5)
    assert torch.equal(rows[0], centre.double())
    assert rows.unique().tolist() == [0, 1]
    assert (rows[1:].mean(0) - 0.5).abs().max() < 4 * 0.5 / math.sqrt(4000)
    assert torch.equal(rows, switched(centre, 4001, 7, 1))
    for other in (switched(centre, 4001, 7, 2), switched(centre, 4001, 8, 1)):
        assert 0.45 < (other[1:] != rows[1:]).double().mean() < 0.55
