"""The model as thousands of perturbed images go through it: folded, channels last, in bfloat16 where that is native."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

BATCH, PIXELS = 500, 1 << 17
"""Images that go through the network together at most, and pixels on a CPU, where what a layer makes of more does not
stay in the cache: ResNet-20 takes four fifths of the time for 128 images of 32x32 together that it takes for 500.
"""
TOLERANCE = {torch.bfloat16: 0.05, torch.float32: 1e-4}
"""How far its logits may be from the exact ones, relative to these without their mean: several roundings of a network
of twenty layers in bfloat16, whose step is 2^-8, and in float32 sums in another order.
"""


class Sweep:
    """A faster copy of a model in evaluation mode, for perturbed images. It is compared with the model itself on clean
    images before it is used; where it says something else, the model itself is used.

    Attributes:
        difference: norm of the difference between its logits and the exact ones on the clean images, relative to the
            norm of the exact ones without their mean; not finite where these are all the same.
        fast: whether the copy is used.
    """

    def __init__(self, model: nn.Module, images: Tensor, exact: Tensor) -> None:
        """Fold and compare.

        Args:
            model: in evaluation mode; stays as it is.
            images: clean ones, uint8 [N, C, H, W], on the model's device.
            exact: the model's logits of them, float32 [N, classes].
        """
        self.dtype = native_dtype(images.device)
        self._model = folded(model, images[:1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fast = True
        self.difference = float((self.logits(images) - exact).norm() / (exact - exact.mean(0)).norm())
        if not self.difference <= TOLERANCE[self.dtype]:
            self.fast, self._model = False, model

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits of images, uint8 [N, C, H, W]; float32 [N, classes]."""
        half = self.fast and self.dtype is torch.bfloat16
        found = []
        for part in images.split(_together(images)):
            pixels = part.float().div_(255)
            if self.fast:
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
                found.append(self._model(pixels).float())
        return torch.cat(found)


def _together(images: Tensor) -> int:
    """How many of the images go through the network together."""
    if images.device.type != "cpu":
        return BATCH
    return min(BATCH, max(8, PIXELS // (images.shape[2] * images.shape[3])))


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has instructions for it, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


@torch.no_grad()
def folded(model: nn.Module, image: Tensor) -> nn.Module:
    """A copy in which a batch norm is part of the convolution before it, wherever nothing else reads what is between.

    What reads a convolution's output is seen in one forward pass, whatever the model's code looks like.

    Args:
        model: in evaluation mode; stays as it is.
        image: uint8 [1, C, H, W].
    """
    copy = deepcopy(model)
    with _Readers() as readers:
        hooks = [
            module.register_forward_hook(readers.made) for module in copy.modules() if isinstance(module, nn.Conv2d)
        ]
        hooks += [
            module.register_forward_pre_hook(readers.read)
            for module in copy.modules()
            if isinstance(module, nn.BatchNorm2d)
        ]
        copy(image.float().div_(255))
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in copy.named_modules()}
    for conv, norm in readers.pairs():
        copy.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        copy.set_submodule(names[norm], nn.Identity())
    return copy


class _Readers(TorchFunctionMode):
    """Counts the functions that read each convolution's output, and notes which batch norm does."""

    def __init__(self) -> None:
        super().__init__()
        self._outputs: list[tuple[nn.Conv2d, Tensor]] = []  # kept, so that no id is given again
        self._norms: dict[int, nn.BatchNorm2d] = {}
        self._uses = Counter[int]()

    def made(self, module: nn.Conv2d, _: Any, output: Tensor) -> None:
        self._outputs.append((module, output))
        self._uses[id(output)] = 0  # forgets a tensor that had this id before, and what read it
        self._norms.pop(id(output), None)

    def read(self, module: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        self._norms[id(inputs[0])] = module

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):  # a question about a shape reads nothing
            self._uses.update(id(given) for given in tree_leaves((args, kwargs)) if isinstance(given, Tensor))
        return result

    def pairs(self) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Each convolution that a batch norm reads, and nothing else does; one that is used twice is none."""
        times = Counter(conv for conv, _ in self._outputs)
        for conv, output in self._outputs:
            norm = self._norms.get(id(output))
            if norm is None or norm.running_mean is None or is_parametrized(conv):  # no numbers to fold, nowhere to
                continue
            if self._uses[id(output)] == 1 and times[conv] == 1:
                yield conv, norm
