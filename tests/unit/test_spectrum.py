"""Lanczos and the deflated trace, on matrices whose spectrum is known."""

import pytest
import torch
from torch import Tensor

from ticketsearch.metrics.spectrum import Product, Ritz, deflated_trace, lanczos, outside, rademacher

SIZE = 60
EYE = torch.eye(SIZE, dtype=torch.float64)
LINE = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
SPECTRA = {
    "apart": torch.arange(SIZE, dtype=torch.float64) ** 2,
    "negative": -(1 + LINE),
    "both signs": LINE**3,
    "clustered": torch.where(LINE > 0.8, 100 + 1e-3 * LINE, LINE),
    "degenerate": torch.tensor([7.0] * 20 + [-3.0] * 30 + [0.0] * 10, dtype=torch.float64),
    "rank one": 5 * EYE[0],
    "zero": torch.zeros(SIZE, dtype=torch.float64),
}
every_spectrum = pytest.mark.parametrize("name", SPECTRA)


def matrix(values: Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues, in a random basis."""
    rng = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=rng, dtype=torch.float64))
    return turn @ values.diag() @ turn.mT


def products(dense: Tensor) -> Product:
    """Products with a matrix [n, n], or with each of several, [N, n, n]."""
    return lambda vectors: (dense @ vectors.unsqueeze(-1)).squeeze(-1)


def signs(count: int, *shape: int, key: int = 0) -> Tensor:
    return rademacher([count, *shape], "test", key).double()


def ritz(dense: Tensor, steps: int) -> Ritz:
    return lanczos(products(dense), signs(1, len(dense), key=99)[0], steps)


@every_spectrum
def test_as_many_steps_as_dimensions_give_every_eigenvalue_as_often_as_it_occurs(name: str) -> None:
    dense = matrix(SPECTRA[name])
    found, scale = ritz(dense, SIZE), SPECTRA[name].abs().max()
    assert torch.allclose(found.values, SPECTRA[name].sort(descending=True).values, rtol=0, atol=float(1e-12 * scale))
    assert torch.allclose(found.vectors @ found.vectors.mT, EYE, rtol=0, atol=1e-12)
    assert torch.allclose(found.vectors.mT @ found.values.diag() @ found.vectors, dense, atol=float(1e-11 * scale))


@every_spectrum
def test_residuals_are_those_of_the_vectors(name: str) -> None:
    dense = matrix(SPECTRA[name])
    found = ritz(dense, 8)
    residuals = (found.vectors @ dense - found.values.unsqueeze(1) * found.vectors).norm(dim=1)
    assert torch.allclose(found.residuals, residuals, rtol=1e-6, atol=float(1e-12 * SPECTRA[name].abs().max()))
    nearest = (found.values.unsqueeze(1) - SPECTRA[name]).abs().min(1).values
    assert (nearest <= residuals + 1e-9).all()


def test_what_stands_apart_has_converged_long_before_the_whole_space() -> None:
    values = torch.cat([LINE[:-3], torch.tensor([20.0, 40.0, 30.0]).double()])
    found = ritz(matrix(values), 12)
    assert torch.allclose(found.values[:3], torch.tensor([40.0, 30.0, 20.0]).double(), rtol=1e-9)
    assert (found.residuals[:3] < 1e-4).all()
    assert found.residuals[3:].max() > 1e-3


def test_float32_is_as_good_as_its_rounding() -> None:
    dense = matrix(SPECTRA["apart"]).float()
    found = lanczos(products(dense), signs(1, SIZE)[0].float(), SIZE)
    wanted = torch.linalg.eigvalsh(dense.double()).flip(0)
    assert torch.allclose(found.values, wanted, rtol=0, atol=float(1e-5 * wanted.max()))
    assert torch.allclose(found.vectors @ found.vectors.mT, EYE.float(), rtol=0, atol=1e-5)


def test_no_more_steps_than_dimensions_are_made_and_each_is_one_product() -> None:
    made, product = [], products(matrix(SPECTRA["apart"]))

    def counted(vectors: Tensor) -> Tensor:
        made.append(1)
        return product(vectors)

    for steps in (5, SIZE + 10):
        made.clear()
        found = lanczos(counted, signs(1, SIZE)[0], steps)
        assert len(made) == found.values.numel() == min(steps, SIZE)


def test_several_matrices_are_solved_as_if_each_were_alone() -> None:
    dense = torch.stack([matrix(values, seed) for seed, values in enumerate(SPECTRA.values())])
    starts, probes = signs(len(dense), SIZE), signs(3, len(dense), SIZE, key=1)
    together = lanczos(products(dense), starts, 9)
    traces, errors = deflated_trace(products(dense), together, probes)
    for n, one in enumerate(dense):
        alone = lanczos(products(one), starts[n], 9)
        trace, error = deflated_trace(products(one), alone, probes[:, n])
        assert torch.allclose(together.values[n], alone.values, rtol=1e-9, atol=1e-9)
        assert torch.allclose(traces[n], trace, rtol=1e-9, atol=1e-9)
        assert torch.allclose(errors[n], error, rtol=1e-6, atol=1e-9)


def test_a_product_that_is_not_finite_is_refused() -> None:
    dense = matrix(SPECTRA["apart"])
    dense[3, 3] = torch.nan
    with pytest.raises(ArithmeticError, match="not finite"):
        ritz(dense, 5)


@every_spectrum
def test_a_deflated_space_that_is_everything_gives_the_exact_trace(name: str) -> None:
    dense = matrix(SPECTRA[name])
    trace, error = deflated_trace(products(dense), ritz(dense, SIZE), signs(2, SIZE))
    assert float(trace) == pytest.approx(float(SPECTRA[name].sum()), rel=1e-10, abs=1e-10)
    assert float(error) <= 1e-10 * float(SPECTRA[name].abs().max())


def test_a_rank_below_the_steps_gives_the_exact_trace() -> None:
    values = torch.zeros(SIZE).double()
    values[:6] = torch.tensor([9.0, 4.0, 1.0, 0.5, -2.0, 0.1])
    trace, error = deflated_trace(products(matrix(values)), ritz(matrix(values), 7), signs(2, SIZE))
    assert float(trace) == pytest.approx(float(values.sum()), rel=1e-9)
    assert float(error) < 1e-9


@every_spectrum
def test_the_mean_over_all_signs_is_the_trace(name: str) -> None:
    # Nine dimensions have 512 vectors of signs: the expectation is a sum.
    values = SPECTRA[name][:: SIZE // 9][:9]
    dense = matrix(values)
    everything = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 9)
    trace, _ = deflated_trace(products(dense), ritz(dense, 3), everything)
    assert float(trace) == pytest.approx(float(values.sum()), rel=1e-10, abs=1e-10)


def test_no_more_spread_than_the_standard_error_says() -> None:
    # z-scores of 400 estimates of 20 probes: their mean square is that of Student's t with 19 degrees of freedom, and
    # their mean is 0, within four standard errors of 400.
    dense = matrix(SPECTRA["clustered"])
    found, z = ritz(dense, 6), []
    for key in range(400):
        trace, error = deflated_trace(products(dense), found, signs(20, SIZE, key=key))
        z.append(float((trace - dense.trace()) / error))
    scores = torch.tensor(z)
    assert abs(float(scores.mean())) < 4 * (19 / 17 / 400) ** 0.5
    assert float(scores.square().mean()) == pytest.approx(19 / 17, abs=4 * (2.9 / 400) ** 0.5)


def test_deflation_leaves_only_the_rest_to_chance() -> None:
    values = torch.cat([0.1 * LINE[:-3], torch.tensor([50.0, 60.0, 70.0]).double()])
    dense, probes = matrix(values), signs(100, SIZE)
    _, error = deflated_trace(products(dense), ritz(dense, 10), probes)
    nothing = Ritz(torch.zeros(0).double(), torch.zeros(0, SIZE).double(), torch.zeros(0).double(), torch.zeros(0))
    plain, wide = deflated_trace(products(dense), nothing, probes)
    assert abs(float(plain - values.sum())) < 4 * float(wide)
    assert float(error) < float(wide) / 50


def test_outside_is_orthogonal_even_where_little_is_left() -> None:
    basis = ritz(matrix(SPECTRA["apart"]), 10).vectors
    inside = signs(1, 10)[0] @ basis
    left = outside(inside + 1e-9 * signs(1, SIZE, key=1)[0], basis)
    assert 1e-10 < float(left.norm()) < 1e-7
    assert float((basis @ left).abs().max()) < 1e-14 * float(left.norm())


def test_signs_are_signs_of_their_key_alone() -> None:
    torch.manual_seed(1)
    one = rademacher([4000], "a", 1)
    torch.manual_seed(2)
    assert torch.equal(one, rademacher([4000], "a", 1))
    assert one.abs().eq(1).all()
    assert abs(float(one.mean())) < 4 / 4000**0.5
    for other in (rademacher([4000], "a", 2), rademacher([4000], "b", 1)):
        assert abs(float((one * other).mean())) < 4 / 4000**0.5


@every_spectrum
@pytest.mark.parametrize("steps", [1, 4, SIZE])
def test_shares_are_a_quadrature_of_the_start_vectors_spectral_measure(name: str, steps: int) -> None:
    dense, start = matrix(SPECTRA[name] / max(SPECTRA[name].abs().max(), 1)), signs(1, SIZE, key=99)[0]
    found = lanczos(products(dense), start, steps)
    assert found.shares.sum() == pytest.approx(1, abs=1e-12)
    for power in range(min(2 * steps, 12)):  # Gauss's quadrature is exact up to degree 2 k - 1
        moment = start @ torch.linalg.matrix_power(dense, power) @ start / (start @ start)
        assert found.shares @ found.values**power == pytest.approx(float(moment), abs=1e-11)
