"""Scopes: how the survivors are spread over the layers. Counts sum exactly and never exceed what is alive."""

from collections.abc import Mapping
from dataclasses import dataclass

from ticketsearch.pruners.view import Scope, View


@dataclass(frozen=True)
class Global(Scope):
    """All layers compete with one another (open_lth, Renda et al. 2020, Chen et al. 2022)."""

    def __call__(self, at: View, keep: int) -> int:
        return keep


@dataclass(frozen=True)
class Layerwise(Scope):
    """Every layer keeps the same fraction of what is alive in it; the largest remainders get the weights left over."""

    def __call__(self, at: View, keep: int) -> Mapping[str, int]:
        alive = at.mask.layer_kept
        exact = {name: count * keep / max(at.mask.kept, 1) for name, count in alive.items()}
        kept = {name: int(share) for name, share in exact.items()}
        largest = sorted(alive, key=lambda name: kept[name] - exact[name])
        for name in largest[: keep - sum(kept.values())]:
            kept[name] += 1
        return kept
