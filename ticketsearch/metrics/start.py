"""What can be known of a ticket before it is trained: its rows are `at=start`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ticketsearch.data.base import Data, Dataset, Split
from ticketsearch.metrics.accuracy import Accuracy
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.metrics.calibration import Calibration
from ticketsearch.metrics.hessian import Hessian, few
from ticketsearch.metrics.loss import Loss
from ticketsearch.pruners.synflow import synaptic_flow
from ticketsearch.ticket import Mask, Weights
from ticketsearch.training.predict import predict
from ticketsearch.training.statistics import with_statistics

PLAIN = ("accuracy", "loss", "nll", "brier", "ece", "sce")
GEOMETRY = ("hessian_trace_weight", "hessian_trace_input", "hessian_eigen_weight", "hessian_eigen_input")


@dataclass(frozen=True)
class Start(Metric):
    """Measures of the weights that a ticket's training starts from, within its mask: can it be recognised there?

    `gradient_flow` is the squared norm of the gradient of the mean cross-entropy with respect to the weights alive
    (Wang et al. 2020; Evci et al. 2022, figure 2). `synaptic_flow` is what SynFlow conserves: the sum of the outputs of
    the network of |weights| for an input of ones (Tanaka et al. 2020), with the statistics of batch norm that the start
    weights come with. Accuracy, loss and calibration, and the Hessian's traces and largest eigenvalues, are those of
    the families `accuracy`, `calibration` and `hessian`.

    For all but the synaptic flow running statistics of batch norm are taken anew from training images: those of the
    start are 0 and 1, or of other weights than the masked ones.

    Attributes:
        images: training images of gradient flow and geometry, the first ones; None: 200, or a quarter of the dataset's
            `sample` where that is less.
        statistics: training images for the statistics, the first ones; None: the dataset's `sample`.
        steps: of Lanczos' iteration.
        probes: of the trace of the weights, on top of those of `steps`; of the pixels, half as many.
    """

    images: Annotated[int, Ge(1)] | None = None
    statistics: Annotated[int, Ge(2)] | None = None
    steps: Annotated[int, Ge(1)] = 4
    probes: Annotated[int, Ge(4)] = 4

    def suited(self, dataset: Dataset) -> Self:
        return replace(self, images=self.images or few(dataset), statistics=self.statistics or max(dataset.sample, 2))

    def __call__(self, model: nn.Module, data: Data, ctx: EvalContext) -> list[Value]:
        if ctx.start is None:
            raise ValueError("nothing says what the ticket's training started from")
        trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        try:
            ticket = ctx.start()
            state = ticket.masked(ticket.start)
            flow = self._flow(model, state, data)
            model.load_state_dict(dict(with_statistics(model, state, data.train[: self.statistics])))
            values = [flow, *self._of(model.eval(), data, ctx)]
        finally:
            model.load_state_dict(trained)
            model.eval()
        return [replace(value, at="start") for value in values]

    def _flow(self, model: nn.Module, state: Weights, data: Data) -> Value:
        """In float64, as SynFlow's scores are computed."""
        magnitudes = {
            name: (tensor.double() if tensor.is_floating_point() else tensor).abs().to(data.train.images.device)
            for name, tensor in state.items()
        }
        with torch.no_grad():
            flow = synaptic_flow(model, magnitudes, data.train.images.shape[1:])
        return Value("synaptic_flow", float(flow), None, split="train")

    def _of(self, model: nn.Module, data: Data, ctx: EvalContext) -> Iterator[Value]:
        own = EvalContext(ctx.mask, ctx.layers, None, lambda split: predict(model, split), ctx.dataset)
        geometry = Hessian(
            self.images, steps=self.steps, probes=self.probes, input_probes=self.probes // 2, top=min(self.steps, 5)
        )
        yield gradient_flow(model, data.train[: self.images], ctx.mask)
        for family, names in ((Accuracy(), PLAIN), (Calibration(), PLAIN), (geometry, GEOMETRY)):
            yield from (v for v in family(model, data, own) if v.name in names and not v.variant)


def gradient_flow(model: nn.Module, part: Split, mask: Mask) -> Value:
    """The squared norm of the gradient of the mean cross-entropy with respect to the weights alive, in float64.

    Args:
        model: in evaluation mode.
        part: the images.
        mask: which weights are alive.
    """
    loss = Loss(model, part, batch=500)
    alive: dict[str, Tensor] = {name: entries.to(part.images.device) for name, entries in mask.items()}
    _, gradient = loss.gradient({name: loss.state[name] for name in mask}, alive)
    squares = torch.stack([entries.double().square().sum() for entries in gradient.values()])
    return Value("gradient_flow", float(squares.sum()), None, split="train")
