"""Learned masks: a network whose weights are frozen, with one number a prunable weight to train instead."""

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch.pruners.view import Context, View
from ticketsearch.ticket import Scores, Ticket, Weights


class MaskedNetwork(nn.Module, ABC):
    """A network that trains its mask and nothing else; its batch norms use and note the statistics of the images.

    Args:
        at: the network and what of it may be kept.
        weights: its state dict; they are frozen.
        scores: what is trained, by layer.
    """

    def __init__(self, at: View, weights: Weights, scores: Scores) -> None:
        super().__init__()
        self.network = deepcopy(at.model).requires_grad_(False)
        self.network.load_state_dict(dict(weights))
        device = next(self.network.parameters()).device
        self._names = tuple(scores)
        self.scores = nn.ParameterList([nn.Parameter(scores[name].to(device, copy=True)) for name in self._names])
        self.alive = [at.mask[name].to(device) for name in self._names]

    @abstractmethod
    def masks(self) -> list[Tensor]:
        """Zeros and ones by layer, in the order of the scores; their gradient reaches the scores."""

    def forward(self, pixels: Tensor) -> Tensor:
        own = dict(self.network.named_parameters())
        masked = {name: own[name] * mask for name, mask in zip(self._names, self.masks(), strict=True)}
        logits: Tensor = functional_call(self.network, masked, (pixels,))
        return logits

    def learned(self) -> dict[str, Tensor]:
        """The scores as they are, on the CPU."""
        return {name: score.detach().to("cpu", copy=True) for name, score in zip(self._names, self.scores, strict=True)}


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of `hard`, to the last bit, with the gradient of `soft` (Bengio et al. 2013)."""
    return hard + (soft - soft.detach())


def largest(values: Tensor, count: int) -> Tensor:
    """Ones at the `count` largest of a tensor, zeros elsewhere; of equal ones any."""
    flat = values.detach().flatten()
    return torch.zeros_like(flat).index_fill_(0, flat.topk(count, sorted=False).indices, 1).view_as(values)


def untrained(ticket: Ticket, at: View, ctx: Context) -> Ticket:
    """A ticket that is not trained. Under its very mask its weights have never been together, so that the statistics of
    their batch norms are taken anew.
    """
    found = ctx.with_statistics(at.model, ticket.masked(ticket.start))
    norms = {name: tensor for name, tensor in found.items() if name not in ticket.mask}
    return replace(ticket, start={**ticket.start, **norms})
