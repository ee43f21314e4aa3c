"""Temperature scaling (Guo et al. 2017): the one number by which logits are divided to be calibrated."""

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.01, 100.0
"""Temperatures are looked for between these; the best of images that are all right would be 0."""
_HALVINGS = 60


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that minimises the cross-entropy, in [0.01, 100].

    In 1 / T the cross-entropy is convex; the root of its derivative, the mean of E_p[z] - z_y, is found by bisection in
    log T, to the last bits of a float64.

    Args:
        logits: z, [N, C].
        labels: y, int64 [N].
    """
    z = logits.double()
    of_label = z.gather(1, labels[:, None]).mean()

    def too_sure(log_t: Tensor) -> Tensor:
        return ((z / log_t.exp()).softmax(1) * z).sum(1).mean() > of_label

    low, high = (torch.tensor(t, dtype=z.dtype, device=z.device).log() for t in (LOWEST, HIGHEST))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        hotter = too_sure(middle)  # stays on the device
        low, high = torch.where(hotter, middle, low), torch.where(hotter, high, middle)
    return float(high.exp().clamp(LOWEST, HIGHEST))
