"""Scopes: how the survivors are spread over the layers. Counts sum exactly and never exceed what is alive."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, Lt

from ticketsearch.pruners.view import Scope, View

Rate = Annotated[float, Ge(1e-9), Lt(1)]
"""The share of a layer's weights that a round removes."""


@dataclass(frozen=True)
class Global(Scope):
    """All layers compete with one another (open_lth, Renda et al. 2020, Chen et al. 2022)."""

    def __call__(self, at: View, keep: int) -> int:
        return keep


@dataclass(frozen=True)
class Layerwise(Scope):
    """Every layer keeps the same fraction of what is alive in it; the largest remainders get the weights left over."""

    def __call__(self, at: View, keep: int) -> Mapping[str, int]:
        return shared(at.mask.layer_kept, at.mask.layer_kept, keep)


@dataclass(frozen=True)
class UniformPlus(Scope):
    """The first convolution stays whole, the classifier, where it is prunable, keeps at least a fifth of its weights,
    and the others keep the same fraction of what is alive in them (Gale et al. 2019, "The state of sparsity").

    Attributes:
        classifier: the least density of the classifier.
    """

    classifier: Annotated[float, Ge(0), Le(1)] = 0.2

    def __call__(self, at: View, keep: int) -> Mapping[str, int]:
        """How many weights each layer keeps.

        Raises:
            ValueError: that is more than `keep` in the layers that are spared.
        """
        alive = at.mask.layer_kept
        first = [name for name, layer in at.layers.items() if layer.kind == "conv"][:1]
        spared = {name: alive[name] for name in first}
        fraction = (keep - sum(spared.values())) / max(1, at.mask.kept - sum(spared.values()))
        for name, layer in at.layers.items():
            least = math.ceil(self.classifier * layer.weights)
            if layer.is_classifier and fraction * alive[name] < least:
                spared[name] = min(least, alive[name])
        left = keep - sum(spared.values())
        if left < 0:
            raise ValueError(
                f"uniform_plus spares {sum(spared.values())} weights of {', '.join(spared)}: {keep} are too few"
            )
        others = {name: count for name, count in alive.items() if name not in spared}
        found = spared | (shared(others, others, left) if others else {})
        return {name: found[name] for name in at.layers}


@dataclass(frozen=True)
class Erk(Scope):
    """Erdos-Renyi-Kernel: a layer of shape (out, in, kh, kw) keeps a density in proportion to (out + in + kh + kw) over
    the product of the four (Evci et al. 2020): small layers are denser. What a full layer cannot take goes to the
    others in the same proportion; the largest remainders get the weights left over.
    """

    def __call__(self, at: View, keep: int) -> Mapping[str, int]:
        # The density times the number of weights: a layer's share of what is kept is the sum of its dimensions.
        return shared({name: float(sum(layer.shape)) for name, layer in at.layers.items()}, at.mask.layer_kept, keep)


@dataclass(frozen=True)
class Rates(Scope):
    """Layers lose weights at rates of their own: after t steps a layer keeps the share (1 - rate)^t of its weights, and
    t is what gives the count of the round.

    Frankle & Carbin (2019) remove 20 % of the hidden layers in each round and 10 % of the output layer; Zhou et al.
    (2019) 10 to 20 % by the kind of layer. The largest remainders get the weights left over.

    Attributes:
        conv: rate of convolutions.
        linear: rate of linear layers.
        classifier: rate of the classifier, where it is prunable.
    """

    conv: Rate = 0.2
    linear: Rate = 0.2
    classifier: Rate = 0.1

    def __call__(self, at: View, keep: int) -> Mapping[str, int]:
        rates = {
            name: self.classifier if layer.is_classifier else getattr(self, layer.kind)
            for name, layer in at.layers.items()
        }

        def parts(t: float) -> dict[str, float]:
            return {name: at.mask[name].numel() * (1 - rate) ** t for name, rate in rates.items()}

        if keep == 0:
            return dict.fromkeys(at.layers, 0)
        low, high = 0.0, 1.0
        while sum(parts(high).values()) > keep:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(parts(middle).values()) > keep else (low, middle)
        return shared(parts(high), at.mask.layer_kept, keep)


def shared(parts: Mapping[str, float], most: Mapping[str, int], keep: int) -> dict[str, int]:
    """`keep` weights in proportion to `parts`, none more than `most`, exactly.

    Args:
        parts: layer -> its part, positive.
        most: layer -> how many it can keep.
        keep: how many all keep together, at most as many as they can.

    Raises:
        ValueError: they cannot keep as many.
    """
    if keep > sum(most.values()):
        raise ValueError(f"cannot keep {keep} of {sum(most.values())} living weights")
    full = {name: 0 for name, count in most.items() if count == 0}
    while True:
        left, weight = keep - sum(full.values()), sum(part for name, part in parts.items() if name not in full)
        exact = {name: left * part / weight for name, part in parts.items() if name not in full}
        overfull = {name: most[name] for name, count in exact.items() if count >= most[name]}
        if not overfull:
            break
        full |= overfull
    kept = {name: int(count) for name, count in exact.items()}
    largest = sorted(exact, key=lambda name: kept[name] - exact[name])
    for name in largest[: left - sum(kept.values())]:
        kept[name] += 1
    return {name: full.get(name, kept.get(name, 0)) for name in parts}
