"""Explanations: LIME's and captum's, a plain loop over images and samples, and networks whose answer is known."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.segmentation import felzenszwalb
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn

from tests.oracle.explained import FILE, PHOTOS, SAMPLES, Waves, table
from tests.tiny import DATASET, network
from ticketsearch.compose import compose
from ticketsearch.data.base import Data, Split
from ticketsearch.data.cifar import Cifar10
from ticketsearch.metrics import explanation, sweep
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.explanation import Explanation
from ticketsearch.metrics.segments import segmented
from ticketsearch.metrics.surrogate import nearness, ridge, switched
from ticketsearch.metrics.sweep import Sweep
from ticketsearch.ticket import Mask
from ticketsearch.training.predict import predict

Found = dict[tuple[str, str], Value]
ALL = {("fidelity", ""), ("fidelity", "weighted"), ("fidelity", "relative"), ("stability", ""), ("stability", "refit"),
       ("stability", "relative"), ("stability", "refit/relative")}  # fmt: skip
METRIC = Explanation(images=4, samples=SAMPLES, neighbours=3)
DIGITS = DATASET.load().test.images[:4]


@pytest.fixture(autouse=True)
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy of the network computes in float32, on every machine."""
    monkeypatch.setattr(sweep, "native_dtype", lambda _: torch.float32)


def measured(metric: Explanation, model: nn.Module, images: Tensor) -> Found:
    split = Split(images, torch.zeros(len(images), dtype=torch.int64))
    model.eval()
    ctx = EvalContext(Mask({}), {}, None, lambda part: predict(model, part), DATASET)
    values = metric(model, Data(split, split[:0], split), ctx)
    found = {(value.name, value.variant): value for value in values if value.name != "explanation_difference"}
    assert len(values) - len(found) <= 1
    return found


class Layer(nn.Module):
    """A network whose probability of the first class is a function of what the image shows.

    Args:
        probability: of images in [0, 1], [N, C, H, W].
    """

    def __init__(self, probability: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, pixels: Tensor) -> Tensor:
        first = self.probability(pixels)
        return torch.stack([first, 1 - first], 1).log()


# Libraries.


def test_coefficients_are_those_of_lime_and_of_captum() -> None:
    for number, (image, theirs) in enumerate(zip(PHOTOS, json.loads(FILE.read_text()), strict=True)):
        (map,), exact = segmented(image.unsqueeze(0), "auto"), predict(Waves(), Split(image[None], torch.zeros(1)))
        assert int(exact.argmax()) == theirs["label"]
        rows = METRIC._tables(number, int(map.max()) + 1, SAMPLES)
        assert torch.equal(rows[0], table(number, int(map.max()) + 1))
        run = Sweep(Waves(), image[None], exact)
        (found,) = explanation._probabilities(run, image[None], map[None], [rows], exact.argmax(1))
        own = METRIC._explained(rows[:1], found[:1], rows[:1, 0])
        for other in ("coefficients", "captum"):
            assert own.coefficients[0].tolist() == pytest.approx(theirs[other], abs=2e-6), other
        assert float(own.intercepts) == pytest.approx(theirs["intercept"], abs=2e-6)
        left = (own.weights * (own(rows[:1]) - found[:1]).square()).sum()
        level = (own.weights * found[:1]).sum() / own.weights.sum()
        spread = (own.weights * (found[:1] - level).square()).sum()
        assert 1 - float(left / spread) == pytest.approx(theirs["r2"], abs=1e-5)


# A plain loop.


def blocks(image: np.ndarray) -> np.ndarray:
    return np.array([[4 * (row // 2) + column // 2 for column in range(8)] for row in range(8)])


def superpixels(image: np.ndarray) -> np.ndarray:
    return felzenszwalb(image, scale=10, sigma=0.4, min_size=20)


def explained(rows: np.ndarray, targets: np.ndarray, centre: np.ndarray) -> tuple[Ridge, np.ndarray]:
    distance = pairwise_distances(rows, centre.reshape(1, -1), metric="cosine").ravel()
    weights = np.sqrt(np.exp(-(distance**2) / 0.25**2))
    return Ridge(alpha=1).fit(rows, targets, sample_weight=weights), weights


def plainly(model: nn.Module, images: Tensor, cut: Callable[[np.ndarray], np.ndarray], k: int) -> dict[str, np.ndarray]:
    """What is measured of each image, a sample at a time."""
    found = {name: [] for name in ("fidelity", "weighted", "variance", "fresh", "refit")}
    for number, image in enumerate(images):
        pixels = image.permute(1, 2, 0).numpy()
        segments = cut(pixels)
        label = int(predict(model, Split(image[None], torch.zeros(1))).argmax())

        def probability(row: np.ndarray, pixels=pixels, segments=segments, label=label) -> float:
            shown = pixels.copy()
            for place in range(segments.max() + 1):
                if not row[place]:
                    shown[segments == place] = 0
            with torch.no_grad():
                logits = model(torch.from_numpy(shown).permute(2, 0, 1)[None].float() / 255)
            return float(logits.double().softmax(1)[0, label])

        def sampled(centre: Tensor, n: int, number=number) -> np.ndarray:
            return switched(centre, SAMPLES, number, n).numpy()

        near = sampled(torch.ones(segments.max() + 1), 0)
        targets = np.array([probability(row) for row in near])
        own, weights = explained(near, targets, near[0])
        squares = (targets - own.predict(near)) ** 2
        fresh, refit = [], []
        for n in range(1, k + 1):
            rows = sampled(torch.from_numpy(near[n]), n)
            other, _ = explained(rows, np.array([probability(row) for row in rows]), near[n])
            fresh.append(((other.coef_ - own.coef_) ** 2).sum())
            order = np.r_[n, np.delete(np.arange(SAMPLES), n)]  # the released code permutes, and takes the first row
            other, _ = explained(near[order], targets[order], near[order][0])
            refit.append(((other.coef_ - own.coef_) ** 2).sum())
        numbers = (squares.mean(), np.average(squares, weights=weights), targets.var(), np.mean(fresh), np.mean(refit))
        for name, value in zip(found, numbers, strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize(
    ("model", "images", "cut"), [(network(), DIGITS, blocks), (Waves(), PHOTOS, superpixels)], ids=["digits", "photos"]
)
def test_values_are_those_of_a_plain_loop(model: nn.Module, images: Tensor, cut: object) -> None:
    found, each = measured(METRIC, model.eval(), images), plainly(model.eval(), images, cut, 3)
    assert found.keys() == ALL
    variance, root = each.pop("variance"), math.sqrt(len(images))
    names = {"fidelity": ("fidelity", ""), "weighted": ("fidelity", "weighted"), "fresh": ("stability", ""),
             "refit": ("stability", "refit")}  # fmt: skip
    for name, key in names.items():
        assert found[key].value == pytest.approx(each[name].mean(), rel=1e-4)
        assert found[key].stderr == pytest.approx(each[name].std() / root, rel=1e-4)
    relative = {("fidelity", "relative"): "fidelity", ("stability", "relative"): "fresh",
                ("stability", "refit/relative"): "refit"}  # fmt: skip
    for key, name in relative.items():
        ratio = each[name].mean() / variance.mean()
        assert found[key].value == pytest.approx(ratio, rel=1e-4)
        error = (each[name] - ratio * variance).std() / variance.mean() / root
        assert found[key].stderr == pytest.approx(error, rel=1e-4)


# Networks whose answer is known.


def test_what_is_linear_is_explained_whole() -> None:
    # The mean pixel is the sum of what each shown segment contributes.
    model = Layer(lambda pixels: 0.2 + 0.5 * pixels.mean((1, 2, 3)))
    found = measured(replace(METRIC, alpha=1e-9), model, DIGITS)
    for value in found.values():
        assert value.value == pytest.approx(0, abs=1e-6)
    assert measured(METRIC, model, DIGITS)["fidelity", ""].value > 1e-7  # by the published penalty not quite


def test_of_a_parity_nothing_is_explained() -> None:
    # No corner's block tells of the parity of four; the fit of 16 coefficients to 2,000 samples takes 0.8 % of it.
    def parity(pixels: Tensor) -> Tensor:
        lit = (pixels[:, 0, ::6, ::6] > 0).sum((1, 2)) % 2
        return 0.1 + 0.8 * lit.float()

    images = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    found = measured(replace(METRIC, samples=2000), Layer(parity), images)
    assert found["fidelity", "relative"].value == pytest.approx(1, abs=0.05)
    assert found["fidelity", ""].value == pytest.approx(0.16, rel=0.06)


def test_a_model_that_is_less_sure_has_lower_fidelity_and_the_same_relative_one() -> None:
    # p' = 0.1 p + 0.9 / 5: residuals, coefficients and deviations are all a tenth.
    class Unsure(Waves):
        def forward(self, pixels: Tensor) -> Tensor:
            return (0.1 * super().forward(pixels).double().softmax(1) + 0.18).log()

    sure, unsure = measured(METRIC, Waves(), PHOTOS), measured(METRIC, Unsure(), PHOTOS)
    for name, variant in ALL:
        if "relative" in variant:
            assert unsure[name, variant].value == pytest.approx(sure[name, variant].value, rel=1e-3)
            assert unsure[name, variant].stderr == pytest.approx(sure[name, variant].stderr, rel=1e-3)
        else:
            assert unsure[name, variant].value == pytest.approx(0.01 * sure[name, variant].value, rel=1e-3)


def test_small_logits_lower_fidelity_without_end_and_leave_the_relative_one_that_of_the_logits() -> None:
    # Softmax of small logits z is (1 + z - mean z) / C to first order, so that the limit explains z - mean z.
    found = [measured(METRIC, Waves(size), PHOTOS) for size in (2.0, 0.02, 0.002)]
    plain = [each["fidelity", ""].value for each in found]
    assert plain[0] > 5000 * plain[1]
    assert plain[1] / plain[2] == pytest.approx(100, rel=0.02)
    left, whole = [], []
    for number, (image, map) in enumerate(zip(PHOTOS, segmented(PHOTOS, "auto"), strict=True)):
        rows = table(number, int(map.max()) + 1)[None]
        with torch.no_grad():
            shown = image * rows[0].to(torch.uint8)[:, map].unsqueeze(1)
            logits = Waves(1.0)(shown / 255).double()
        targets = (logits - logits.mean(1, keepdim=True))[None, :, int(logits[0].argmax())]
        own = ridge(rows, targets, nearness(rows, rows[:, 0], 0.25), 1.0)
        left.append(float((own(rows) - targets).square().mean()))
        whole.append(float(targets.var(correction=0)))
    limit = sum(left) / sum(whole)
    assert found[2]["fidelity", "relative"].value == pytest.approx(limit, rel=0.02)
    assert limit > 1000 * plain[2]


def test_a_constant_model_has_nothing_to_explain() -> None:
    found = measured(METRIC, Layer(lambda pixels: torch.full((len(pixels),), 0.3)), DIGITS)
    assert {(value.value, value.stderr) for value in found.values()} == {(0.0, 0.0)}
    assert found.keys() == ALL


def test_an_image_of_one_segment_by_hand() -> None:
    # Samples that hide it weigh exp(-8) each, so that the penalty holds the coefficient down.
    blank = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    assert not segmented(blank, "auto").any()
    found = measured(METRIC, Layer(lambda pixels: 0.2 + 0.5 * pixels.mean((1, 2, 3))), blank)
    on = float(table(0, 1).sum())
    off = SAMPLES - on
    hidden = off * math.exp(-8)
    about = on * hidden / (on + hidden)
    slope, mean = 0.5 * about / (about + 1), on / (on + hidden)
    residuals = (0.5 - slope) * (1 - mean), (0.5 - slope) * mean
    by_hand = (on * residuals[0] ** 2 + off * residuals[1] ** 2) / SAMPLES
    assert found["fidelity", ""].value == pytest.approx(by_hand, rel=1e-5)
    assert found["fidelity", "relative"].value == pytest.approx(by_hand / (0.25 * on * off / SAMPLES**2), rel=1e-5)


def test_logits_that_are_no_numbers_give_none() -> None:
    found = measured(METRIC, Layer(lambda pixels: pixels.mean((1, 2, 3)) * math.nan), DIGITS)
    assert all(math.isnan(value.value) for value in found.values())


# How it is computed.


def test_what_is_hidden_is_black_and_the_label_is_that_of_the_whole_image() -> None:
    seen: list[Tensor] = []

    def noted(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return 0.9 * (pixels.mean((1, 2, 3)) > 0.9).float() + 0.05

    white = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    found = measured(replace(METRIC, images=1, stabilities=("refit",)), Layer(noted), white)
    shown = torch.cat(seen).unique(dim=0)
    assert shown.unique().tolist() == [0, 1]
    tiles = shown.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.equal(tiles.amin(4), tiles.amax(4))
    # The first class has 0.95 of the whole image, and the second of every other sample: of the likelier one, always.
    assert found["fidelity", ""].value > 1e-3


@pytest.mark.parametrize(("chunk", "few"), [(7, 20), (2000, 0), (333, 12)])
def test_values_do_not_depend_on_how_samples_go_together(chunk: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {key: measured(METRIC, Waves(), PHOTOS)[key].value for key in ALL}
    monkeypatch.setattr(explanation, "CHUNK", chunk)
    monkeypatch.setattr(explanation, "FEW", few)
    found = measured(METRIC, Waves(), PHOTOS)
    for key in ALL:
        assert found[key].value == pytest.approx(usual[key], rel=1e-5)


def test_what_is_shown_twice_goes_through_the_network_once() -> None:
    # Of 2x2 blocks of four rows and two columns there are 2, hence 4 images, whatever the number of samples.
    counts: list[int] = []

    def counted(pixels: Tensor) -> Tensor:
        counts.append(len(pixels))
        return 0.2 + 0.5 * pixels.amax((1, 2, 3))

    images = torch.full((3, 1, 4, 2), 255, dtype=torch.uint8)
    measured(replace(METRIC, images=3), Layer(counted), images)
    assert counts[-1] == 3 * 4
    assert max(counts) == 3 * 4


def test_an_image_counts_the_same_beside_whatever_others() -> None:
    one, two = PHOTOS[0], PHOTOS[1]
    of = {
        name: measured(METRIC, Waves(), torch.stack(images))
        for name, images in {"a": [one], "b": [two], "ab": [one, two], "bb": [two, two]}.items()
    }
    for key in [("fidelity", ""), ("stability", ""), ("stability", "refit")]:
        a, b, ab, bb = (of[name][key].value for name in ("a", "b", "ab", "bb"))
        assert ab - bb == pytest.approx((a - b) / 2, abs=1e-5 * a)  # sums in float32 depend on what goes together
        assert bb != pytest.approx(b, rel=1e-4)  # each place draws samples of its own


def test_the_first_of_the_stabilities_has_no_variant() -> None:
    both = measured(METRIC, Waves(), PHOTOS)
    other = measured(replace(METRIC, stabilities=("refit",)), Waves(), PHOTOS)
    assert other.keys() == ALL - {("stability", "refit"), ("stability", "refit/relative")}
    assert other["stability", ""] == replace(both["stability", "refit"], variant="")
    assert other["fidelity", ""] == both["fidelity", ""]


def test_as_published_is_the_refit_of_a_thousand_images() -> None:
    found = compose(["metrics=as_published", "dataset=cifar10"]).metrics["explanation"]
    assert found == Explanation(images=1000, samples=1000, neighbours=5, stabilities=("refit",))
    assert (found.width, found.alpha, found.segments) == (0.25, 1.0, "auto")


def test_how_many_follows_the_dataset() -> None:
    assert (Explanation().suited(DATASET).images, Explanation().suited(DATASET).samples) == (20, 100)
    cifar = Explanation().suited(Cifar10())
    assert (cifar.images, cifar.samples) == (100, 1000)
    few = Explanation().suited(replace(DATASET, sample=3))
    assert (few.images, few.samples) == (1, 6)
    typed = Explanation(images=7, samples=70).suited(Cifar10())
    assert (typed.images, typed.samples) == (7, 70)
    found = measured(Explanation(), network(), DATASET.load().test.images[:30])
    assert found == measured(Explanation(images=20, samples=100), network(), DATASET.load().test.images[:20])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="5 samples hold no more than 4 neighbours of an image"):
        Explanation(samples=5)
    with pytest.raises(ValueError, match="stabilities lists something twice: fresh, fresh"):
        Explanation(stabilities=("fresh", "fresh"))
