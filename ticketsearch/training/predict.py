"""Logits of a whole split: the one pass that accuracy, calibration and disagreement all read."""

import torch
from torch import Tensor, nn

from ticketsearch.data.base import Split

BATCH = 500


@torch.no_grad()
def predict(model: nn.Module, split: Split) -> Tensor:
    """The logits of `model` in evaluation mode: float32 [N, classes] on the model's device. The model's mode is put
    back.
    """
    training = model.training
    model.eval()
    try:
        return torch.cat([model(images.float().div_(255)).float() for images in split.images.split(BATCH)])
    finally:
        model.train(training)
