"""Masks and tickets: which weights are alive, what training starts from, what the pruned ones hold."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""Every entry of a model's state dict, by name: parameters and buffers."""
Scores = Mapping[str, Tensor]
"""One score per prunable weight, by layer; higher = keep."""
Prunable = Literal["default", "conv", "all"]
"""`default`: convolutions and linear layers except the classifier; `conv`: convolutions; `all`: the classifier too."""


@dataclass(frozen=True)
class Layer:
    """What a score or scope may know of a prunable layer.

    Attributes:
        kind: "conv" or "linear".
        shape: the weight's shape, (out, in, kh, kw) or (out, in).
        fan_in: inputs that each output sums over.
        is_classifier: whether it is the layer that the model declares as its classifier.
    """

    kind: Literal["conv", "linear"]
    shape: tuple[int, ...]
    fan_in: int
    is_classifier: bool

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)


def prunable_layers(model: nn.Module, prunable: Prunable = "default") -> dict[str, Layer]:
    """The prunable weights of `model` by name, chosen by module type, in the order of the state dict.

    Normalisation weights and biases are never prunable. The model names its classifier in the attribute `classifier`.

    Raises:
        ValueError: the model declares no classifier, or one that is no convolution or linear layer of it.
    """
    classifier = getattr(model, "classifier", None)
    modules = dict(model.named_modules())
    if not isinstance(classifier, str) or not isinstance(modules.get(classifier), (nn.Conv2d, nn.Linear)):
        raise ValueError(f"{type(model).__name__}.classifier must name a layer with weights, not {classifier!r}")
    layers = {}
    for name, module in modules.items():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            kind: Literal["conv", "linear"] = "conv" if isinstance(module, nn.Conv2d) else "linear"
            shape = tuple(module.weight.shape)
            layers[f"{name}.weight"] = Layer(kind, shape, math.prod(shape[1:]), name == classifier)
    wanted: dict[str, Callable[[Layer], bool]] = {
        "default": lambda layer: not layer.is_classifier,
        "conv": lambda layer: layer.kind == "conv" and not layer.is_classifier,
        "all": lambda layer: True,
    }
    return {name: layer for name, layer in layers.items() if wanted[prunable](layer)}


class Mask(Mapping[str, Tensor]):
    """Layer name -> bool tensor of the weight's shape on the CPU, True where the weight is alive.

    Immutable: its tensors are its own, and nobody writes into them. `kept`, `total` and `sparsity` count prunable
    weights only and are exact.

    Args:
        layers: the prunable weights.
        held: of what is not prunable, by its name in the state dict: True where it goes with a removed channel and is
            zero: scale and shift of its normalisation, its bias, its inputs to a layer that is not prunable.

    Raises:
        TypeError: a tensor is not bool.
        ValueError: something is both prunable and held.
    """

    def __init__(self, layers: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None) -> None:
        held = held or {}
        for name, alive in [*layers.items(), *held.items()]:
            if alive.dtype != torch.bool:
                raise TypeError(f"the mask of {name} is {alive.dtype}, not bool")
        if layers.keys() & held.keys():
            raise ValueError(f"{min(layers.keys() & held.keys())} is prunable: its mask says what of it is removed")
        self._layers = {name: alive.detach().clone() for name, alive in layers.items()}
        self._held = {name: zero.detach().clone() for name, zero in held.items() if bool(zero.any())}
        self._kept = {name: int(alive.sum()) for name, alive in self._layers.items()}

    @classmethod
    def ones(cls, layers: Mapping[str, Layer]) -> "Mask":
        """Everything alive."""
        return cls({name: torch.ones(layer.shape, dtype=torch.bool) for name, layer in layers.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask) or self._kept != other._kept or self._held.keys() != other._held.keys():
            return False
        same_held = all(torch.equal(zero, other._held[name]) for name, zero in self._held.items())
        return same_held and all(torch.equal(alive, other[name]) for name, alive in self.items())

    __hash__ = None  # type: ignore[assignment]

    @property
    def held(self) -> Mapping[str, Tensor]:
        """Name in the state dict -> True where it is zero because its channel is removed; only where something is."""
        return dict(self._held)

    @property
    def layer_kept(self) -> dict[str, int]:
        """Weights alive in each layer."""
        return dict(self._kept)

    @property
    def kept(self) -> int:
        """Weights alive."""
        return sum(self._kept.values())

    @property
    def total(self) -> int:
        """Prunable weights, alive or not."""
        return sum(alive.numel() for alive in self._layers.values())

    @property
    def sparsity(self) -> float:
        """The fraction of the prunable weights that is pruned, in [0, 1]."""
        return 1 - self.kept / self.total

    def issubset(self, other: "Mask") -> bool:
        """Whether every weight alive here is alive in `other`."""
        return self.keys() == other.keys() and all(bool((other[name] | ~alive).all()) for name, alive in self.items())

    def hamming(self, other: "Mask") -> int:
        """The number of weights in which two masks of the same layers differ."""
        return sum(int((alive ^ other[name]).sum()) for name, alive in self.items())

    def flat(self) -> Tensor:
        """All layers in one bool vector, in the order of the layers."""
        return torch.cat([alive.flatten() for alive in self.values()])

    def like(self, flat: Tensor) -> "Mask":
        """The mask of the same layers whose `flat` this is; nothing is held."""
        parts = flat.split([alive.numel() for alive in self.values()])
        return Mask({name: part.view_as(alive) for (name, alive), part in zip(self.items(), parts, strict=True)})

    def pack(self) -> Tensor:
        """One bit a weight, in the order of the layers, then of what is held: uint8, on the CPU."""
        everything = torch.cat([self.flat(), *(zero.flatten() for zero in self._held.values())])
        return torch.from_numpy(np.packbits(everything.numpy()))

    @classmethod
    def unpack(
        cls, bits: Tensor, shapes: Mapping[str, tuple[int, ...]], held: Mapping[str, tuple[int, ...]] | None = None
    ) -> "Mask":
        """The mask of `pack`'s bits.

        Raises:
            ValueError: the bits are not as many as the shapes need.
        """
        named = {**shapes, **(held or {})}
        sizes = [math.prod(shape) for shape in named.values()]
        if bits.numel() != -(-sum(sizes) // 8):
            raise ValueError(f"{bits.numel()} bytes of mask for {sum(sizes)} weights")
        flat = torch.from_numpy(np.unpackbits(bits.numpy(), count=sum(sizes)).astype(bool))
        parts = {name: part.view(named[name]) for name, part in zip(named, flat.split(sizes), strict=True)}
        return cls({name: parts[name] for name in shapes}, {name: parts[name] for name in held or {}})


@dataclass(frozen=True)
class Ticket:
    """A mask, the weights that training starts from, and what the pruned weights hold.

    Attributes:
        mask: which prunable weights are alive.
        start: the whole state dict that training starts from; entries under the mask's zeros are not used.
        rest: what pruned weights hold during and after training, by layer; None: zero.
    """

    mask: Mask
    start: Weights
    rest: Weights | None = None

    def masked(self, weights: Weights) -> dict[str, Tensor]:
        """`weights` with every pruned entry at `rest`, and what is held at zero."""
        result = dict(weights)
        for name, alive in self.mask.items():
            rest = torch.zeros((), dtype=weights[name].dtype) if self.rest is None else self.rest[name]
            result[name] = torch.where(alive, weights[name], rest.to(weights[name].device))
        return result | {name: weights[name].masked_fill(zero, 0) for name, zero in self.mask.held.items()}


def keep_top(scores: Scores, mask: Mask, keep: int | Mapping[str, int]) -> Mask:
    """Keep exactly `keep` of the weights alive in `mask`: those with the highest scores.

    Ties go to the earlier (layer, index). Scores of dead weights are not looked at.

    Args:
        scores: by layer, of the mask's shapes, on any device; higher = keep.
        mask: the weights to choose among.
        keep: how many in all, ranked across layers; or how many of each layer.

    Raises:
        ValueError: a score is NaN (the layer is named), a layer has no scores or no number to keep, or more are to be
            kept than are alive.
    """
    scores = {name: score.detach().cpu() for name, score in scores.items()}  # masks live on the CPU
    for name, alive in mask.items():
        if name not in scores or scores[name].shape != alive.shape:
            raise ValueError(f"no scores of shape {tuple(alive.shape)} for {name}")
        if bool((torch.isnan(scores[name]) & alive).any()):
            raise ValueError(f"the scores of {name} are not numbers (NaN)")
    if isinstance(keep, Mapping):
        if keep.keys() != mask.keys():
            raise ValueError(f"numbers to keep for {sorted(keep)}, but the layers are {sorted(mask)}")
        return Mask({name: _top([scores[name]], [alive], keep[name]).view_as(alive) for name, alive in mask.items()})
    return mask.like(_top([scores[name] for name in mask], list(mask.values()), keep))


def _top(scores: list[Tensor], alive: list[Tensor], keep: int) -> Tensor:
    """The flat bool vector of the `keep` best of the living, ties by index; linear time, no sort."""
    score = torch.cat([s.detach().flatten() for s in scores])
    candidates = torch.cat([a.flatten() for a in alive]).nonzero().squeeze(1)
    if not 0 <= keep <= len(candidates):
        raise ValueError(f"cannot keep {keep} of {len(candidates)} living weights")
    chosen = torch.zeros(len(score), dtype=torch.bool, device=score.device)
    if keep == 0:
        return chosen
    values = score[candidates]
    threshold = values.kthvalue(len(values) - keep + 1).values
    above, tied = values > threshold, values == threshold
    tied &= tied.cumsum(0) <= keep - above.sum()
    chosen[candidates[above | tied]] = True
    return chosen
