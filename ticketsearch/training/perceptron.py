"""Gradients of a perceptron by hand: the kernels that autograd would call, in its order, and nothing around them."""

import torch
from torch import Tensor, nn

from ticketsearch.models.base import Normalise
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.update import Update

_aten = torch.ops.aten


class Perceptron(Update):
    """Linear layers with ReLU between them, on a CPU.

    Their steps are so short that a quarter of the time goes into recording a graph, into gradients that are allocated
    anew, and into dispatching. Every number is computed by the kernel that autograd computes it with, from the same
    operands, so that results are the same bit for bit, in float32 and under autocast to bfloat16.
    """

    name = "perceptron"

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        self._layers = [module for module in model.children() if isinstance(module, nn.Linear)]
        self._normalise = next((module for module in model.children() if isinstance(module, Normalise)), nn.Identity())
        self._half = recipe.precision == "bfloat16"
        self._grads = [(torch.empty_like(layer.weight), torch.empty_like(layer.bias)) for layer in self._layers]

    def gradients(self, pixels: Tensor, labels: Tensor, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if penalty is not None:
            return super().gradients(pixels, labels, penalty)
        for layer, (weight, bias) in zip(self._layers, self._grads, strict=True):
            layer.weight.grad, layer.bias.grad = weight, bias
        with torch.no_grad():
            inputs, weights, logits = self._forward(pixels)
            logs = torch.log_softmax(logits.float(), 1)
            loss, total = _aten.nll_loss_forward(logs, labels, None, 1, -100)
            grad = _aten.nll_loss_backward(torch.ones_like(loss), logs, labels, None, 1, -100, total)
            self._backward(_aten._log_softmax_backward_data(grad, logs, 1, torch.float32), inputs, weights)
        return loss, logits

    def _forward(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The input and the weight of each layer, in the precision of its product, and the logits."""
        dtype = torch.bfloat16 if self._half else torch.float32
        value = self._normalise(pixels).flatten(1).to(dtype)
        inputs: list[Tensor] = []
        weights: list[Tensor] = []
        for layer in self._layers:
            if inputs:
                value = value.relu_()
            inputs.append(value)
            weights.append(layer.weight.to(dtype))
            value = torch.addmm(layer.bias.to(dtype), value, weights[-1].t())
        return inputs, weights, value

    def _backward(self, grad: Tensor, inputs: list[Tensor], weights: list[Tensor]) -> None:
        """Write the gradients, from that of the logits."""
        grad = grad.to(weights[0].dtype)
        for number in reversed(range(len(weights))):
            value = inputs[number]
            weight, bias = self._grads[number]
            if self._half:  # products in bfloat16, what they are added to in float32
                weight.copy_(torch.mm(grad.t(), value))
                bias.copy_(torch.sum(grad, 0))
            else:
                torch.mm(grad.t(), value, out=weight)
                torch.sum(grad, 0, out=bias)
            if number:
                grad = _aten.threshold_backward(torch.mm(grad, weights[number]), value, 0)


def is_perceptron(model: nn.Module) -> bool:
    """Whether a network is nothing but linear layers with ReLU between them, behind a normalisation of its pixels."""
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward or _hooked(model):
        return False
    kinds = [type(module) for module in model.children()]
    while kinds and kinds[0] in (Normalise, nn.Flatten):
        kinds.pop(0)
    expected = [nn.Linear if number % 2 == 0 else nn.ReLU for number in range(len(kinds))]
    biased = all(module.bias is not None for module in model.children() if isinstance(module, nn.Linear))
    return bool(kinds) and len(kinds) % 2 == 1 and kinds == expected and biased


def _hooked(model: nn.Module) -> bool:
    """Whether somebody wants to see what its modules do."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
