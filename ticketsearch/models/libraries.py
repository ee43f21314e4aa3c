"""Networks of torchvision and timm, by name."""

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ticketsearch.errors import UsageError
from ticketsearch.models.base import Model, Normalise

Name = Annotated[str, MinLen(1)]


class Wrapped(nn.Module):
    """`normalise`, then a library's network; grey images are repeated where it takes three channels.

    Attributes:
        classifier: the name of the layer that gives the logits.
        prefix: stands before the library's own names of weights.
    """

    prefix = "network."

    def __init__(self, normalise: Normalise, network: nn.Module, channels: int | None) -> None:
        super().__init__()
        self.normalise, self.network, self._repeated = normalise, network, channels
        self.classifier = ""

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels)
        return self.network(x if self._repeated is None else x.expand(-1, self._repeated, -1, -1))


@dataclass(frozen=True)
class Named(Model):
    """A network that a library knows by name, with the library's initial weights (never those of a training: for them
    there is `weights`). Dropout and stochastic depth are off: their random numbers would not be a function of the seed
    and the step. Weights that are not of a convolution or linear layer, those of an attention's input for example, are
    not prunable. What differentiates twice (`hessian`, GraSP) needs a network of functions that can be: PyTorch's hard
    sigmoid, of some MobileNets, cannot.

    Attributes:
        name: what the library calls it.
        classifier: the layer that gives the logits, as the library names it; null: found by a pass of two images.
    """

    revision: ClassVar[int] = 1
    library: ClassVar[str]

    name: Name = "resnet18"
    classifier: Name | None = None

    @abstractmethod
    def known(self) -> Sequence[str]:
        """The names that there are."""

    @abstractmethod
    def made(self, channels: int, classes: int) -> tuple[nn.Module, int | None]:
        """The library's network, and to how many channels images are repeated for it; None: they stay."""

    def build(self, shape: tuple[int, int, int], classes: int, normalise: Normalise) -> nn.Module:
        """The network.

        Raises:
            UsageError: the library is not there, or knows no such network; it does not take these images, or gives
                something else than a logit for each class; no layer gives the logits.
        """
        names = self.known()
        if self.name not in names:
            near = get_close_matches(self.name, names, 1)
            right = f"did you mean {near[0]!r}?" if near else f"{self.library} knows {len(names)} others"
            attempt = f"ticketsearch run model={self.library} model.name={near[0] if near else 'resnet18'}"
            raise UsageError(f"{self.library} has no network {self.name!r}", right, attempt, f"model.name={self.name}")
        network = Wrapped(normalise, *self.made(shape[0], classes))
        for module in network.modules():
            if isinstance(module, _DropoutNd) or type(module).__name__ == "StochasticDepth":
                setattr(module, "p", 0.0)  # noqa: B010 - not every module has one
        network.classifier = self._classifier(network, shape, classes)
        return network

    def _classifier(self, network: Wrapped, shape: tuple[int, int, int], classes: int) -> str:
        """The name of the layer whose output is the network's."""
        seen = dict[str, Any]()
        layers: dict[str, nn.Module] = {
            name: m for name, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))
        }
        hooks = [
            layer.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
            for name, layer in layers.items()
        ]
        try:
            with torch.no_grad():
                logits = network.eval()(torch.zeros(2, *shape))
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._refused("takes no images of " + "x".join(map(str, shape)), reason) from error
        finally:
            network.train()
            for hook in hooks:
                hook.remove()
        if not isinstance(logits, Tensor) or logits.shape != (2, classes):
            raise self._refused(f"gives no {classes} logits", "it must be a network that classifies")
        if self.classifier is not None:
            return self._chosen(layers)
        found = [name for name, output in seen.items() if output is logits or output is logits._base]
        if not found:
            last = list(seen)[-1].removeprefix(network.prefix)
            right = f"more follows its last layer, {last}: say which layer is not pruned"
            raise self._refused("gives logits that no layer gives", right, f" model.classifier={last}")
        return found[-1]

    def _chosen(self, layers: dict[str, nn.Module]) -> str:
        """The layer that was named, as this network knows it."""
        name = f"{Wrapped.prefix}{self.classifier}"
        if name not in layers:
            near = get_close_matches(name, list(layers), 1, 0) or [""]
            last = near[0].removeprefix(Wrapped.prefix)
            what = f"has no convolution or linear layer {self.classifier!r}"
            raise self._refused(what, f"did you mean {last!r}?", f" model.classifier={last}")
        return name

    def _refused(self, what: str, right: str, more: str = "") -> UsageError:
        name = f" model.name={self.name}" if more else ""
        return UsageError(
            f"{self.library}'s {self.name} {what}", right, f"ticketsearch run model={self.library}{name}{more}"
        )


@dataclass(frozen=True)
class Torchvision(Named):
    """A network that `torchvision.models` lists for classification.

    Attributes:
        name: `resnet18`, `mobilenet_v3_small`, `vit_b_16` ...
        classifier: the layer that gives the logits, as the library names it; null: found by a pass of two images.
    """

    library: ClassVar[str] = "torchvision"

    def known(self) -> Sequence[str]:
        from torchvision import models

        return models.list_models(module=models)

    def made(self, channels: int, classes: int) -> tuple[nn.Module, int | None]:
        from torchvision import models

        channels_taken = None if channels == 3 else 3
        try:  # a network with auxiliary classifiers would give several outputs in training
            network = models.get_model(self.name, num_classes=classes, aux_logits=False, init_weights=True)
        except TypeError:
            network = models.get_model(self.name, num_classes=classes)
        return network, channels_taken


@dataclass(frozen=True)
class Timm(Named):
    """A network that `timm` lists; its first layer is made for the channels of the images.

    Attributes:
        name: `resnet18`, `convnext_atto`, `mobilenetv3_small_050` ...
        classifier: the layer that gives the logits, as the library names it; null: found by a pass of two images.
    """

    library: ClassVar[str] = "timm"

    def known(self) -> Sequence[str]:
        return _timm().list_models()

    def made(self, channels: int, classes: int) -> tuple[nn.Module, int | None]:
        return _timm().create_model(self.name, pretrained=False, num_classes=classes, in_chans=channels), None


def _timm() -> Any:
    """The library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        right = "it comes with the extra `timm`; model=torchvision needs nothing more"
        raise UsageError("timm is not installed", right, "pip install 'ticketsearch[timm]'") from error
