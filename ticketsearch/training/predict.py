"""Logits of a whole split: the one pass that accuracy, calibration and disagreement all read."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ticketsearch.data.base import Split

BATCH = 500


@torch.no_grad()
def predict(model: nn.Module, split: Split, between: Callable[[], None] = lambda: None) -> Tensor:
    """The logits of `model` in evaluation mode: float32 [N, classes] on the model's device. The model's mode is put
    back.

    Args:
        model: takes pixels in [0, 1].
        split: the images.
        between: called before each batch; what it raises ends the pass.
    """
    training = model.training
    model.eval()
    try:
        logits = []
        for images in split.images.split(BATCH):
            between()
            logits.append(model(images.float().div_(255)).float())
        return torch.cat(logits)
    finally:
        model.train(training)
