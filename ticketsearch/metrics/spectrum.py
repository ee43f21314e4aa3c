"""Eigenvalues and traces of symmetric matrices that are known by their products with vectors alone.

Vectors lie along the last dimension. Dimensions before it are matrices of their own: a product with [N, n] is that of N
matrices, each with its own vector, so that N problems take as many products as one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ticketsearch import seeding

Product = Callable[[Tensor], Tensor]
"""Takes vectors [..., n] to their products with symmetric matrices, [..., n]."""


@dataclass(frozen=True)
class Ritz:
    """What a Krylov space knows of a matrix: its eigenvalues and eigenvectors within that space.

    Attributes:
        values: Ritz values, from the largest down, float64 [..., k].
        vectors: Ritz vectors, orthonormal, [..., k, n].
        residuals: |A v - value v|; some eigenvalue is not farther than this from the value. Float64 [..., k].
        shares: the squared part of the start vector along each Ritz vector, float64 [..., k], in all 1. For a random
            start they are what share of the spectrum lies near each value: Gauss's quadrature of the spectral density,
            exact for polynomials up to degree 2 k - 1 (Golub & Welsch 1969; Lin et al. 2016, equation 3.13).
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    shares: Tensor


def lanczos(product: Product, start: Tensor, steps: int) -> Ritz:
    """Lanczos' iteration, every vector made orthogonal to all before it, twice (Parlett 1998, chapter 13).

    Where the space is invariant it goes on with a fixed random direction orthogonal to it, so that `steps = n` gives
    every eigenvalue as often as it occurs. Ends of the spectrum that stand apart converge first.

    Args:
        product: of the matrices; called once a step.
        start: [..., n], not zero; its dtype is the one that is computed in.
        steps: how many; no more than n are made.

    Raises:
        ArithmeticError: a product is not finite.
    """
    steps = min(steps, start.shape[-1])
    basis = start.new_zeros(*start.shape[:-1], steps, start.shape[-1])
    diagonal, beside = list[Tensor](), list[Tensor]()
    vector, scale = _unit(start), start.new_zeros(start.shape[:-1])
    for step in range(steps):
        basis[..., step, :] = vector
        image = product(vector)
        diagonal.append((vector * image).sum(-1))
        left = outside(image, basis[..., : step + 1, :])
        length, scale = left.norm(dim=-1), torch.maximum(scale, image.norm(dim=-1))
        ended = length <= 100 * torch.finfo(start.dtype).eps * scale  # nothing is left but rounding
        beside.append(length.where(~ended, 0.0))
        vector = left / length.unsqueeze(-1)
        if ended.any():
            fresh = _unit(outside(_restart(start, step), basis[..., : step + 1, :]))
            vector = torch.where(ended.unsqueeze(-1), fresh, vector)
    return _ritz(basis, torch.stack(diagonal, -1).double(), torch.stack(beside, -1).double())


def deflated_trace(product: Product, ritz: Ritz, probes: Sequence[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
    """The trace: exact within the space of the Ritz vectors, Hutchinson's estimate on what is orthogonal to it.

    That is the estimator of Hutch++ (Meyer et al. 2021) with a Krylov space in place of the random one. It is unbiased,
    whatever the vectors are, as long as the probes do not depend on them.

    Args:
        product: of the matrices; called once a probe.
        ritz: an orthonormal basis, and the diagonal of the matrix in it.
        probes: two or more, each [..., n], of independent entries +-1.

    Returns:
        The trace and its standard error, float64 [...].
    """
    samples = []
    for probe in probes:
        left = outside(probe, ritz.vectors)
        samples.append((left * product(left)).sum(-1).double())
    found = torch.stack(samples)
    return ritz.values.sum(-1) + found.mean(0), found.std(0) / len(samples) ** 0.5


def outside(vectors: Tensor, basis: Tensor) -> Tensor:
    """What of vectors [..., n] is orthogonal to orthonormal ones, [..., k, n]."""
    for _ in range(2):  # once leaves roundings that are large beside a short remainder
        vectors = vectors - (vectors.unsqueeze(-2) @ basis.mT @ basis).squeeze(-2)
    return vectors


def rademacher(shape: Sequence[int], purpose: str, *key: int | str) -> Tensor:
    """Independent signs, float32 on the CPU; a function of the key."""
    return torch.randint(2, tuple(shape), generator=seeding.generator(0, purpose, *key)).float().mul_(2).sub_(1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _restart(start: Tensor, step: int) -> Tensor:
    """A direction that depends on the step alone, so that a matrix's values do not depend on those beside it."""
    fresh = torch.randn(start.shape[-1], generator=seeding.generator(0, "lanczos", step), dtype=torch.float64)
    return fresh.to(start).expand_as(start)


def _ritz(basis: Tensor, diagonal: Tensor, beside: Tensor) -> Ritz:
    """The eigenvalues and eigenvectors of the tridiagonal matrix, in the whole space."""
    if not (diagonal.isfinite().all() and beside.isfinite().all()):
        raise ArithmeticError("a product with the matrix is not finite")
    between = beside[..., :-1]
    matrix = torch.diag_embed(diagonal) + torch.diag_embed(between, 1) + torch.diag_embed(between, -1)
    values, turns = torch.linalg.eigh(matrix)
    values, turns = values.flip(-1), turns.flip(-1)
    residuals = (beside[..., -1:] * turns[..., -1, :]).abs()
    return Ritz(values, turns.mT.to(basis) @ basis, residuals, turns[..., 0, :].square())
