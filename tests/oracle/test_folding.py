"""The fast copy of a model: what it folds, against the model itself in float64, and when it is not used."""

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import DATASET, network, same, weights_of
from ticketsearch.metrics import sweep
from ticketsearch.metrics.sweep import TOLERANCE, Sweep, folded
from ticketsearch.models.lenet import LeNet300
from ticketsearch.models.resnet import SmallImageResNet
from ticketsearch.models.vgg import SmallImageVGG

IMAGES = DATASET.load().test.images[:120]


def settled(model: nn.Module) -> nn.Module:
    """With statistics of images that were seen, and scales and shifts that are not one and zero."""
    generator = torch.Generator().manual_seed(1)
    model.train()
    for part in IMAGES.split(40):
        model(part / 255)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    return model.eval().requires_grad_(True)


def exact(model: nn.Module, images: Tensor = IMAGES) -> Tensor:
    with torch.no_grad():
        return model(images / 255)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


class Twice(nn.Module):
    """The first convolution's output is read by a batch norm and by a sum; the second's by a batch norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, pixels: Tensor) -> Tensor:
        before = self.first(pixels)
        return (self.last(self.second(self.norm(before).relu())) + before).mean((2, 3))


class Again(nn.Module):
    """One convolution that is used twice, with a batch norm behind each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.BatchNorm2d(1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.two(self.conv(self.one(self.conv(pixels)).relu())).flatten(1)[:, :10]


def test_a_convolution_and_its_norm_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0))
    model[0].weight.data.fill_(3.0)
    model[1].running_mean.fill_(0.5)
    model[1].running_var.fill_(4.0)
    model[1].weight.data.fill_(2.0)
    model[1].bias.data.fill_(1.0)
    one = folded(model.eval(), torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    assert isinstance(one[1], nn.Identity)  # 2 (3 x - 0.5) / 2 + 1 = 3 x + 0.5
    assert [float(one[0].weight.detach()), float(one[0].bias.detach())] == pytest.approx([3.0, 0.5])


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (lambda: SmallImageResNet(depth=20).initial(DATASET, 0), 0),
        (lambda: SmallImageVGG(depth=11).initial(DATASET, 0), 0),
        (lambda: LeNet300().initial(DATASET, 0), 0),
        (Twice, 1),
        (Again, 2),
    ],
    ids=["resnet", "vgg", "lenet", "read twice", "used twice"],
)
def test_folding_changes_nothing_but_roundings(build, left: int) -> None:
    model = settled(build()).double()
    before, modes = weights_of(model), [module.training for module in model.modules()]
    one = folded(_Float64(model), IMAGES[:1])
    torch.testing.assert_close(exact(one), exact(_Float64(model)), rtol=1e-10, atol=1e-10)
    assert norms(one) == left
    assert same(weights_of(model), before)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in one.modules())


class _Float64(nn.Module):
    """Images come as float32; roundings are to be those of float64."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_says_what_the_model_says(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "native_dtype", lambda _: dtype)
    model = settled(network())
    one = Sweep(model, IMAGES, exact(model))
    assert one.fast
    assert 0 < one.difference <= TOLERANCE[dtype]
    assert one.logits(IMAGES).dtype is torch.float32
    apart = (one.logits(IMAGES) - exact(model)).norm() / (exact(model) - exact(model).mean(0)).norm()
    assert one.difference == pytest.approx(float(apart))


def test_batches_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "native_dtype", lambda _: torch.float32)
    model = settled(network())
    one = Sweep(model, IMAGES, exact(model))
    at_once = one.logits(IMAGES)
    monkeypatch.setattr(sweep, "BATCH", 7)
    torch.testing.assert_close(one.logits(IMAGES.flip(0)).flip(0), at_once, rtol=1e-4, atol=1e-5)


def test_on_a_cpu_large_images_go_through_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            counts.append(len(pixels))
            return pixels.flatten(1)[:, :10]

    for side, together in ((8, 500), (32, 128), (400, 8)):
        images = torch.randint(256, (600 if side < 400 else 20, 1, side, side), dtype=torch.uint8)
        counts: list[int] = []
        one = Sweep(Counted(), images, images.flatten(1)[:, :10] / 255)
        assert max(counts) == together
        counts.clear()
        one.logits(images)
        assert counts[:-1] == [together] * (len(images) // together)
        assert sum(counts) == len(images)


def test_a_copy_that_says_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = settled(network())
    wrong = settled(network(1))
    monkeypatch.setattr(sweep, "folded", lambda *_: wrong)
    one = Sweep(model, IMAGES, exact(model))
    assert not one.fast
    assert one.difference > 0.05
    assert torch.equal(one.logits(IMAGES), exact(model))


def test_logits_that_are_no_numbers_are_not_trusted() -> None:
    model = settled(network())
    model.get_parameter(f"{model.classifier}.weight").data.fill_(float("nan"))
    assert not Sweep(model, IMAGES, exact(model)).fast


def test_an_id_that_is_given_again_is_of_another_tensor() -> None:
    """A batch norm reads a sum, the sum is gone, and a convolution's output that a sum reads has its id."""
    readers, conv, norm, tensor = sweep._Readers(), nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), torch.zeros(1, 3, 2, 2)
    readers.read(norm, (tensor,))
    readers.made(conv, None, tensor)
    with readers:
        _ = tensor + 1
    assert list(readers.pairs()) == []
    readers.made(other := nn.Conv2d(1, 3, 1), None, again := torch.zeros(1, 3, 2, 2))
    readers.read(norm, (again,))
    with readers:
        _ = again + 1
    assert list(readers.pairs()) == [(other, norm)]
