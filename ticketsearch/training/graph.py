"""Updates as one CUDA graph: recorded once, replayed for every full batch of every round."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ticketsearch.errors import RunFailed
from ticketsearch.ticket import Ticket
from ticketsearch.training.hold import Hold
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.update import Update

Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""Makes of a function on tensors that stay in their places one that does the same without Python. The function has run
any number of times afterwards.
"""

AGREE, ROUNDING = 0.02, 1e-6
"""How far a replayed update may be from an eager one: of the length of the update, and of that of the tensor. Where
kernels are the same there is no difference; a mask, a rate or a statistic that is missing makes one of its own size.
"""


def cuda_graph(function: Callable[[], None]) -> Callable[[], None]:
    """A recorder: forward, backward, update and mask are launched by one call in place of several hundred.

    The scratch memory of matrix products is given up before and after, so that each graph has its own: the graphs of a
    wave run at once.
    """
    current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        for _ in range(3):  # libraries allocate and choose their kernels in the first calls
            function()
    current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    torch._C._cuda_clearCublasWorkspaces()
    try:
        with torch.cuda.graph(graph, stream=aside):
            function()
    except RuntimeError as error:
        torch.cuda.set_stream(current)  # the end of a recording that failed stays where it was recorded
        torch.cuda.synchronize()
        raise error.__context__ or error from None  # it says that the recording failed, and its context why
    finally:
        torch._C._cuda_clearCublasWorkspaces()
    return graph.replay


class Graph(Update):
    """Full batches are copied to where the graph reads them. What is left over at the end of an epoch is eager, as are
    updates that a pruner's dynamics wants to see; both work on the same weights and momentum.

    Every layer's mask is in the graph, the dense model's too, so that one recording serves all rounds; another is made
    only where pruned weights rest elsewhere than at zero and did not before. The first update is compared with an eager
    one.

    Args:
        model: the network, on the device to train on.
        recipe: how to train.
        strict: refuse to train where the graph cannot be recorded or is wrong; else train eagerly and say so.
        recorder: how updates are recorded.
    """

    name, exact = "graph", False

    def __init__(self, model: nn.Module, recipe: Recipe, strict: bool, recorder: Recorder = cuda_graph) -> None:
        super().__init__(model, recipe)
        self._strict, self._recorder = strict, recorder
        self._replay: Callable[[], None] | None = None
        self._refused = False

    def hold(self, ticket: Ticket) -> None:
        wanted = Hold(self.parameters, self.optimiser, ticket, every=True)
        if self.held is None or not self.held.load(wanted):
            self.held, self._replay = wanted, None
        self.held.apply()

    def __call__(self, pixels: Tensor, labels: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        if self._refused or len(labels) != self.recipe.batch_size:
            return super().__call__(pixels, labels, rate)
        if self._replay is None:
            self._record(pixels, labels, rate)
            if self._refused:
                return super().__call__(pixels, labels, rate)
        self._feed(pixels, labels, rate)
        if self._replay is not None:
            self._replay()
        return self._loss.clone(), self._logits

    def _feed(self, pixels: Tensor, labels: Tensor, rate: float) -> None:
        self._pixels.copy_(pixels)
        self._labels.copy_(labels)
        self._rate.fill_(rate)

    def _run(self) -> None:
        """What is recorded."""
        loss, self._logits = self.gradients(self._pixels, self._labels)
        self._loss = loss
        self.apply(self._rate, loss)

    def _record(self, pixels: Tensor, labels: Tensor, rate: float) -> None:
        """Record an update, and compare one with an eager one; the model is left as it was."""
        before = self._state()
        self._pixels, self._labels = torch.empty_like(pixels), torch.empty_like(labels)
        self._rate = torch.zeros((), device=self.device)
        super().__call__(pixels, labels, rate)
        eager = self._state()
        self._restore(before)
        try:
            self._feed(pixels, labels, 0.0)
            self._replay = self._recorder(self._run)
            self._restore(before)
            self._feed(pixels, labels, rate)
            self._replay()
            wrong = _differs(before, eager, self._state())
        except torch.OutOfMemoryError:  # of which an eager update would need as much
            raise
        except RuntimeError as error:
            wrong = str(error).strip().splitlines()[0]
        self._restore(before)
        if wrong:
            self._refuse(wrong)

    def _refuse(self, wrong: str) -> None:
        what = f"an update of this network does not work as a CUDA graph: {wrong}"
        if self._strict:
            raise RunFailed(what, "engine=eager trains without", "ticketsearch run engine=eager")
        self._refused, self._replay, self.remark = True, None, f"{what}; it is trained without"
        self.name, self.exact = Update.name, Update.exact

    def _state(self) -> dict[str, Tensor]:
        """Copies of everything that an update changes."""
        found = {**self.model.state_dict(), **{f"momentum of {k}": v for k, v in self.optimiser.momentum.items()}}
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    @torch.no_grad()
    def _restore(self, state: dict[str, Tensor]) -> None:
        found = {**self.model.state_dict(), **{f"momentum of {k}": v for k, v in self.optimiser.momentum.items()}}
        for name, tensor in found.items():
            tensor.copy_(state[name])


def _differs(before: dict[str, Tensor], eager: dict[str, Tensor], replayed: dict[str, Tensor]) -> str:
    """Which tensor an update has changed otherwise than the eager one did, and by how much; '' none. Where that is not
    finite there is nothing to compare, and the loss tells.
    """
    for name, expected in eager.items():
        if not bool(expected.isfinite().all()):
            continue
        length = (expected - before[name]).double().norm() * AGREE + expected.double().norm() * ROUNDING
        apart = (replayed[name] - expected).double().norm()
        if not bool(apart <= length):
            return f"{name} is {float(apart):.2g} from what an eager update gives"
    return ""
