"""Batch-norm statistics of weights that were never trained as they are: one pass over the training images."""

from copy import deepcopy

import torch
from torch import nn

from ticketsearch.data.base import Split
from ticketsearch.ticket import Weights
from ticketsearch.training.predict import BATCH

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def with_statistics(model: nn.Module, weights: Weights, split: Split) -> Weights:
    """The state dict with running means and variances that are the averages over the batches of one pass.

    Batches are of about equal size and not augmented. Learned masks need this: their weights have never been together.

    Args:
        model: of the right shape; it stays as it was.
        weights: its whole state dict, pruned weights at what they hold.
        split: the images, on the model's device.
    """
    network = deepcopy(model)
    network.load_state_dict(dict(weights))
    network.train()
    for module in network.modules():
        if isinstance(module, NORMS):
            module.reset_running_stats()
            module.momentum = None  # the plain average
    for images in split.images.tensor_split(-(-len(split) // BATCH)):
        network(images.float().div_(255))
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
