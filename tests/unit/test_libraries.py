"""Networks of libraries: what is found, what is refused in words, and that nothing in them is drawn in training."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ticketsearch.data.digits import Digits
from ticketsearch.errors import UsageError
from ticketsearch.models.base import Normalise
from ticketsearch.models.libraries import Timm, Torchvision
from ticketsearch.ticket import prunable_layers


def built(name: str, side: int = 32, channels: int = 3, classifier: str | None = None) -> nn.Module:
    normalise = Normalise([0.4] * channels, [0.2] * channels)
    return Torchvision(name, classifier).build((channels, side, side), 10, normalise)


@pytest.mark.parametrize(
    ("name", "classifier"),
    [("shufflenet_v2_x0_5", "fc"), ("mobilenet_v3_small", "classifier.3"), ("mnasnet0_5", "classifier.1")],
)
def test_the_classifier_is_the_layer_that_gives_the_logits(name: str, classifier: str) -> None:
    network = built(name)
    assert network.classifier == f"network.{classifier}"
    assert network.training
    assert f"network.{classifier}.weight" not in prunable_layers(network)


def test_it_is_the_librarys_network_behind_the_normalisation() -> None:
    from torchvision import models

    network, theirs = built("shufflenet_v2_x0_5").eval(), models.shufflenet_v2_x0_5(num_classes=10).eval()
    theirs.load_state_dict({name.removeprefix("network."): value for name, value in network.state_dict().items()})
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(pixels), theirs((pixels - 0.4) / 0.2), rtol=0, atol=1e-6)


def test_grey_images_are_repeated_over_three_channels() -> None:
    grey, colour = built("shufflenet_v2_x0_5", 8, 1).eval(), built("shufflenet_v2_x0_5", 8).eval()
    colour.load_state_dict(grey.state_dict())
    pixels = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grey(pixels), colour(pixels.repeat(1, 3, 1, 1)))


def test_another_layer_can_be_named_and_one_that_is_not_there_is_refused() -> None:
    assert built("squeezenet1_1", classifier="classifier.1").classifier == "network.classifier.1"
    with pytest.raises(UsageError, match=r"squeezenet1_1 has no convolution or linear layer 'clasifier\.1'") as told:
        built("squeezenet1_1", classifier="clasifier.1")
    assert told.value.right == "did you mean 'classifier.1'?"
    assert told.value.attempt.endswith("model.name=squeezenet1_1 model.classifier=classifier.1")


@pytest.mark.parametrize(
    ("name", "side", "what", "right", "attempt"),
    [
        ("shufflenet_v2_x0_4", 8, "torchvision has no network 'shufflenet_v2_x0_4'", "did you", "shufflenet_v2_x0_5"),
        ("shufflenetv3", 8, "torchvision has no network", "did you mean", "model.name=shufflenet_v2"),
        ("zzz", 8, "torchvision has no network 'zzz'", "knows 80 others", "model.name=resnet18"),
        ("squeezenet1_1", 8, "takes no images of 3x8x8", "too small", "model=torchvision"),
        ("squeezenet1_1", 32, "gives logits that no layer gives", "say which", "model.classifier=classifier.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_told(name: str, side: int, what: str, right: str, attempt: str) -> None:
    with pytest.raises(UsageError) as told:
        built(name, side)
    assert what in told.value.what
    assert right in told.value.right
    assert attempt in told.value.attempt


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_nothing_is_dropped_at_random(name: str) -> None:
    """`efficientnet_b0` has both dropout and stochastic depth."""
    network, pixels = built(name), torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_rng_state(), []
    for _ in range(2):
        found.append(network(pixels))
    assert torch.equal(found[0], found[1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["googlenet"])
def test_a_network_with_auxiliary_classifiers_has_one_output_in_training(name: str) -> None:
    with torch.device("meta"):
        assert built(name, 64)(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_names_are_those_of_the_library() -> None:
    assert {"resnet18", "vit_b_16", "convnext_tiny"} <= set(Torchvision().known())
    assert not {"fasterrcnn_resnet50_fpn", "fcn_resnet50"} & set(Torchvision().known())


# timm, which may not be here.


def test_without_timm_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError) as told:
        Timm().initial(Digits(), 0)
    assert str(told.value).splitlines() == [
        "error: timm is not installed",
        "  it comes with the extra `timm`; model=torchvision needs nothing more",
        "  try: pip install 'ticketsearch[timm]'",
    ]


def test_the_extra_is_one_of_the_packages() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert [line for line in extras["timm"] if line.startswith("timm")]
    assert any("timm" in line for line in extras["dev"])


def test_timm_makes_the_network_for_the_channels_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: what it is asked for."""
    asked = dict[str, Any]()

    def create(name: str, **settings: Any) -> nn.Module:
        asked.update(name=name, **settings)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, settings["num_classes"]))

    library = SimpleNamespace(list_models=lambda: ["one", "resnet18"], create_model=create)
    monkeypatch.setattr(importlib, "import_module", lambda name: {"timm": library}[name])
    network = Timm("one").initial(Digits(), 0)
    assert asked == {"name": "one", "pretrained": False, "num_classes": 10, "in_chans": 1}
    assert network.classifier == "network.3"
    assert network.network[2].p == 0
