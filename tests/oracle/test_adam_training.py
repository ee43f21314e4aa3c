"""What masks, resumes, moving masks and rewinds do to Adam's two moments and its count of updates."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import folder, run_here, same_runs
from torch import Tensor

from tests.tiny import PER_EPOCH, Memory, decoded, network, same, ticket, training, weights_of
from ticketsearch.compose import compose
from ticketsearch.errors import RunFailed
from ticketsearch.files import decode_state, encode_state
from ticketsearch.pruners.rigl import RigL
from ticketsearch.rewind import Rewind
from ticketsearch.ticket import Mask, Ticket, Weights, prunable_layers
from ticketsearch.training.adam import SQUARE, STEPS
from ticketsearch.training.loop import Training
from ticketsearch.training.recipe import Recipe
from ticketsearch.training.state import Start, TrainState

ADAM = {"optimiser": "adam", "lr": 0.01}
UPDATES = 3 * PER_EPOCH
ALL = frozenset(range(UPDATES + 1))
OFTEN = RigL(every=2, moves=1, until=0.8, share=0.5)
NAMES = [name for name, _ in network().named_parameters()]


def adam(drawn: Ticket, memory: Memory | None = None, **job: Any) -> Training:
    return training(drawn, memory, **(ADAM | job))


def noise(seed: int = 0) -> dict[str, Tensor]:
    """Both moments of every parameter, after some updates; the second is positive."""
    rng, weights = torch.Generator().manual_seed(seed), network().state_dict()
    first = {name: torch.randn(weights[name].shape, generator=rng) for name in NAMES}
    second = {name + SQUARE: torch.rand(weights[name].shape, generator=rng) for name in NAMES}
    return first | second | {STEPS: torch.tensor(40.0)}


def signed_rest() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {name: torch.randn(layer.shape, generator=rng) for name, layer in prunable_layers(network()).items()}


class Watch(Memory):
    """Looks at the state after each update."""

    def __init__(self, drawn: Ticket) -> None:
        super().__init__()
        self.ticket = drawn

    def snapshot(self, state: TrainState) -> None:
        super().snapshot(state)
        for name, alive in self.ticket.mask.items():
            rest = torch.zeros(alive.shape) if self.ticket.rest is None else self.ticket.rest[name]
            assert state.weights[name][~alive].numpy().tobytes() == rest[~alive].numpy().tobytes()
            for moment in (state.momentum[name], state.momentum[name + SQUARE]):
                assert not moment[~alive].any()
                assert moment[alive].any() == (state.progress.step > 0 or self.resumed_moments)

    resumed_moments = False


@pytest.mark.parametrize("resting", [False, True])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("setting", [{}, {"channels_last": True}, {"precision": "bfloat16"}], ids=str)
def test_pruned_weights_and_both_moments_never_move(setting: dict[str, Any], carried: bool, resting: bool) -> None:
    drawn = ticket(rest=signed_rest() if resting else None)
    watch = Watch(drawn)
    watch.resumed_moments = carried  # as if the dense model's were taken over: those of pruned weights are not zero
    adam(drawn, watch, snapshots=ALL, start=Start(momentum=noise() if carried else None), **setting).run()
    assert sorted(watch.snapshots) == sorted(ALL)
    steps = [int(state.momentum[STEPS]) for _, state in sorted(watch.snapshots.items())]
    assert steps == [step + 40 * carried for step in range(UPDATES + 1)]


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(epoch: int) -> None:
    memory, drawn = Memory(), ticket()
    whole = adam(drawn, memory)
    wanted = whole.run()
    state = decoded(memory.saved[epoch - 1])
    assert int(state.momentum[STEPS]) == epoch * PER_EPOCH
    resumed = adam(drawn, Memory(state))
    assert same(resumed.run().weights, wanted.weights)
    assert same(resumed.state().momentum, whole.state().momentum)


@pytest.mark.parametrize("lost", ["first", SQUARE, STEPS])
def test_each_part_of_the_state_is_needed(lost: str) -> None:
    # Otherwise the test above could not tell whether it is stored.
    memory, drawn = Memory(), ticket()
    wanted = adam(drawn, memory).run()
    state = decoded(memory.saved[0])
    for name, tensor in state.momentum.items():
        if name in NAMES if lost == "first" else name.endswith(lost):
            tensor.zero_()
    assert not same(adam(drawn, Memory(state)).run().weights, wanted.weights)


def test_the_state_survives_its_file() -> None:
    state = adam(ticket(), start=Start(momentum=noise())).state()
    found, _ = decode_state(encode_state(state, {}))
    assert same(found.momentum, state.momentum)
    assert found.momentum.keys() == {*NAMES, *(name + SQUARE for name in NAMES), STEPS}
    assert found.momentum[STEPS].shape == ()


# A mask that moves.


def test_what_comes_starts_at_zero_without_either_moment() -> None:
    run = adam(ticket(0.4), dynamics=OFTEN.during(0, None))
    batches = list(run._batches(0, 0))
    for pixels, labels in batches[:3]:
        before = run.alive
        run._step(pixels, labels, run.rates[run.progress.step])
        run.progress.step += 1
    moved = [name for name, alive in run.alive.items() if bool((alive != before[name]).any())]
    assert moved  # the third step was a move, in place of its update
    assert int(run.optimiser.momentum[STEPS]) == 2
    for name in moved:
        came, stayed = run.alive[name] & ~before[name], run.alive[name] & before[name]
        assert came.any()
        assert not run.parameters[name][came].any()
        for moment in run.optimiser.buffers(name):
            assert not moment[~stayed].any()
            assert moment[stayed].any()


def test_a_training_whose_mask_moves_is_resumed_bit_for_bit() -> None:
    memory = Memory()
    whole = adam(ticket(0.4), memory, dynamics=OFTEN.during(0, None)).run()
    state = decoded(memory.saved[0])
    resumed = adam(ticket(0.4), Memory(state), dynamics=OFTEN.during(0, None)).run()
    assert state.mask not in (ticket(0.4).mask, None)
    assert same(resumed.weights, whole.weights)
    assert resumed.mask == whole.mask


# A loss that is not finite.


@pytest.mark.parametrize("at", [0, 7])
def test_the_step_of_a_loss_that_is_not_finite_changes_nothing(at: int) -> None:
    run, seen = adam(ticket()), []

    def spoil(model: torch.nn.Module, _: object, logits: Tensor) -> Tensor:
        if not model.training:
            return logits
        seen.append((weights_of(run.model), {k: v.clone() for k, v in run.optimiser.momentum.items()}))
        return logits * (math.nan if len(seen) == at + 1 else 1)

    run.model.register_forward_hook(spoil)
    with pytest.raises(RunFailed, match=f"became nan at step {at} "):
        run.run()
    parameters = [{name: weights[name] for name in NAMES} for weights, _ in seen]
    assert same(parameters[at], parameters[at + 1])
    assert same(seen[at][1], seen[at + 1][1])
    assert int(seen[at][1][STEPS]) == at
    assert not same(seen[at + 1][1], seen[at + 2][1])  # the steps after it are taken again


# Rewinds.


class Past:
    """A dense training under Adam, as a rewind sees it: as `RewindPoints`, it knows no moments at initialisation."""

    def __init__(self) -> None:
        memory = Memory()
        self.drawn = ticket(1.0)
        self.end = adam(self.drawn, memory, snapshots=ALL).run()
        self.snapshots = memory.snapshots

    def at(self, step: int) -> tuple[Weights, Weights]:
        state = self.snapshots[step]
        return state.weights, state.momentum if step else {
            name: torch.zeros_like(state.weights[name]) for name in NAMES
        }

    def fresh(self) -> Weights:
        raise NotImplementedError


def rewound(past: Past, mask: Mask, **fields: str) -> Training:
    weights, start = Rewind(**fields).apply(past.end.weights, past, PER_EPOCH)  # type: ignore[arg-type]
    return adam(Ticket(mask, weights), start=start)


def test_a_rewind_of_everything_with_nothing_pruned_is_the_dense_training() -> None:
    past = Past()
    everything = {"weights": "step", "lr": "resume", "data": "resume", "at": "7it"}
    assert same(rewound(past, past.drawn.mask, optimiser="step", **everything).run().weights, past.end.weights)
    assert not same(rewound(past, past.drawn.mask, optimiser="fresh", **everything).run().weights, past.end.weights)


@pytest.mark.parametrize("optimiser", ["step", "fresh"])
def test_the_moments_are_the_dense_models_at_the_step_within_the_mask(optimiser: str) -> None:
    past, mask = Past(), ticket(0.4).mask
    state = rewound(past, mask, weights="step", optimiser=optimiser, at="1ep").state()
    wanted = past.snapshots[PER_EPOCH].momentum
    assert int(state.momentum[STEPS]) == (PER_EPOCH if optimiser == "step" else 0)
    for name in NAMES:
        alive = mask[name] if name in mask else torch.ones_like(wanted[name], dtype=torch.bool)
        for moment in (name, name + SQUARE):
            carried = torch.where(alive, wanted[moment], 0) if optimiser == "step" else torch.zeros(alive.shape)
            assert torch.equal(state.momentum[moment], carried)


def test_initial_statistics_leave_the_parameters_at_the_step() -> None:
    # They are told apart by the names that have momentum; Adam's have more.
    past = Past()
    state = rewound(past, past.drawn.mask, weights="step", at="2ep", buffers="init").state()
    for name, tensor in state.weights.items():
        assert torch.equal(tensor, past.snapshots[2 * PER_EPOCH if name in NAMES else 0].weights[name])


@pytest.mark.slow
def test_a_run_rewinds_to_moments_that_it_kept_and_comes_out_the_same(tmp_path: Path) -> None:
    words = ["recipe.optimiser=adam", "recipe.lr=0.01", "schedule.rounds=1"]
    words += ["rewind=step", "rewind.at=1ep", "rewind.optimiser=step"]
    for name in ("one", "two"):
        run_here(tmp_path / name, *words)
    same_runs(tmp_path / "one", tmp_path / "two")
    assert run_here(tmp_path / "one", *words)[1].epochs == []
    assert not list((tmp_path / "one").glob("*/aside"))
    point = folder(tmp_path / "one", "dense") / "seed-0/rewind-1/state.safetensors"
    state, _ = decode_state(point.read_bytes())
    assert int(state.momentum[STEPS]) == 1
    kept = [tensor for name, tensor in state.momentum.items() if name.removesuffix(SQUARE) in state.weights]
    assert len(kept) == len(state.momentum) - 1 == 2 * len(NAMES)
    assert all(bool(tensor.any()) for tensor in kept)


def test_the_optimiser_and_its_numbers_are_in_the_id() -> None:
    lines = [[], ["recipe.optimiser=adam"], ["recipe.optimiser=adam", "recipe.beta2=0.99"]]
    lines.append(["recipe.optimiser=adam", "recipe.eps=1e-7"])
    assert len({compose(line).id for line in lines}) == 4
    assert Recipe().optimiser == "sgd"
