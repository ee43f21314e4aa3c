"""Compiled updates: the same but for rounding, and one compilation for every round."""

import pytest
import torch
from torch import Tensor

from tests.engines import Given, trained
from tests.tiny import DATASET, RECIPE, network, ticket
from ticketsearch.training.engine import Engine
from ticketsearch.training.update import Update

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def compiled() -> Given:
    """One compilation for every test."""
    return Given(Engine("compiled").update(network(9), RECIPE))


def test_a_compiled_step_is_the_eager_one_but_for_rounding(compiled: Given) -> None:
    """Its loss and gradients are no farther from double precision than ten times what the eager ones are."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(32, *DATASET.shape, generator=generator)
    labels = torch.randint(10, (32,), generator=generator)
    found: dict[str, dict[str, Tensor]] = {}
    for name in ("double", "eager", "compiled"):
        update = compiled.given if name == "compiled" else Update(network(9), RECIPE)
        update.model.load_state_dict(network(4).state_dict())
        update.model.train()
        if name == "double":
            update.model.double()
        loss, _ = update.gradients(pixels.double() if name == "double" else pixels, labels)
        grads = {key: p.grad.double() for key, p in update.parameters.items() if p.grad is not None}
        found[name] = grads | {"loss": loss.double()}
    for key, exact in found["double"].items():
        eager, other = (float((found[name][key] - exact).norm()) for name in ("eager", "compiled"))
        assert other <= 10 * eager + 1e-6 * float(exact.norm()), key


def test_one_compilation_serves_every_round(compiled: Given) -> None:
    """Masks are outside: tickets of any sparsity train with the kernels that are there, and learn as well."""
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    accuracies: dict[str, list[float]] = {"compiled": [], "eager": []}
    for seed in range(6):
        drawn = ticket(0.9 - seed / 10, seed=seed)
        for name, engine in (("compiled", compiled), ("eager", Engine())):
            _, result = trained(compiled.given.model, drawn, RECIPE, engine)
            accuracies[name].append(result.progress.history[-1]["val_accuracy"])
            assert all(name == "eager" or ", compiled" in made for made in result.progress.made)
            for layer, alive in drawn.mask.items():
                assert not result.weights[layer][~alive].any()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before <= 2
    means = {name: sum(values) / len(values) for name, values in accuracies.items()}
    assert abs(means["compiled"] - means["eager"]) <= 0.05  # 300 validation images over six seeds: one s.e. is 0.03
