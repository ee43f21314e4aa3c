"""Rewinding: what the kept weights are set to before training, and where optimiser, learning rate and data resume.

Five systems mean five things by it (open_lth, Renda et al. 2020, TurboPrune, CV_LTH, Synaptic-Flow), so each part is a
field of its own; the yamls in `conf/rewind` name the common combinations.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from ticketsearch.ticket import Weights
from ticketsearch.training.state import Start


class Points(Protocol):
    """What a rewind can go back to."""

    def at(self, step: int) -> tuple[Weights, Weights]:
        """The dense model's state dict and momentum after `step` steps; 0: initialisation."""

    def fresh(self) -> Weights:
        """A state dict of new initial weights, the same for every round of a seed."""


@dataclass(frozen=True)
class Rewind:
    """Where training starts from.

    Attributes:
        weights: `init`: initialisation; `step`: the dense model at `at`; `source`: what the pruner looked at, as
            trained; `fresh`: new initial weights, the same for every round.
        at: a step of the dense training, as "3ep" (epochs) or "500it" (updates); "0it" unless a part below resumes.
        buffers: batch-norm statistics: `weights`: from where the weights come; `init`: 0 and 1.
        optimiser: `fresh`: zero momentum; `step`: the dense model's momentum at `at`.
        lr: `restart`: the whole course; `resume`: from `at` on, that much shorter; `last`: its last value throughout.
        data: `restart`: the order of epoch 0 first; `resume`: from `at` on.
    """

    revision: ClassVar[int] = 1

    weights: Literal["init", "step", "source", "fresh"] = "init"
    at: str = field(default="0it", metadata={"example": "3ep"})
    buffers: Literal["weights", "init"] = "weights"
    optimiser: Literal["fresh", "step"] = "fresh"
    lr: Literal["restart", "resume", "last"] = "restart"
    data: Literal["restart", "resume"] = "restart"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+(ep|it)", self.at):
            raise ValueError(f"at must be epochs or updates, such as 3ep or 500it, not {self.at!r}")
        uses = self.weights == "step" or self.optimiser == "step" or "resume" in (self.lr, self.data)
        if uses == (int(self.at[:-2]) == 0):
            raise ValueError(
                f"at={self.at}, but {'something resumes from there' if uses else 'nothing resumes from there'}"
            )

    def step(self, per_epoch: int) -> int:
        """`at` in updates."""
        return int(self.at[:-2]) * (per_epoch if self.at.endswith("ep") else 1)

    def apply(self, source: Weights, points: Points, per_epoch: int) -> tuple[dict[str, Tensor], Start]:
        """The weights to start from (before masking) and the rest of the start.

        Args:
            source: the state dict that the pruner looked at.
            points: the dense model's past.
            per_epoch: updates an epoch.
        """
        step = self.step(per_epoch)
        weights = dict(self._weights(source, points, step))
        if self.buffers == "init":
            initial, parameters = points.at(0)  # momentum has an entry for each parameter, and buffers have none
            weights |= {name: initial[name] for name in weights if name not in parameters}
        momentum = points.at(step)[1] if self.optimiser == "step" else None
        resumed = step if self.lr == "resume" else 0
        return weights, Start(momentum, resumed, step if self.data == "resume" else 0, self.lr == "last")

    def _weights(self, source: Weights, points: Points, step: int) -> Weights:
        if self.weights == "source":
            return source
        if self.weights == "fresh":
            return points.fresh()
        return points.at(step if self.weights == "step" else 0)[0]

    def origin(self, per_epoch: int) -> Mapping[str, str]:
        """Where the start weights come from, for the manifest: the artefact and what was done to it."""
        artefact = {"init": "rewind-0", "step": f"rewind-{self.step(per_epoch)}", "source": "source", "fresh": "seed"}
        return {"artefact": artefact[self.weights], "action": f"rewind:{self.weights}", "buffers": self.buffers}
