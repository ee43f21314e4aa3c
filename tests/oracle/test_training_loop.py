"""The training loop against a plain one, and against itself in other pieces."""

import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny import DATASET, PER_EPOCH, RECIPE, Memory, decoded, network, same, ticket, training, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.data.batches import Batches
from ticketsearch.ticket import Mask, Ticket, prunable_layers
from ticketsearch.training.state import Start, TrainState

STEPS = 3 * PER_EPOCH
ALL = frozenset(range(STEPS + 1))
RATES = RECIPE.learning_rates(STEPS, PER_EPOCH)


@dataclass
class Plain:
    """Masked SGD as a textbook writes it: an optimiser that is not fused, and products with the mask.

    In float64, where a product with 0 is exact, sums differ in the sixteenth digit only, and what is compared below
    agrees to the tenth. (The loss is taken in float32 by both.)
    """

    ticket: Ticket
    nesterov: bool = False
    momentum: dict[str, Tensor] | None = None
    history: list[tuple[float, float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = DATASET.load()
        self.model = network(77, torch.float64)
        self.model.load_state_dict(dict(self.ticket.start))
        self.named = dict(self.model.named_parameters())
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), 1.0, 0.9, weight_decay=5e-4, nesterov=self.nesterov, fused=False, foreach=False
        )
        for name, buffer in (self.momentum or {}).items():
            self.optimiser.state[self.named[name]]["momentum_buffer"] = buffer.clone()
        self.hold()

    @torch.no_grad()
    def hold(self) -> None:
        for name, alive in self.ticket.mask.items():
            self.named[name] *= alive
            if "momentum_buffer" in self.optimiser.state[self.named[name]]:
                self.optimiser.state[self.named[name]]["momentum_buffer"] *= alive

    def run(self, rates: list[float], position: int = 0) -> "Plain":
        batches, before = Batches(self.data.train, DATASET, 32, 5), self.flat()
        loss, right, images = 0.0, 0, 0
        for step, rate in enumerate(rates, position):
            epoch, number = divmod(step, PER_EPOCH)
            pixels, labels = list(batches.epoch(epoch))[number]
            batch_loss, hits = self.update(pixels, labels, rate)
            loss, right, images = loss + batch_loss * len(labels), right + hits, images + len(labels)
            if number == PER_EPOCH - 1:
                path = float((self.flat() - before).square().sum().sqrt())
                self.history.append((loss / images, right / images, self.validate(), path))
                loss, right, images, before = 0.0, 0, 0, self.flat()
        return self

    def update(self, pixels: Tensor, labels: Tensor, rate: float) -> tuple[float, int]:
        self.model.train()
        logits = self.model(pixels)
        loss = F.cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        self.hold()
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def flat(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()]).clone()

    @torch.no_grad()
    def validate(self) -> float:
        self.model.eval()
        logits = self.model(self.data.val.images.float() / 255)
        return float((logits.argmax(1) == self.data.val.labels).double().mean())

    def buffers(self) -> dict[str, Tensor]:
        return {name: self.optimiser.state[p]["momentum_buffer"] for name, p in self.named.items()}


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("density", [0.4, 1.0])
def test_training_is_masked_sgd(density: float, nesterov: bool) -> None:
    drawn = ticket(density, dtype=torch.float64)
    found, wanted = training(drawn, nesterov=nesterov), Plain(drawn, nesterov).run(RATES)
    trained = found.run()
    assert_close(trained.weights, wanted.model.state_dict())
    assert_close(found.state().momentum, wanted.buffers())


def test_the_record_of_each_epoch_is_that_of_the_plain_loop() -> None:
    drawn, memory = ticket(dtype=torch.float64), Memory()
    trained, wanted = training(drawn, memory).run(), Plain(drawn).run(RATES).history
    columns = ("loss", "accuracy", "val_accuracy", "path")
    for number, (record, values) in enumerate(zip(trained.progress.history, wanted, strict=True)):
        # Losses and counts are summed in float32.
        assert [record[column] for column in columns] == pytest.approx(values, rel=1e-6)
        assert (record["epoch"], record["step"], record["images"]) == (number + 1, 5 * (number + 1), 150)
        assert record["lr"] == RATES[5 * number + 4]
    assert memory.epochs == [(record, 3) for record in trained.progress.history]
    accuracies = [values[2] for values in wanted]
    assert trained.progress.best_epoch == 1 + accuracies.index(max(accuracies))
    assert trained.progress.best_accuracy == max(accuracies)


def test_the_learning_rate_resumes_and_the_data_resume_each_on_its_own() -> None:
    drawn = ticket(dtype=torch.float64)
    for start, rates, position in (
        (Start(lr_step=4), RATES[4:], 0),
        (Start(data_step=7), RATES, 7),
        (Start(lr_step=4, data_step=7), RATES[4:], 7),
        (Start(last_lr=True), RATES[-1:] * STEPS, 0),
    ):
        trained = training(drawn, start=start).run()
        assert trained.progress.step == len(rates)
        assert_close(trained.weights, Plain(drawn).run(rates, position).model.state_dict())


def test_a_given_momentum_is_used_within_the_mask() -> None:
    drawn = ticket(dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)
    names = [name for name, _ in network().named_parameters()]
    momentum = {n: torch.randn(drawn.start[n].shape, generator=rng, dtype=torch.float64) for n in names}
    before = {name: tensor.clone() for name, tensor in momentum.items()}
    trained = training(drawn, start=Start(momentum=momentum)).run()
    assert_close(trained.weights, Plain(drawn, momentum=momentum).run(RATES).model.state_dict())
    assert same(momentum, before)


@pytest.mark.parametrize("epochs", [0.5, 2.0, 0.0])
def test_a_pruners_epochs_multiply_the_recipes(epochs: float) -> None:
    drawn, steps = ticket(dtype=torch.float64), {0.5: 8, 2.0: 30, 0.0: 0}[epochs]  # 7.5 rounds to even
    trained = training(drawn, epochs=epochs).run()
    assert trained.progress.step == steps
    rates = RECIPE.learning_rates(steps, PER_EPOCH)
    assert_close(trained.weights, Plain(drawn).run(rates).model.state_dict())


@pytest.fixture(scope="module")
def whole() -> tuple[Memory, TrainState]:
    """An uninterrupted training with its state after every step."""
    memory = Memory()
    run = training(ticket(), memory, snapshots=ALL)
    run.run()
    return memory, run.state()


def test_snapshots_are_taken_at_the_steps_asked_for(whole: tuple[Memory, TrainState]) -> None:
    memory = Memory()
    training(ticket(), memory, snapshots=frozenset({0, 4, 5, 99})).run()
    assert sorted(memory.snapshots) == [0, 4, 5]
    for step, state in memory.snapshots.items():
        assert same(state.weights, whole[0].snapshots[step].weights)
        assert same(state.momentum, whole[0].snapshots[step].momentum)


def test_the_first_snapshot_is_the_masked_start(whole: tuple[Memory, TrainState]) -> None:
    state = whole[0].snapshots[0]
    assert same(state.weights, ticket().masked(ticket().start))
    assert not any(tensor.any() for tensor in state.momentum.values())


@pytest.mark.parametrize("stop", [1, 4, 5, 6, 14, 15])
def test_stopping_gives_a_state_that_the_whole_training_passes_through(
    stop: int, whole: tuple[Memory, TrainState]
) -> None:
    run = training(ticket(), stop=stop)
    trained = run.run()
    assert trained.progress.step == stop
    assert same(trained.weights, whole[0].snapshots[stop].weights)
    assert same(run.state().momentum, whole[0].snapshots[stop].momentum)


@pytest.mark.parametrize("k", [1, 5, 8, 14])
def test_going_on_from_a_step_with_everything_resumed_is_the_whole_training(
    k: int, whole: tuple[Memory, TrainState]
) -> None:
    past = whole[0].snapshots[k]
    again = Ticket(ticket().mask, past.weights)
    run = training(again, start=Start(past.momentum, lr_step=k, data_step=k))
    assert same(run.run().weights, whole[1].weights)
    assert same(run.state().momentum, whole[1].momentum)


@pytest.mark.parametrize("start", [Start(), Start(lr_step=3, data_step=7)], ids=["plain", "inside-an-epoch"])
@pytest.mark.parametrize("rest", [None, 0.5])
def test_resuming_at_each_save_is_bit_identical(start: Start, rest: float | None) -> None:
    constant = {name: torch.full(layer.shape, rest or 0.0) for name, layer in prunable_layers(network()).items()}
    drawn = ticket(rest=None if rest is None else constant)
    memory = Memory()
    wanted = training(drawn, memory, start=start)
    trained = wanted.run()
    assert len(memory.saved) == 2  # at each epoch's end but the last
    for content in memory.saved:
        found = training(drawn, Memory(decoded(content)), start=start)
        resumed = found.run()
        assert same(resumed.weights, trained.weights)
        assert same(resumed.best, trained.best)
        assert same(found.state().momentum, wanted.state().momentum)
        assert resumed.progress.history == trained.progress.history
        for name in ("step", "best_epoch", "best_accuracy"):
            assert getattr(resumed.progress, name) == getattr(trained.progress, name)


def test_the_best_weights_are_those_of_the_best_epoch(whole: tuple[Memory, TrainState]) -> None:
    memory, end = whole
    assert same(end.best, memory.snapshots[PER_EPOCH * end.progress.best_epoch].weights)


def constant_classifier() -> Ticket:
    """A dense ticket whose logits are (1, 0, ..., 0) whatever the image."""
    model = network()
    start = weights_of(model)
    start["fc.weight"].zero_()
    start["fc.bias"].copy_(F.one_hot(torch.tensor(0), 10))
    return Ticket(Mask.ones(prunable_layers(model)), start)


def test_accuracy_and_loss_are_means_over_images_not_over_batches() -> None:
    # Batches of 32 and 1 with a single wrong image: 32/33, whichever batch it falls into. Losses: log(e + 9) - 1 for
    # the right ones, log(e + 9) for the wrong one; a mean of batch means differs by 0.01 at least.
    whole = DATASET.load()
    train = Split(whole.train.images[:33], torch.tensor([0] * 32 + [1]))
    data = Data(train, Split(whole.val.images[:0], whole.val.labels[:0]), whole.test)
    for order_seed in range(3):
        run = training(constant_classifier(), data=data, order_seed=order_seed, stop=2, lr=1e-12)
        (record,) = run.run().progress.history
        assert record["accuracy"] == pytest.approx(32 / 33, abs=1e-7)
        assert record["loss"] == pytest.approx(math.log(math.e + 9) - 32 / 33, abs=1e-5)
