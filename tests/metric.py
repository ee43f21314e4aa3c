"""Metrics of logits and labels that a test writes down."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tests.tiny import DATASET
from ticketsearch.data.base import Data, Split
from ticketsearch.metrics.base import Dense, EvalContext, Metric, Value
from ticketsearch.ticket import Mask


def split_of(labels: Tensor) -> Split:
    """Blank images with these labels."""
    return Split(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels)


def measure(
    metric: Metric,
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    dense: Mapping[str, Tensor] | None = None,
) -> dict[tuple[str, str, str], Value]:
    """What a metric of predictions says, by (name, split, variant); a split that is not given is empty."""
    data = Data(*(split_of(labels.get(name, torch.zeros(0, dtype=torch.int64))) for name in ("train", "val", "test")))
    of = {id(getattr(data, name)): tensor for name, tensor in logits.items()}
    ctx = EvalContext(Mask({}), {}, None if dense is None else Dense(dense), lambda split: of[id(split)], DATASET)
    values = metric(nn.Identity(), data, ctx)
    found = {(value.name, value.split, value.variant): value for value in values}
    assert len(found) == len(values)
    return found


def random_case(count: int, classes: int, present: int, seed: int) -> tuple[Tensor, Tensor]:
    """Float32 logits, and labels of the first `present` classes only, drawn with the probabilities that these give.

    So the model is about calibrated: in some bins it is right too often, in others too seldom. Where the sign is the
    same in all bins, a calibration error does not depend on the bins, and a test would not see them.
    """
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=rng) * 2
    return logits, torch.multinomial(logits[:, :present].softmax(1), 1, generator=rng).squeeze(1)
