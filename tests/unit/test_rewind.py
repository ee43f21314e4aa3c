"""Rewinding: each part of the start comes from where its field says."""

import pytest
import torch
from torch import Tensor

from tests.tiny import network, same, weights_of
from ticketsearch.rewind import Rewind
from ticketsearch.ticket import Weights
from ticketsearch.training.state import Start

PER_EPOCH = 10


class Past:
    """A dense model whose whole state, buffers too, tells after which step it is; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def at(self, step: int) -> tuple[Weights, Weights]:
        self.asked.append(step)
        return filled(step + 1), {name: torch.full(p.shape, step + 0.5) for name, p in network().named_parameters()}

    def fresh(self) -> Weights:
        return filled(77)


def filled(value: int) -> dict[str, Tensor]:
    """A ResNet's state dict with every entry, the count of batches too, at one value."""
    return {name: torch.full_like(tensor, value) for name, tensor in weights_of(network()).items()}


SOURCE = filled(55)
BUFFERS = {name for name, _ in network().named_buffers() if name in SOURCE}


def apply(**fields: str) -> tuple[dict[str, Tensor], Start]:
    return Rewind(**fields).apply(SOURCE, Past(), PER_EPOCH)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"weights": "init"}, 1),
        ({"weights": "step", "at": "3ep"}, 31),
        ({"weights": "step", "at": "7it"}, 8),
        ({"weights": "source"}, 55),
        ({"weights": "fresh"}, 77),
    ],
)
def test_the_full_state_dict_is_rewound(fields: dict[str, str], value: int) -> None:
    weights, start = apply(**fields)
    assert same(weights, filled(value))  # biases, batch-norm weights and statistics, counts of batches
    assert start == Start()


def test_there_are_buffers_to_rewind() -> None:
    assert {name.rpartition(".")[2] for name in BUFFERS} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(BUFFERS) == 3 * 7  # of each batch normalisation


@pytest.mark.parametrize("fields", [{"weights": "step", "at": "3ep"}, {"weights": "source"}, {"weights": "fresh"}])
def test_initial_buffers_leave_the_parameters_where_they_come_from(fields: dict[str, str]) -> None:
    rewound, _ = apply(**fields)
    mixed, _ = apply(**fields, buffers="init")
    assert mixed.keys() == rewound.keys()
    for name, tensor in mixed.items():
        assert torch.equal(tensor, filled(1)[name] if name in BUFFERS else rewound[name]), name


@pytest.mark.parametrize("weights", ["init", "source", "fresh"])
def test_momentum_is_the_dense_models_at_the_step_whatever_the_weights(weights: str) -> None:
    rewound, start = apply(weights=weights, optimiser="step", at="2ep")
    assert same(start.momentum, Past().at(20)[1])
    assert same(rewound, apply(weights=weights)[0])
    assert (start.lr_step, start.data_step, start.last_lr) == (0, 0, False)


def test_the_learning_rate_and_the_data_resume_each_on_its_own() -> None:
    assert apply(at="7it", lr="resume")[1] == Start(lr_step=7)
    assert apply(at="7it", data="resume")[1] == Start(data_step=7)
    assert apply(at="2ep", weights="step", lr="resume", data="resume")[1] == Start(lr_step=20, data_step=20)


def test_the_last_learning_rate_starts_no_course_late() -> None:
    assert apply(weights="source", lr="last")[1] == Start(last_lr=True)


def test_the_source_is_not_changed() -> None:
    weights, _ = apply(weights="source", buffers="init")
    weights["fc.bias"] = torch.zeros(1)
    assert same(SOURCE, filled(55))


def test_only_the_points_that_are_needed_are_asked_for() -> None:
    # A point that is not kept has to be trained.
    for fields, asked in (
        ({"weights": "source"}, []),
        ({"weights": "fresh"}, []),
        ({"weights": "init"}, [0]),
        ({"weights": "step", "at": "4it"}, [4]),
        ({"weights": "init", "at": "4it", "lr": "resume"}, [0]),
    ):
        past = Past()
        Rewind(**fields).apply(SOURCE, past, PER_EPOCH)
        assert past.asked == asked


@pytest.mark.parametrize(("at", "step"), [("0it", 0), ("500it", 500), ("1ep", 10), ("12ep", 120)])
def test_at_in_updates(at: str, step: int) -> None:
    resumes = {"lr": "resume"} if step else {}
    assert Rewind(at=at, **resumes).step(PER_EPOCH) == step


@pytest.mark.parametrize("at", ["", "3", "ep", "3 ep", "3epochs", "-1ep", "1.5ep", "3ep\n", "3EP"])
def test_at_must_be_epochs_or_updates(at: str) -> None:
    with pytest.raises(ValueError, match="such as 3ep or 500it"):
        Rewind(weights="step", at=at)


@pytest.mark.parametrize("part", [{"weights": "step"}, {"optimiser": "step"}, {"lr": "resume"}, {"data": "resume"}])
@pytest.mark.parametrize("at", ["0it", "0ep"])
def test_what_resumes_needs_a_step(part: dict[str, str], at: str) -> None:
    with pytest.raises(ValueError, match="something resumes"):
        Rewind(at=at, **part)


@pytest.mark.parametrize("part", [{}, {"weights": "source"}, {"weights": "fresh"}, {"lr": "last"}, {"buffers": "init"}])
def test_a_step_needs_something_that_resumes(part: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="nothing resumes"):
        Rewind(at="3ep", **part)


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({}, {"artefact": "rewind-0", "action": "rewind:init", "buffers": "weights"}),
        ({"weights": "step", "at": "3ep"}, {"artefact": "rewind-30", "action": "rewind:step", "buffers": "weights"}),
        (
            {"weights": "source", "buffers": "init"},
            {"artefact": "source", "action": "rewind:source", "buffers": "init"},
        ),
        ({"weights": "fresh"}, {"artefact": "seed", "action": "rewind:fresh", "buffers": "weights"}),
    ],
)
def test_origin_says_where_the_start_comes_from(fields: dict[str, str], origin: dict[str, str]) -> None:
    assert Rewind(**fields).origin(PER_EPOCH) == origin
