"""SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow")."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ticketsearch.models.base import Normalise
from ticketsearch.pruners.saliency import in_mode, scoring_state
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Scores, Ticket


@dataclass(frozen=True)
class Synflow(Score):
    """|w dR/dw|, R the sum of the outputs of the network with |weights| for an input of ones.

    Every entry of the state dict is made positive, running statistics too, and batch norm evaluates with them, as in
    the authors' code; the input enters after the normalisation, which would make it something else than ones. It is
    meant for `Iterative` with 100 steps: in one step it collapses layers as other scores do.

    Attributes:
        precision: what is computed in, and ranked in: R multiplies over layers, so that float32 overflows or underflows
            in deep networks. The authors' code had float64 for a while.
    """

    precision: Literal["float32", "float64"] = "float64"

    def __call__(self, at: View, ctx: Context) -> Scores:
        """The scores.

        Raises:
            ValueError: they are beyond the precision; infinite ones would be ranked by their places.
        """
        state = scoring_state(at, Ticket(at.mask, at.weights, at.rest).masked(at.weights), self.precision)
        state = {name: tensor.abs() for name, tensor in state.items()}
        weights = {name: state[name].requires_grad_() for name in at.mask}
        flow = synaptic_flow(at.model, state, ctx.data.train.images.shape[1:])
        gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
        scores = {
            name: gradient.mul_(weight.detach()).abs_()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        beyond = [name for name, alive in at.mask.items() if bool((scores[name].isinf().cpu() & alive).any())]
        if beyond:
            raise ValueError(f"the synaptic flow of {beyond[0]} is beyond {self.precision}")
        return scores


def synaptic_flow(model: nn.Module, state: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
    """The sum of a network's outputs for an input of ones, behind its normalisation.

    Args:
        model: the network; its mode is put back.
        state: what it computes with, all positive.
        shape: of an image, (C, H, W).
    """
    like = next(tensor for tensor in state.values() if tensor.is_floating_point())
    ones = torch.ones(1, *shape, dtype=like.dtype, device=like.device)
    with in_mode(model, training=False), _not_normalised(model):
        flow: Tensor = functional_call(model, dict(state), (ones,)).sum()
    return flow


@contextmanager
def _not_normalised(model: nn.Module) -> Iterator[None]:
    """The network, to which pixels are what its first layer would make of them."""

    def passed(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        given: Tensor = inputs[0]
        return given

    hooks = [m.register_forward_hook(passed) for m in model.modules() if isinstance(m, Normalise)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
