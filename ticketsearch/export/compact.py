"""Physical removal of channels that a mask has removed: the same function, in a network that is smaller."""

from copy import deepcopy

from torch import Tensor, nn

from ticketsearch import channels
from ticketsearch.ticket import Mask


def compact(model: nn.Module, mask: Mask) -> nn.Module:
    """A copy of a network without the channels of which no weight is alive.

    Args:
        model: the network, with the weights of a ticket; it is not changed.
        mask: of the ticket, in whole channels (`unit=channel`).

    Returns:
        The smaller network. Its logits are those of the masked one, up to rounding: what is removed was zero.

    Raises:
        ValueError: the network declares no channels that can be removed.
    """
    small = deepcopy(model)
    modules, kept = dict(small.named_modules()), channels.alive(model, mask)
    for group in channels.declared(model):
        if group.layer in kept:
            stays = kept[group.layer]
            _keep_outputs(modules[group.layer], stays)
            _keep_outputs(modules[group.norm], stays)
            for consumer in group.consumers:
                _keep_inputs(modules[consumer], stays)
    return small


def _keep_outputs(module: nn.Module, stays: Tensor) -> None:
    """Of a layer or a normalisation, the channels that stay."""
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if tensor.dim():  # the number of batches seen is one number
            _replace(module, name, tensor[stays.to(tensor.device)])
    for name in ("out_channels", "out_features", "num_features"):
        if hasattr(module, name):
            setattr(module, name, int(stays.sum()))


def _keep_inputs(module: nn.Module, stays: Tensor) -> None:
    """Of a layer, the inputs that stay; a linear layer may see several pixels of each channel."""
    weight = module.get_parameter("weight")
    inputs = stays.repeat_interleave(weight.shape[1] // len(stays)).to(weight.device)
    _replace(module, "weight", weight[:, inputs])
    setattr(module, "in_channels" if hasattr(module, "in_channels") else "in_features", int(inputs.sum()))


def _replace(module: nn.Module, name: str, tensor: Tensor) -> None:
    tensor = tensor.detach().clone()
    setattr(module, name, nn.Parameter(tensor) if name in module._parameters else tensor)
