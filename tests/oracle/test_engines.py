"""Every engine does what the eager one does: bit for bit where its kernels are the same, else within a bound."""

import gc
import math
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engines import DATA, Given, alike, trained
from tests.tiny import DATASET, RECIPE, Memory, magnitude_mask, network, ticket, weights_of
from ticketsearch.errors import RunFailed, UsageError
from ticketsearch.models.lenet import LeNet, LeNet5, LeNet300
from ticketsearch.pruners.rigl import Moves, RigL
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.engine import Engine
from ticketsearch.training.fit import fit
from ticketsearch.training.graph import Graph, cuda_graph
from ticketsearch.training.loop import Training
from ticketsearch.training.perceptron import Perceptron, is_perceptron
from ticketsearch.training.state import Assignment, Trained
from ticketsearch.training.update import Update

MLP = LeNet300(widths=(24, 16))


def perceptron(seed: int = 0, density: float | None = 0.4, **fields: Any) -> Ticket:
    """A ticket of a small perceptron; a density of None: dense."""
    model = MLP.initial(DATASET, seed)
    mask = Mask.ones(prunable_layers(model)) if density is None else magnitude_mask(model, density)
    return Ticket(mask, weights_of(model), **fields)


# The gradients of a perceptron, by hand.

RECIPES = {
    "sgd": RECIPE,
    "adam": replace(RECIPE, optimiser="adam", lr=3e-3),
    "bfloat16": replace(RECIPE, precision="bfloat16"),
    "adam in bfloat16": replace(RECIPE, optimiser="adam", lr=3e-3, precision="bfloat16"),
    "nesterov": replace(RECIPE, nesterov=True),
}
DRAWN = {
    "ticket": perceptron,
    "dense": lambda: perceptron(density=None),
    "pruned weights that rest elsewhere": lambda: perceptron(rest=weights_of(MLP.initial(DATASET, 3))),
}


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_by_hand_train_like_autograd_bit_for_bit(recipe: str, drawn: str) -> None:
    found = [trained(MLP.initial(DATASET, 9), DRAWN[drawn](), RECIPES[recipe], Engine(n)) for n in ("auto", "eager")]
    assert [type(run.update) for run, _ in found] == [Perceptron, Update]
    alike(found[0][1], found[1][1])


def test_gradients_by_hand_are_the_formula_in_double_precision() -> None:
    """Two inputs, two hidden units of which one is off, two classes: worked out on paper.

    h = relu((1, 2) W1^T) = relu((2, -1)) = (2, 0), z = h W2^T = (2, 0), p = softmax z. The label is 1, so that
    dz = (p0, p1 - 1) = (p0, -p0), dW2 = dz^T h, dh = dz W2 = (p0, -p0), of which the unit that is on passes p0 on.
    """
    layers = {"fc1": nn.Linear(2, 2), "relu1": nn.ReLU(), "fc": nn.Linear(2, 2)}
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    weights = [[[0.0, 1.0], [1.0, -1.0]], [0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(value))
    loss, logits = Perceptron(model, RECIPE).gradients(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    share = float(torch.tensor([2.0, 0.0], dtype=torch.float64).softmax(0)[0])
    expected = [
        [[share, 2 * share], [0.0, 0.0]],  # dh x = p0 (1, 2); the second unit is off
        [share, 0.0],
        [[2 * share, 0.0], [-2 * share, 0.0]],
        [share, -share],
    ]
    assert logits.tolist() == [[2.0, 0.0]]
    assert float(loss) == pytest.approx(-math.log(1 - share), rel=1e-6)
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, torch.tensor(value), rtol=1e-6, atol=1e-7)


def hooked() -> nn.Module:
    model = MLP.initial(DATASET, 0)
    model.fc1.register_forward_hook(lambda *_: None)
    return model


class Other(LeNet):
    def forward(self, pixels: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * super().forward(pixels)


NOT_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: LeNet5().initial(DATASET, 0),
    "a residual network": network,
    "somebody looks": hooked,
    "a forward of its own": lambda: Other(nn.Linear(3, 2)),
    "dropout": lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 2)),
    "another activation": lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)),
    "no bias": lambda: nn.Sequential(nn.Linear(3, 2, bias=False)),
    "an activation at the end": lambda: nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
    "nothing": nn.Sequential,
}


@pytest.mark.parametrize("what", NOT_PLAIN)
def test_only_what_is_nothing_but_a_perceptron_is_one(what: str) -> None:
    assert not is_perceptron(NOT_PLAIN[what]())
    assert is_perceptron(MLP.initial(DATASET, 0))


def test_a_dynamics_sees_the_gradients_that_are_made_by_hand() -> None:
    found = []
    for name in ("auto", "eager"):
        dynamics = Moves(RigL(every=2, moves=1, until=0.8, share=0.5))
        found.append(trained(MLP.initial(DATASET, 9), perceptron(), RECIPE, Engine(name), dynamics=dynamics)[1])
    assert found[0].mask != perceptron().mask
    alike(*found)


# The graph. On a CPU nothing can be recorded; what stays is everything around it: a function on tensors that keep their
# places, which is called again and again.


class Recorder:
    """Replays by calling what was recorded; counts both."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        function()  # libraries are warmed up

        def replay() -> None:
            self.replayed += 1
            function()

        return replay


def graph(recorder: Any, strict: bool = True, model: nn.Module | None = None) -> Given:
    return Given(Graph(model or network(9), RECIPE, strict, recorder))


def test_a_replayed_update_is_the_eager_one_over_rounds_that_share_a_recording() -> None:
    recorder = Recorder()
    engine = graph(recorder)
    dense = Ticket(Mask.ones(prunable_layers(network())), weights_of(network()))
    for number, drawn in enumerate([dense, ticket(0.4), ticket(0.3, seed=2), ticket(0.2)]):
        _, found = trained(engine.given.model, drawn, RECIPE, engine)
        alike(found, trained(network(7), drawn, RECIPE, Engine())[1])
        assert recorder.recorded == 1
        assert recorder.replayed == (number + 1) * 12 + 1  # full batches of 3 epochs, and the one that was compared


def test_another_rest_is_recorded_anew() -> None:
    recorder = Recorder()
    engine = graph(recorder)
    for drawn in (ticket(), ticket(rest=weights_of(network(3))), ticket()):
        alike(trained(engine.given.model, drawn, RECIPE, engine)[1], trained(network(7), drawn, RECIPE, Engine())[1])
    assert recorder.recorded == 3


def test_updates_that_a_dynamics_wants_leave_the_graph_and_return() -> None:
    recorder, found = Recorder(), []
    for engine in (graph(recorder), Engine()):
        dynamics = Moves(RigL(every=2, moves=1, until=0.8, share=0.5))
        model = engine.given.model if isinstance(engine, Given) else network(7)
        found.append(trained(model, ticket(), RECIPE, engine, dynamics=dynamics)[1])
    assert found[0].mask != ticket().mask
    assert 0 < recorder.replayed < 12
    alike(*found)


def forgets(what: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A recorder whose replay is not what was recorded."""

    def record(function: Callable[[], None]) -> Callable[[], None]:
        of: Graph = function.__self__  # type: ignore[attr-defined]

        def replay() -> None:
            if what == "the rate":
                of._rate.fill_(0.0)
            if what == "the labels":
                of._labels.zero_()
            held = of.held
            of.held = None if what == "the mask" else held
            if what != "everything":
                function()
            of.held = held

        return replay

    return record


class Remarks(Memory):
    """Keeps what a person should know."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def fails(function: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("operation not permitted when stream is capturing\nand a trace")


@pytest.mark.parametrize("what", ["the rate", "the labels", "the mask", "everything", "recording"])
def test_a_graph_that_is_not_the_update_is_noticed_and_not_used(what: str) -> None:
    recorder = fails if what == "recording" else forgets(what)
    engine = graph(recorder)
    with pytest.raises(RunFailed, match="does not work as a CUDA graph"):
        trained(engine.given.model, ticket(), RECIPE, engine)
    remarks, engine = Remarks(), graph(recorder, strict=False)
    _, found = trained(engine.given.model, ticket(), RECIPE, engine, checkpoint=remarks)
    _, again = trained(engine.given.model, ticket(0.3), RECIPE, engine, checkpoint=remarks)
    assert ", graph" not in again.progress.made[0]  # it is known by now
    (told,) = remarks.remarks
    assert told.startswith("an update of this network does not work as a CUDA graph: ")
    assert told.endswith("; it is trained without")
    assert "\n" not in told
    alike(found, trained(network(7), ticket(), RECIPE, Engine())[1])


def test_a_loss_that_is_not_finite_is_no_fault_of_the_graph() -> None:
    """The start overflows in its first update: that is told, and the graph serves the next ticket."""
    recorder = Recorder()
    engine = graph(recorder)
    spoiled = {name: tensor.clone() for name, tensor in ticket().start.items()}
    spoiled["fc.weight"].fill_(float("inf"))
    with pytest.raises(RunFailed, match="the loss of seed 5 became nan"):
        trained(engine.given.model, replace(ticket(), start=spoiled), RECIPE, engine)
    alike(trained(engine.given.model, ticket(), RECIPE, engine)[1], trained(network(7), ticket(), RECIPE, Engine())[1])
    assert recorder.recorded == 1


def test_a_graph_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="engine=graph is a CUDA graph"):
        Engine("graph").check(torch.device("cpu"))
    Engine("graph").check(torch.device("cuda"))
    said = {name: [Engine(name).inexact(torch.device(kind)) for kind in ("cpu", "cuda")] for name in ENGINES}
    assert said == {
        "auto": ["", "graph"],
        "eager": ["", ""],
        "compiled": ["compiled", "compiled"],
        "graph": ["graph", "graph"],
    }


ENGINES = ("auto", "eager", "compiled", "graph")


def test_a_round_says_which_engine_has_numbers_of_its_own() -> None:
    for engine, ending in ((graph(Recorder()), ", graph"), (Engine(), ""), (Engine("auto"), "")):
        model = engine.given.model if isinstance(engine, Given) else network(9)
        (made,) = trained(model, ticket(), RECIPE, engine)[1].progress.made
        assert made.partition(" thread")[2].lstrip("s") == ending


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: a CUDA graph cannot be recorded")
def test_a_cuda_graph_trains_like_the_eager_update_and_never_waits_for_the_device() -> None:
    device = torch.device("cuda")
    data = DATA.to(device)
    found = []
    for name in ("graph", "eager"):
        model = network(9).to(device)
        run = Training(model, Assignment(ticket(), 5, 5, Memory()), RECIPE, DATASET, data, Engine(name))
        run.model.train()
        batches = list(run._batches(0, 0))
        run._step(*batches[0], 0.1)  # records
        torch.cuda.set_sync_debug_mode("error")
        try:
            for pixels, labels in batches[1:]:
                run._step(pixels, labels, 0.1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found.append(weights_of(model))
    for name, tensor in found[1].items():
        torch.testing.assert_close(found[0][name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: a CUDA graph cannot be recorded")
def test_a_recording_that_fails_says_why_and_leaves_the_stream_that_was() -> None:
    device, counts = torch.device("cuda"), [0]

    def waits() -> None:
        counts[0] += 1
        if counts[0] > 3:
            torch.ones((), device=device).item()  # what a graph cannot do

    with torch.cuda.stream(stream := torch.cuda.Stream()):
        with pytest.raises(RuntimeError, match="captur"):
            cuda_graph(waits)
        assert torch.cuda.current_stream() == stream
        assert float(torch.ones(3, device=device).sum()) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: a wave has no streams")
def test_a_wave_on_a_gpu_gives_what_each_of_its_trainings_gives_alone() -> None:
    device = torch.device("cuda")
    data, engine, model = DATA.to(device), Engine("graph"), network(9).to(device)
    for _ in range(2):  # recorded, then replayed
        found = dict(fit(assignments(*(Memory() for _ in "abc")), model, RECIPE, DATASET, data, engine))
    for number, job in enumerate(assignments(*(Memory() for _ in "abc"))):
        alone = Training(network(7).to(device), job, RECIPE, DATASET, data).run()
        for name, tensor in alone.weights.items():
            torch.testing.assert_close(found[number].weights[name], tensor, rtol=1e-3, atol=1e-4)


# Waves.


def assignments(*checkpoints: Memory) -> list[Assignment]:
    """Tickets of as many seeds, of other densities, in other orders of the data."""
    return [
        Assignment(ticket(0.5 - number / 10, seed=number), number, 10 + number, checkpoint)
        for number, checkpoint in enumerate(checkpoints)
    ]


def test_a_wave_gives_what_each_of_its_trainings_gives_alone() -> None:
    alone = [Training(network(9), job, RECIPE, DATASET, DATA).run() for job in assignments(*(Memory() for _ in "abc"))]
    together = assignments(*(Memory() for _ in "abc"))
    found = dict(fit(together, network(9), RECIPE, DATASET, DATA, Engine()))
    assert list(found) == [0, 1, 2]
    for number, single in enumerate(alone):
        alike(found[number], single)


def test_a_training_that_fails_leaves_the_wave_and_the_others_end_as_alone() -> None:
    jobs = assignments(*(Memory() for _ in "abc"))
    spoiled = {name: tensor.clone() for name, tensor in jobs[1].ticket.start.items()}
    spoiled["fc.weight"].fill_(float("inf"))
    jobs[1] = replace(jobs[1], ticket=replace(jobs[1].ticket, start=spoiled))
    found: dict[int, Trained] = {}
    with pytest.raises(RunFailed, match="the loss of seed 1 became nan"):
        found.update(fit(jobs, network(9), RECIPE, DATASET, DATA, Engine()))
    assert list(found) == [0, 2]
    for number, result in found.items():
        alike(result, Training(network(9), jobs[number], RECIPE, DATASET, DATA).run())


def test_the_networks_of_a_wave_are_made_once() -> None:
    engine, model = Engine(), network()
    members = [engine.member(model, number) for number in (0, 1, 2, 1)]
    assert members[0] is model
    assert members[1] is members[3]
    assert len({id(member) for member in members}) == 3


def test_what_an_engine_keeps_can_be_let_go() -> None:
    engine, model = Engine("graph"), network()
    kept = [weakref.ref(engine.update(model, RECIPE)), weakref.ref(engine.member(model, 1))]
    assert all(ref() is not None for ref in kept)
    engine.forget()
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
