"""The Hessian family beside dense Hessians in float64, numbers worked out by hand, and scipy's eigsh."""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call

from tests.three import ThreeLayers
from tests.tiny import DATASET, magnitude_mask, network, same, weights_of
from ticketsearch.data.base import Data, Split
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.hessian import Hessian, WeightHessian, directions
from ticketsearch.ticket import Mask, Ticket, prunable_layers

DATA = DATASET.load()
EXACT = Hessian(images=40, precision="float64", steps=400, probes=2, input_probes=2)
"""More steps than there are directions."""
ALL = replace(EXACT, parameters="all")


def context(mask: Mask) -> EvalContext:
    return EvalContext(mask, {}, None, lambda split: torch.empty(0), DATASET)


def measured(metric: Hessian, model: nn.Module, mask: Mask, data: Data = DATA) -> dict[tuple[str, str], Value]:
    return {(v.name.removeprefix("hessian_"), v.variant): v for v in metric(model.eval(), data, context(mask))}


def eigenvalues(values: dict[tuple[str, str], Value], of: str, top: int = 5) -> list[float]:
    return [values[f"eigen_{of}", "" if n == 1 else str(n)].value for n in range(1, top + 1)]


@dataclass(frozen=True)
class Case:
    """A trained network within a mask, and its dense Hessians."""

    model: nn.Module
    mask: Mask
    weights: dict[str, Tensor]
    inputs: Tensor


def dense_weights(model: nn.Module, part: Split, alive: dict[str, Tensor]) -> Tensor:
    """The Hessian of the mean loss with respect to whole tensors, then the rows and columns that are alive."""
    twin = deepcopy(model).double()
    own = dict(twin.named_parameters()) | dict(twin.named_buffers())
    sizes = [own[name].numel() for name in alive]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(alive, flat.split(sizes), strict=True)
        state = {n: t.detach() for n, t in own.items()} | {n: part.view_as(own[n]) for n, part in parts}
        return F.cross_entropy(functional_call(twin, state, (part.images.double() / 255,)), part.labels)

    flat = torch.cat([own[name].detach().flatten() for name in alive])
    kept = torch.cat([entries.flatten() for entries in alive.values()])
    return torch.autograd.functional.hessian(loss, flat)[kept][:, kept]


def dense_inputs(model: nn.Module, part: Split) -> Tensor:
    """The Hessian of each image's loss with respect to its pixels, [N, n, n]."""
    twin, found = deepcopy(model).double(), []
    for image, label in zip(part.images.double() / 255, part.labels, strict=True):

        def loss(pixels: Tensor, shape: torch.Size = image.shape, label: Tensor = label) -> Tensor:
            return F.cross_entropy(twin(pixels.view(1, *shape)), label[None])

        found.append(torch.autograd.functional.hessian(loss, image.flatten()))
    return torch.stack(found)


@pytest.fixture(scope="module")
def case() -> Case:
    model = ThreeLayers(width=3).initial(DATASET, 0)
    mask = magnitude_mask(model, 0.5)
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    pixels, labels = DATA.train.images / 255, DATA.train.labels
    for _ in range(30):
        optimiser.zero_grad()
        F.cross_entropy(model(pixels), labels).backward()
        optimiser.step()
        model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    model.eval()
    part = DATA.train[:40]
    every = {name: torch.ones(p.shape, dtype=torch.bool) for name, p in model.named_parameters()} | dict(mask)
    weights = {"prunable": dense_weights(model, part, dict(mask)), "all": dense_weights(model, part, every)}
    return Case(model, mask, weights, dense_inputs(model, part))


@pytest.mark.parametrize("metric", [EXACT, ALL], ids=["prunable", "all"])
def test_weights_are_those_of_the_dense_hessian_within_the_mask(case: Case, metric: Hessian) -> None:
    dense, found = case.weights[metric.parameters], measured(metric, case.model, case.mask)
    assert (len(dense) == case.mask.kept) == (metric.parameters == "prunable")
    assert found["trace_weight", ""].value == pytest.approx(float(dense.trace()), rel=1e-9)
    assert found["trace_weight", ""].stderr < 1e-9
    assert found["residual_weight", "5"].value < 1e-9
    assert eigenvalues(found, "weight") == pytest.approx(torch.linalg.eigvalsh(dense).flip(0)[:5].tolist(), rel=1e-9)


def test_pruned_directions_would_have_changed_it(case: Case) -> None:
    whole = {name: torch.ones_like(alive) for name, alive in case.mask.items()}
    outside = dense_weights(case.model, DATA.train[:40], whole)
    assert float(outside.trace()) > 1.05 * float(case.weights["prunable"].trace())


def test_pixels_are_means_over_the_dense_hessians_of_the_images(case: Case) -> None:
    found, spectrum = measured(EXACT, case.model, case.mask), torch.linalg.eigvalsh(case.inputs).flip(1)
    traces = case.inputs.diagonal(dim1=1, dim2=2).sum(1)
    assert found["trace_input", ""].value == pytest.approx(float(traces.mean()), rel=1e-9)
    assert eigenvalues(found, "input") == pytest.approx(spectrum.mean(0)[:5].tolist(), rel=1e-8)
    stack = torch.block_diag(*case.inputs) / 40  # the Hessian of the mean loss with respect to all pixels
    assert found["trace_input", ""].value == pytest.approx(float(stack.trace()), rel=1e-9)
    assert found["eigen_input", "stacked"].value == pytest.approx(float(torch.linalg.eigvalsh(stack)[-1]), rel=1e-9)


def test_the_defaults_are_near_in_float32(case: Case) -> None:
    found, dense = measured(Hessian(images=40), case.model, case.mask), case.weights["prunable"]
    trace = found["trace_weight", ""]
    plain = 2 * (dense.square().sum() - dense.diagonal().square().sum()) / 6  # the variance of six plain probes
    assert 0 < trace.stderr < 0.5 * float(plain) ** 0.5
    assert abs(trace.value - float(dense.trace())) < 4 * trace.stderr
    exact = torch.linalg.eigvalsh(dense).flip(0)
    assert eigenvalues(found, "weight", 1) == pytest.approx(exact[:1].tolist(), rel=1e-4)
    for place, value in enumerate(eigenvalues(found, "weight")):
        residual = found["residual_weight", str(place + 1) if place else ""].value
        assert float((exact - value).abs().min()) <= residual + 1e-5
        assert value <= float(exact[place]) + 1e-5
    assert residual > 1e-3  # the fifth has not converged on so flat a loss, and says so
    # ReLU: nine directions of an image's pixels bend the loss of ten classes, and twelve steps find them all.
    inputs = case.inputs.diagonal(dim1=1, dim2=2).sum(1).mean()
    assert found["trace_input", ""].value == pytest.approx(float(inputs), rel=1e-4)
    assert found["trace_input", ""].stderr < 1e-4 * float(inputs)


@pytest.mark.parametrize("parameters", ["prunable", "all"])
def test_scipy_finds_the_same_eigenvalues_with_our_products(case: Case, parameters: str) -> None:
    alive = directions(case.model, case.mask, parameters)
    product = WeightHessian(case.model, DATA.train[:40], alive, 40, torch.float64)
    operator = LinearOperator(
        (product.size, product.size), lambda vector: product(torch.from_numpy(np.ravel(vector))).numpy(), dtype="f8"
    )
    theirs = np.sort(eigsh(operator, 5, which="LA", return_eigenvectors=False))[::-1]
    found = measured(replace(EXACT, parameters=parameters, steps=60), case.model, case.mask)
    assert eigenvalues(found, "weight") == pytest.approx(theirs.tolist(), rel=1e-8)
    dense = case.weights[parameters]
    vector = torch.randn(len(dense), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(product(vector), dense @ vector, rtol=1e-9, atol=1e-12)


class Linear(nn.Module):
    """Softmax regression without a bias."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1) @ self.weight.T


def test_softmax_regression_by_hand() -> None:
    # H = mean of (diag p - p p') (x) x x'; its trace is that of the first times |x|^2. In pixels W' (diag p - p p') W.
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    images = torch.randint(256, (6, 1, 2, 2), generator=rng).to(torch.uint8)
    part = Split(images, torch.arange(6) % 3)
    x = images.flatten(1).double() / 255
    p = (x @ weight.T).softmax(1)
    bend = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    whole = torch.stack([torch.kron(b, torch.outer(one, one)) for b, one in zip(bend, x, strict=True)]).mean(0)
    alive = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]).bool()
    kept, model = alive.flatten(), Linear(weight)
    found = measured(replace(EXACT, images=6), model, Mask({"weight": alive}), Data(part, part, part))
    within = whole[kept][:, kept]
    by_hand = (x.square().sum(1) * (1 - p.square().sum(1))).mean()
    assert float(whole.trace()) == pytest.approx(float(by_hand), rel=1e-12)
    assert found["trace_weight", ""].value == pytest.approx(float(within.trace()), rel=1e-12)
    assert eigenvalues(found, "weight") == pytest.approx(torch.linalg.eigvalsh(within).flip(0)[:5].tolist(), rel=1e-10)
    inputs = weight.T @ bend @ weight
    assert found["trace_input", ""].value == pytest.approx(float(inputs.diagonal(dim1=1, dim2=2).sum(1).mean()))
    # Four pixels: what would be the fifth eigenvalue is 0.
    spectrum = torch.linalg.eigvalsh(inputs).flip(1).mean(0)
    assert eigenvalues(found, "input") == pytest.approx([*spectrum.tolist(), 0.0], abs=1e-12)


def test_values_do_not_depend_on_the_batch(case: Case) -> None:
    metric = Hessian(images=40, precision="float64")
    whole = measured(metric, case.model, case.mask)
    for batch in (1, 7, 39):
        parts = measured(replace(metric, batch=batch), case.model, case.mask)
        for key, value in whole.items():
            assert parts[key].value == pytest.approx(value.value, rel=1e-6, abs=1e-12), key
            if value.stderr is not None:
                assert parts[key].stderr == pytest.approx(value.stderr, rel=1e-6, abs=1e-9), key


def test_the_first_images_of_the_split_are_looked_at(case: Case) -> None:
    some = Data(DATA.train[:40], DATA.val, DATA.test[:40])
    of = {split: measured(replace(EXACT, split=split), case.model, case.mask, some) for split in ("train", "test")}
    for split, values in of.items():
        assert {value.split for value in values.values()} == {split}
    assert of["train"] == measured(EXACT, case.model, case.mask)
    dense = dense_weights(case.model, DATA.test[:40], dict(case.mask))
    assert of["test"]["trace_weight", ""].value == pytest.approx(float(dense.trace()), rel=1e-9)
    with pytest.raises(ValueError, match="no images in val"):
        measured(replace(EXACT, split="val"), case.model, case.mask, Data(DATA.train, DATA.val[:0], DATA.test))


def test_how_many_images_is_left_to_the_dataset() -> None:
    assert Hessian().suited(DATASET).images == 50
    assert Hessian().suited(replace(DATASET, sample=5000)).images == 200
    assert Hessian(images=33).suited(DATASET).images == 33


def test_removed_channels_are_no_directions(case: Case) -> None:
    held = {"norm_one.weight": torch.tensor([True, False, False]), "norm_one.bias": torch.tensor([True, False, False])}
    mask = Mask(dict(case.mask), held)
    alive = directions(case.model, mask, "all")
    assert alive["norm_one.weight"].tolist() == [False, True, True]
    assert set(directions(case.model, mask, "prunable")) == set(case.mask)
    found = measured(ALL, case.model, mask)
    dense = dense_weights(case.model, DATA.train[:40], alive)
    assert found["trace_weight", ""].value == pytest.approx(float(dense.trace()), rel=1e-9)


@pytest.mark.parametrize("alive", [0, 3])
def test_collapsed_networks_are_flat(alive: int) -> None:
    # With nothing behind its stem no weight moves the loss, and no pixel does.
    model = ThreeLayers(width=3).initial(DATASET, 0)
    mask = Mask({name: torch.zeros(layer.shape).bool() for name, layer in prunable_layers(model).items()})
    bits = {name: entries.clone() for name, entries in mask.items()}
    next(iter(bits.values())).view(-1)[:alive] = True
    mask = Mask(bits)
    model.load_state_dict(Ticket(mask, {}).masked(model.state_dict()))
    for value in measured(Hessian(images=40), model, mask).values():
        assert value.value == 0 or value.name == "spectrum_share"
        assert not value.stderr


def breaks(_: Tensor) -> Tensor:
    raise RuntimeError("broken")


@pytest.mark.parametrize("wrong", [lambda x: x * math.inf, breaks], ids=["not finite", "raises"])
def test_an_error_leaves_the_model_as_it_was(case: Case, wrong: Callable[[Tensor], Tensor]) -> None:
    model = deepcopy(case.model)
    weights, modes = weights_of(model), [module.training for module in model.modules()]
    own = [id(parameter) for parameter in model.parameters()]
    hook = model.fc.register_forward_hook(lambda module, given, output: wrong(output))
    with pytest.raises((ArithmeticError, RuntimeError), match=r"not finite|broken"):
        measured(Hessian(images=40), model, case.mask)
    hook.remove()
    assert same(weights_of(model), weights)
    assert [module.training for module in model.modules()] == modes
    assert [id(parameter) for parameter in model.parameters()] == own
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


class Counting(nn.Module):
    """Softmax regression that counts how often it is asked."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = Linear(torch.ones(10, 64))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, pixels: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.linear(pixels)


def test_what_a_network_writes_down_is_written_into_a_copy() -> None:
    model = Counting()
    measured(Hessian(images=10), model, Mask({"linear.weight": torch.ones(10, 64).bool()}))
    assert model.calls == 0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="no more than 4 eigenvalues, not 5"):
        Hessian(steps=4)


def test_the_layout_of_the_weights_makes_no_difference() -> None:
    model = network(3)
    mask = magnitude_mask(model, 0.5)
    metric = Hessian(images=30, precision="float64")
    rows = [measured(metric, m, mask) for m in (model, model.to(memory_format=torch.channels_last))]  # type: ignore[call-overload]
    first, last = ({key: value.value for key, value in values.items()} for values in rows)
    assert last == pytest.approx(first, rel=1e-9, abs=1e-12)
