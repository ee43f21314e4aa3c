"""Elastic transform: displacements that are smoothed noise (Simard et al. 2003; Hendrycks & Dietterich 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ticketsearch.data.corruptions import kernels
from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.motion import between
from ticketsearch.data.corruptions.pixels import truncated
from ticketsearch.data.corruptions.tables import canvas

REACH = 3.0
"""Where the Gaussian of the displacements is cut off, in deviations."""


def elastic_transform(case: Case) -> Tensor:
    """The form of CIFAR-10-C: an affine map that moves three points by up to c[2] of the side, then displacements by
    c[0] of the side times uniform noise in [-1, 1) under a Gaussian of c[1] of the side.

    Both maps are exact bilinear interpolations; OpenCV rounds the positions of the first to 1/32 of a pixel.
    """
    high, wide = canvas(*case.size)
    side = min(high, wide)
    moves = between(case.draws.uniform(3, 2), -1, 1) * (case.c[2] * side * case.scale)
    moved = _affine(case.images.float(), moves, side // 3 * case.scale)
    field = _field(case, case.c[0] * side, (case.c[1] * side,) * 2, 1.0)
    return truncated(displaced(moved, field))


def elastic_of_package(case: Case) -> Tensor:
    """The form of `imagecorruptions`: displacements by c[0] times uniform noise of 0.005 of the height, under a
    Gaussian of 0.01 of each side; no affine map.
    """
    high, wide = case.size
    field = _field(case, case.c[0], (high * 0.01, wide * 0.01), high * 0.005)
    return truncated(displaced(case.images.float(), field))


def _field(case: Case, strength: float, sigmas: tuple[float, float], most: float) -> Tensor:
    """Displacements in pixels of the image, float32 [n, 2, H, W], columns and rows."""
    made = canvas(*case.size)
    noise = between(case.draws.uniform(2, *made), -most, most)
    field = kernels.apply(kernels.gaussian(sigmas, made, kernels.half, REACH), noise) * (strength * case.scale)
    if made == case.size:
        return field
    return F.interpolate(field, case.size, mode="bilinear", align_corners=False)


def displaced(levels: Tensor, field: Tensor) -> Tensor:
    """Each pixel as what lies at its displacement [n, 2, H, W] (columns, rows); reflected behind the last pixel."""
    high, wide = levels.shape[2:]
    x = torch.arange(wide, device=levels.device) + field[:, 0]
    y = torch.arange(high, device=levels.device).view(-1, 1) + field[:, 1]
    grid = torch.stack([(2 * x + 1) / wide - 1, (2 * y + 1) / high - 1], 3)
    return F.grid_sample(levels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _affine(levels: Tensor, moves: Tensor, away: float) -> Tensor:
    """The affine map under which three corners of a square around the centre, `away` pixels from it, move by [n, 3, 2]
    (columns, rows); mirrored at the centre of the last pixel.
    """
    high, wide = levels.shape[2:]
    before = torch.tensor([[away, away], [away, -away], [-away, -away]], dtype=torch.float64, device=levels.device)
    before = before + torch.tensor([wide // 2, high // 2], device=levels.device)
    after = before + moves
    ones = torch.ones(len(levels), 3, 1, dtype=torch.float64, device=levels.device)
    back = torch.linalg.solve(torch.cat([after, ones], 2), before.expand_as(after))
    y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64, device=levels.device) for n in (high, wide)), indexing="ij"
    )
    at = torch.stack([x, y, torch.ones_like(x)], 2).view(-1, 3) @ back
    limits = torch.tensor([wide - 1, high - 1], dtype=torch.float64, device=levels.device)
    grid = (2 * at / limits - 1).view(len(levels), high, wide, 2).float()
    return F.grid_sample(levels, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
