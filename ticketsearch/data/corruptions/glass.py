"""Glass blur: pixels that take each other's place (Hendrycks & Dietterich 2019)."""

import torch
from torch import Tensor

from ticketsearch.data.corruptions.blur import smooth
from ticketsearch.data.corruptions.case import Case
from ticketsearch.data.corruptions.pixels import truncated


def glass_blur(case: Case) -> Tensor:
    """A Gaussian of c[0] pixels, c[2] passes of pixels that move by up to c[1], and the Gaussian again.

    The published code means to swap two pixels, but assigns overlapping views, so that each pixel becomes a copy of
    the other one and nothing comes back; its images are what counts, so that this does the same.
    """
    sigma, reach, passes = case.c[0], int(case.c[1]), int(case.c[2])
    blurred = truncated(smooth(case.images.float(), sigma, case.scale))
    for _ in range(passes):
        blurred = scattered(blurred, _offsets(case, reach), reach)
    return truncated(smooth(blurred.float(), sigma, case.scale))


def _offsets(case: Case, reach: int) -> Tensor:
    """Whole numbers from -reach to reach - 1, int64 [n, 2, H, W], rows and columns."""
    drawn = (case.draws.uniform(2, *case.size) * (2 * reach)).long() - reach
    return drawn if case.scale == 1 else drawn * (case.draws.uniform(1, *case.size) < case.scale)


def scattered(images: Tensor, offsets: Tensor, reach: int) -> Tensor:
    """One pass over the pixels from the last row to the first, each from right to left: a pixel becomes what the one at
    its offset is by then. The pixels of `reach` rows and columns at the border stay.

    What each pixel ends as is found for all at once: it points at an original pixel, or at one that was replaced before
    it; pointers at replaced ones are followed until none is left, twice as far in each turn.

    Args:
        images: [n, C, H, W].
        offsets: int64 [n, 2, H, W], rows and columns, from -reach to reach - 1.
        reach: how far a pixel can move.
    """
    count, channels, rows, columns = images.shape
    place = torch.arange(rows * columns, device=images.device).view(rows, columns)
    moves = torch.zeros(rows, columns, dtype=torch.bool, device=images.device)
    moves[reach + 1 : rows - reach + 1, reach + 1 : columns - reach + 1] = True
    target = torch.where(moves, place + offsets[:, 0] * columns + offsets[:, 1], place).flatten(1)
    replaced = (target > place.flatten()) & moves.flatten().expand(count, -1).gather(1, target)
    while replaced.any():
        target, replaced = (
            torch.where(replaced, target.gather(1, target), target),
            replaced & replaced.gather(1, target),
        )
    return images.flatten(2).gather(2, target.unsqueeze(1).expand(-1, channels, -1)).view_as(images)
