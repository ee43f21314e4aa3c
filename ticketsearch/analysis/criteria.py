"""By what a ticket is judged: which runs, which metrics, and what `comparable` means."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt, MinLen

METRICS = (
    "accuracy", "mce", "ood_auroc", "fgsm_accuracy", "ece", "nll", "sce", "fidelity", "stability",
    "hessian_trace_weight", "hessian_trace_input",
)  # fmt: skip
JOINT = "all"
"""What stands for a metric where all of them together are judged."""


@dataclass(frozen=True)
class Settings:
    """Which runs are judged, by which metrics, and what `comparable` means.

    Attributes:
        dataset: datasets to judge; () judges all.
        model: models to judge; () judges all.
        pruner: pruners to judge; () judges all. What they are compared with comes with them.
        prunable: rules of prunable weights to judge; () judges all.
        settings: where a metric was measured with several settings, the hashes of those to take.
        metrics: what a ticket must win; those that nobody asked for are left out, and named.
        comparable: the tolerance of a metric is this fraction of the dense value, or two paired standard errors where
            that is more.
        accuracy: the tolerance of accuracy, a fraction: 0.01 is one percentage point. Nothing widens it, as in the
            rule of Region I.
        tolerance: how far below dense Region I reaches, a fraction.
    """

    dataset: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    pruner: tuple[str, ...] = ()
    prunable: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    metrics: Annotated[tuple[str, ...], MinLen(1)] = METRICS
    comparable: Annotated[float, Ge(0), Lt(1)] = 0.05
    accuracy: Annotated[float, Ge(0), Lt(1)] = 0.01
    tolerance: Annotated[float, Ge(0), Lt(1)] = 0.01


USUAL = Settings()
"""Everything that is there, by all metrics."""
