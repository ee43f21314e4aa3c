"""A network's weights by a formula, in the order in which an image meets them: the same in two codes of one network."""

import torch
from torch import Tensor, nn

KINDS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def noise(count: int, key: int) -> Tensor:
    """Numbers in [-1, 1) without a pattern, float64 [count], by whole-number arithmetic: the same everywhere."""
    bits = (torch.arange(count) * 2_654_435_761 + key * 40_503) % 2**32
    bits = ((bits ^ (bits >> 15)) * 2_246_822_519 % 2**31) ^ (bits >> 13)
    return (bits % 2**31).double() / 2**30 - 1


def images(shape: tuple[int, int, int], count: int = 2) -> Tensor:
    """Pixels in [0, 1), float64 [count, C, H, W]."""
    return (noise(count * shape[0] * shape[1] * shape[2], 99) / 2 + 0.5).view(count, *shape)


def layers(network: nn.Module, image: Tensor) -> list[nn.Module]:
    """Convolutions, linear layers and batch norms in the order in which they are used, without those that never are."""
    seen = list[nn.Module]()
    hooks = [
        m.register_forward_hook(lambda m, _, __: seen.append(m)) for m in network.modules() if isinstance(m, KINDS)
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
def filled(network: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """The network in float64 and training mode, where batch norm keeps the signal alive; every used weight and bias
    follows a formula, He-uniform weights among them.
    """
    network = network.double().eval()
    for number, layer in enumerate(layers(network, images(shape, 1))):
        values = noise(layer.weight.numel(), 2 * number).view_as(layer.weight)
        norm = isinstance(layer, nn.BatchNorm2d)
        layer.weight.copy_(1 + 0.3 * values if norm else values * (6 / layer.weight[0].numel()) ** 0.5)
        if layer.bias is not None:
            layer.bias.copy_(0.2 * noise(len(layer.bias), 2 * number + 1))
    return network.train()
