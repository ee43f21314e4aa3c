"""Ticket facts: what the mask alone says. They are a property of the ticket, not of its training."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ticketsearch.data.base import Data
from ticketsearch.metrics.base import EvalContext, Metric, Value


@dataclass(frozen=True)
class TicketFacts(Metric):
    """Density of every prunable layer, multiply-adds per image that touch a living weight, and bytes of the stored
    ticket.

    Masks simulate sparsity: `macs` is what a sparse kernel would have to do, not what this process did; variant
    `dense` is the latter. `ticket_bytes` is one bit per prunable weight, 4 bytes per survivor, and everything else of
    the state dict: a formula, which no version of a compressing library can change, where the file packs its mask.
    """

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        macs = macs_per_weight(model, data.test.images[:1])
        alive = {name: ctx.mask.layer_kept.get(name, count) for name, (count, _) in macs.items()}
        density = [
            Value("layer_density", kept / ctx.mask[name].numel(), None, variant=name)
            for name, kept in ctx.mask.layer_kept.items()
        ]
        return [
            *density,
            Value("collapsed_layers", sum(kept == 0 for kept in ctx.mask.layer_kept.values()), -1),
            Value("macs", sum(alive[name] * places for name, (_, places) in macs.items()), -1, "multiply-adds"),
            Value("macs", sum(count * places for count, places in macs.values()), -1, "multiply-adds", variant="dense"),
            Value("ticket_bytes", _bytes(model.state_dict(), ctx), -1, "bytes"),
        ]


def _bytes(weights: dict[str, Tensor], ctx: EvalContext) -> int:
    others = sum(t.numel() * t.element_size() for name, t in weights.items() if name not in ctx.mask)
    return others + -(-ctx.mask.total // 8) + 4 * ctx.mask.kept


@torch.no_grad()
def macs_per_weight(model: nn.Module, image: Tensor) -> dict[str, tuple[int, int]]:
    """Weight name -> (weights, places that each is used at per image), for every convolution and linear layer in use.

    Args:
        model: the network.
        image: uint8 [1, C, H, W].
    """
    found: dict[str, tuple[int, int]] = {}

    def note(name: str, module: nn.Conv2d | nn.Linear, output: Tensor) -> None:
        places = (output[0, 0] if isinstance(module, nn.Conv2d) else output[0, ..., 0]).numel()
        found[name] = (module.weight.numel(), found.get(name, (0, 0))[1] + places)

    hooks = [
        module.register_forward_hook(lambda m, _, output, name=name: note(f"{name}.weight", m, output))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    training = model.training
    model.eval()
    try:
        model(image.float().div_(255))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found
