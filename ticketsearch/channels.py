"""Channels that can be removed: which they are, what goes with one, and masks without the lowest of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ticketsearch.ticket import Mask, Weights


@dataclass(frozen=True)
class Channels:
    """The output channels of one layer, and what goes with one that is removed; all are names of modules.

    A network declares those that it can lose in the attribute `channels`; none whose output is added to another's.

    Attributes:
        layer: the convolution or linear layer that makes them.
        norm: the normalisation behind it.
        consumers: the layers that read them, and nothing else does.
    """

    layer: str
    norm: str
    consumers: tuple[str, ...]


def declared(model: nn.Module) -> tuple[Channels, ...]:
    """The channels that a network can lose.

    Raises:
        ValueError: it declares none.
    """
    found = getattr(model, "channels", ())
    if not found:
        raise ValueError(f"{type(model).__name__} declares no channels that can be removed")
    return tuple(found)


def alive(model: nn.Module, mask: Mask) -> dict[str, Tensor]:
    """Layer -> bool [channels]: those of which a weight is alive. Layers that are not prunable are left out."""
    names = [group.layer for group in declared(model) if f"{group.layer}.weight" in mask]
    return {name: mask[f"{name}.weight"].flatten(1).any(1) for name in names}


def narrowest(model: nn.Module, mask: Mask) -> bool:
    """Whether one channel is left in each layer that can lose some: no more can go."""
    return all(int(stays.sum()) == 1 for stays in alive(model, mask).values())


def without(model: nn.Module, mask: Mask, kept: Mapping[str, Tensor]) -> Mask:
    """A mask in which removed channels are gone with all that goes with them.

    Weights that are prunable are pruned, also those of the layers that read the channel, so that `kept` is what a
    network without these channels has; scale and shift of the normalisation, biases, and inputs to layers that are not
    prunable are held at zero.

    Args:
        model: the network.
        mask: the weights alive before.
        kept: layer -> bool [channels]: those that stay.
    """
    layers = {name: weights.clone() for name, weights in mask.items()}
    held = {name: zero.clone() for name, zero in mask.held.items()}
    parameters = dict(model.named_parameters())
    for group in declared(model):
        if group.layer not in kept:
            continue
        gone = ~kept[group.layer]
        layers[f"{group.layer}.weight"][gone] = False
        for name in (f"{group.norm}.weight", f"{group.norm}.bias", f"{group.layer}.bias"):
            if name in parameters:
                held[name] = held.get(name, torch.zeros(len(gone), dtype=torch.bool)) | gone
        for consumer in group.consumers:
            name = f"{consumer}.weight"
            inputs = gone.repeat_interleave(parameters[name].shape[1] // len(gone))  # a linear layer sees each pixel
            if name in layers:
                layers[name][:, inputs] = False
            else:
                held.setdefault(name, torch.zeros(parameters[name].shape, dtype=torch.bool))[:, inputs] = True
    return Mask(layers, held)


def lowest_removed(model: nn.Module, mask: Mask, scores: Weights, keep: int) -> Mask:
    """The mask without the channels of the lowest scores: as many as can go while `keep` weights stay alive.

    It comes within one channel of `keep`, unless one channel a layer is left: the last of a layer stays.

    Args:
        model: the network.
        mask: the weights alive, in whole channels.
        scores: layer -> [channels]; higher = keep. Ties go to the earlier channel.
        keep: how many weights stay at least.

    Raises:
        ValueError: a score is not a number.
    """
    kept, left, size = alive(model, mask), mask.kept, _Sizes(model, mask)
    for name in kept:
        if bool(torch.isnan(scores[name]).any()):
            raise ValueError(f"the scores of {name} are not numbers (NaN)")
    order = [
        (float(scores[name][c]), -n, -c) for n, name in enumerate(kept) for c in range(len(kept[name])) if kept[name][c]
    ]
    names = list(kept)
    for _, number, channel in sorted(order):
        name = names[-number]
        if int(kept[name].sum()) == 1:
            continue
        cost = size.of_a_channel(name)
        if left - cost < keep:
            break
        kept[name][-channel] = False
        size.remove(name)
        left -= cost
    return without(model, mask, kept)


class _Sizes:
    """How many weights go with a channel, while others are going too."""

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        self._mask, self._groups = mask, {group.layer: group for group in declared(model)}
        modules = {name.removesuffix(".weight"): weights for name, weights in mask.items()}
        self._outputs = {name: int(weights.flatten(1).any(1).sum()) for name, weights in modules.items()}
        self._inputs = {name: int(weights.transpose(0, 1).flatten(1).any(1).sum()) for name, weights in modules.items()}
        self._area = {name: math.prod(weights.shape[2:]) for name, weights in modules.items()}
        self._per = {name: 1 for name in modules}
        for group in self._groups.values():
            for consumer in group.consumers:
                if consumer in modules and group.layer in modules:
                    self._per[consumer] = modules[consumer].shape[1] // modules[group.layer].shape[0]

    def of_a_channel(self, name: str) -> int:
        """The prunable weights that go with one more channel of a layer."""
        read = [c for c in self._groups[name].consumers if c in self._outputs]
        return self._inputs[name] * self._area[name] + sum(
            self._outputs[c] * self._per[c] * self._area[c] for c in read
        )

    def remove(self, name: str) -> None:
        """One channel of a layer is gone."""
        self._outputs[name] -= 1
        for consumer in self._groups[name].consumers:
            if consumer in self._inputs:
                self._inputs[consumer] -= self._per[consumer]
