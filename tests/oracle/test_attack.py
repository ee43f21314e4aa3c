"""Attacks: where the worst change is known exactly, and against foolbox."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import DATASET, network
from ticketsearch.data.base import Data, Split
from ticketsearch.metrics.attack import BLOCK, Fgsm, Pgd, ascended, noise
from ticketsearch.metrics.base import EvalContext, Metric, Value
from ticketsearch.models.lenet import LeNet300
from ticketsearch.ticket import Mask

DATA = DATASET.load()
EPS = 8 / 255


class Linear(nn.Module):
    """Two classes with logits +- (w . x + b); class 0 is right where w . x + b > 0."""

    def __init__(self, weights: Tensor, bias: float) -> None:
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, pixels: Tensor) -> Tensor:
        margin = pixels.flatten(1) @ self.weights + self.bias
        return torch.stack([margin, -margin], 1)


def value(metric: Metric, model: nn.Module, test: Split) -> Value:
    nothing = EvalContext(Mask({}), {}, None, lambda split: torch.empty(0), DATASET)
    (found,) = metric(model.eval(), Data(test[:0], test[:0], test), nothing)
    return found


def linear_case(count: int, lowest: int, highest: int) -> tuple[Linear, Split, Tensor]:
    """A linear model, images with grey levels in a range, and their margins in float64, weighted by the true class."""
    rng = torch.Generator().manual_seed(1)
    weights = torch.randn(64, generator=rng)
    images = torch.randint(lowest, highest + 1, (count, 1, 8, 8), generator=rng, dtype=torch.uint8)
    bias = -float(images.double().mean() / 255 * weights.double().sum())
    margins = images.flatten(1).double() / 255 @ weights.double() + bias
    labels = (margins < 0).long()
    labels[::7] = 1 - labels[::7]  # some are wrong from the start
    return Linear(weights, bias), Split(images, labels), margins * (1 - 2 * labels)


METRICS = [
    (Fgsm(eps=4), "fgsm_accuracy", 4),
    (Pgd(eps=4, step=1), "pgd_accuracy", 4),
    (Pgd(eps=4, step=1, restarts=3), "pgd_accuracy", 4),
    (Fgsm(), "fgsm_accuracy", 8),
    (Pgd(), "pgd_accuracy", 8),
]


@pytest.mark.parametrize(("metric", "name", "eps"), METRICS)
def test_a_linear_model_loses_eps_times_the_sum_of_its_weights(metric: Metric, name: str, eps: float) -> None:
    # Ten steps of a quarter of eps reach the corner of the ball from wherever they start.
    model, test, margins = linear_case(2 * BLOCK + 100, 20, 235)  # so that no pixel is clipped
    left = margins - eps / 255 * float(model.weights.detach().double().abs().sum())
    assert left.abs().min() > 1e-5  # far from a rounding
    right = float((left > 0).double().mean())
    assert 0.1 < right < float((margins > 0).double().mean()) - 0.1
    found = value(metric, model, test)
    assert (found.name, found.better, found.split, found.variant) == (name, 1, "test", "")
    assert found.value == pytest.approx(right, abs=1e-12)
    assert found.stderr == pytest.approx(math.sqrt(right * (1 - right) / len(test)), rel=1e-9)


def test_pixels_stay_in_their_range() -> None:
    # Black and white images: what leads out of [0, 1] is not possible, so a pixel has one way to go or none.
    model, test, _ = linear_case(300, 0, 1)
    test = Split(test.images * 255, test.labels)
    pixels, towards = test.images.flatten(1).double() / 255, 2 * test.labels[:, None].double() - 1
    sign = towards * model.weights.detach().double().sign()
    moved = pixels + EPS * sign * ((sign > 0) == (pixels == 0))
    margin = (moved @ model.weights.detach().double() + model.bias) * -towards[:, 0]
    assert margin.abs().min() > 1e-5
    for metric in (Fgsm(), Pgd()):
        assert value(metric, model, test).value == pytest.approx(float((margin > 0).double().mean()), abs=1e-12)


def test_a_pixel_that_does_not_matter_stays() -> None:
    model, test, _ = linear_case(5, 20, 235)
    model.weights.data[:10] = 0
    pixels = test.images.float() / 255
    moved = ascended(model, pixels, test.labels, pixels, EPS, EPS, 1)
    assert torch.equal(moved.flatten(1)[:, :10], pixels.flatten(1)[:, :10])
    torch.testing.assert_close((moved - pixels).flatten(1)[:, 10:].abs(), torch.full((5, 54), EPS), rtol=0, atol=1e-6)


def test_the_first_images_are_attacked() -> None:
    model, test, margins = linear_case(90, 20, 235)
    left = margins[:30] - 4 / 255 * float(model.weights.detach().double().abs().sum())
    for metric in (Fgsm(30, 4), Pgd(30, 4, 1)):
        assert value(metric, model, test).value == pytest.approx(float((left > 0).double().mean()), abs=1e-12)


def test_no_numbers_give_no_accuracy() -> None:
    model, test, _ = linear_case(10, 20, 235)
    model.bias = math.nan
    assert math.isnan(value(Fgsm(), model, test).value)
    assert math.isnan(value(Pgd(restarts=2), model, test).value)


# Networks, in float64, where a rounding turns no sign.

NETWORKS = {"tiny": lambda: network(dtype=torch.float64), "lenet300": lambda: LeNet300().initial(DATASET, 0).double()}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """foolbox and what it imports warn of what is old in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def of_digits(count: int = 24) -> tuple[Tensor, Tensor]:
    return DATA.test.images[:count].double() / 255, DATA.test.labels[:count]


@every_network
@pytest.mark.parametrize("eps", [EPS, 0.3])
def test_fgsm_is_foolbox(name: str, eps: float) -> None:
    import foolbox

    model, (pixels, labels) = NETWORKS[name]().eval(), of_digits()
    mine = ascended(model, pixels, labels, pixels, eps, eps, 1)
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    theirs = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), pixels, labels, epsilon=eps)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert (mine - pixels).abs().amax((1, 2, 3)) == pytest.approx(np.full(len(pixels), eps), abs=1e-12)


@every_network
@pytest.mark.parametrize(("eps", "step", "steps"), [(EPS, 2 / 255, 10), (0.3, 0.07, 7)])
def test_pgd_from_the_image_is_foolbox(name: str, eps: float, step: float, steps: int) -> None:
    import foolbox

    model, (pixels, labels) = NETWORKS[name]().eval(), of_digits()
    mine = ascended(model, pixels, labels, pixels, eps, step, steps)
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=step, steps=steps, random_start=False)
    theirs = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), pixels, labels, epsilon=eps)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@every_network
def test_an_image_does_not_depend_on_the_others(name: str) -> None:
    model, (pixels, labels) = NETWORKS[name]().eval(), of_digits()
    start = (pixels + EPS * noise(pixels, 0, 0)).clamp(0, 1)
    together = ascended(model, pixels, labels, start, EPS, 2 / 255, 10)
    alone = [
        ascended(model, *(part[i : i + 1] for part in (pixels, labels, start)), EPS, 2 / 255, 10)
        for i in range(len(pixels))
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)
    assert (together - pixels).abs().max() <= EPS + 1e-12
    assert 0 <= together.min() <= together.max() <= 1


def test_no_parameter_gets_a_gradient_and_none_is_asked_of_the_caller() -> None:
    model, (pixels, labels) = network().eval(), of_digits(4)
    with torch.no_grad():
        moved = ascended(model, pixels.float(), labels, pixels.float(), EPS, EPS, 2)
    assert not moved.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# Random starts.


def test_starts_are_uniform_and_differ_by_image_block_and_restart() -> None:
    pixels = torch.zeros(BLOCK, 1, 8, 8)
    drawn = {key: noise(pixels, *key) for key in [(0, 0), (0, 1), (1, 0)]}
    assert len({tensor.numpy().tobytes() for tensor in drawn.values()}) == 3
    assert len({image.numpy().tobytes() for image in drawn[0, 0]}) == BLOCK
    for tensor in drawn.values():
        assert -1 <= tensor.min() < -0.999
        assert 0.999 < tensor.max() < 1
        error = 1 / math.sqrt(3 * tensor.numel())
        assert float(tensor.mean()) == pytest.approx(0, abs=5 * error)
        assert float(tensor.square().mean()) == pytest.approx(1 / 3, abs=5 * error)
    assert torch.equal(noise(pixels[:17], 0, 0), drawn[0, 0][:17])


def test_an_image_is_right_only_after_every_restart() -> None:
    """A model that no step can change: at each start some are right, and those right at both are fewer."""
    test = Split(DATA.test.images[:300], torch.zeros(300, dtype=torch.int64))

    class Start(nn.Module):
        """Right where the start of the first pixel is above the image's; the gradient is 0 everywhere."""

        def forward(self, pixels: Tensor) -> Tensor:
            up = pixels.flatten(1)[:, 27].sub(centre).sign()
            return torch.stack([up, -up], 1) + 0 * pixels.sum((1, 2, 3))[:, None]

    centre = test.images.flatten(1)[:, 27].float() / 255
    inner = (centre > 0) & (centre < 1)
    test, centre = Split(test.images[inner], test.labels[inner]), centre[inner]
    pixels = test.images.float() / 255
    above = [noise(pixels, restart, 0).flatten(1)[:, 27] > 0 for restart in (0, 1)]
    once, twice = float(above[0].double().mean()), float((above[0] & above[1]).double().mean())
    assert 0 < twice < once < 1
    assert value(Pgd(), Start(), test).value == pytest.approx(once, abs=1e-12)
    assert value(Pgd(restarts=2), Start(), test).value == pytest.approx(twice, abs=1e-12)
