"""Out-of-distribution detection: by hand, against scikit-learn and torchmetrics, DeLong's error by definition."""

import math
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from tests.tiny import DATASET, network
from ticketsearch.data.base import Data, Split
from ticketsearch.data.ood import images
from ticketsearch.data.stored import ROOT
from ticketsearch.metrics.base import EvalContext, Value
from ticketsearch.metrics.ood import SCORES, Ood, Score, auroc, average_precision, fpr_at_tpr
from ticketsearch.ticket import Mask
from ticketsearch.training.predict import predict


def of(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# By hand.


def test_auroc_and_its_error_by_hand() -> None:
    # 3 is above both negatives, 2 above one and level with the other: placements 1 and 3/4. From the other side 1 has
    # both positives above it, 2 one and a half: 1 and 3/4. Each variance is 2 (1/8)^2 / 1 = 1/32, over two images.
    area, error = auroc(of(3, 2), of(1, 2))
    assert area == 0.875
    assert error == pytest.approx(math.sqrt(1 / 64 + 1 / 64), rel=1e-12)


@pytest.mark.parametrize(
    ("positives", "negatives", "area", "error"),
    [((2, 3), (0, 1), 1, 0), ((0, 1), (2, 3), 0, 0), ((5, 5), (5, 5), 0.5, 0), ((0, 2), (1, 1), 0.5, 0.5)],
)
def test_auroc_of_the_extremes(
    positives: tuple[float, ...], negatives: tuple[float, ...], area: float, error: float
) -> None:
    assert auroc(of(*positives), of(*negatives)) == (area, error)


@pytest.mark.parametrize(("positives", "negatives"), [((2,), (0, 1)), ((2, 3), (1,))])
def test_one_image_has_no_error(positives: tuple[float, ...], negatives: tuple[float, ...]) -> None:
    assert auroc(of(*positives), of(*negatives)) == (1, None)


def test_average_precision_by_hand() -> None:
    assert average_precision(of(3, 1), of(2)) == pytest.approx((1 + 2 / 3) / 2, rel=1e-15)
    assert average_precision(of(2, 1), of(2)) == pytest.approx((1 / 2 + 2 / 3) / 2, rel=1e-15)  # level: both accepted
    assert average_precision(of(5, 5), of(5, 5)) == 0.5


def test_fpr_by_hand() -> None:
    # Nineteen of twenty are accepted from 2 on, and so are the negatives 2 and 5.
    assert fpr_at_tpr(of(*range(1, 21)), of(1.5, 2, 5)) == pytest.approx(2 / 3, rel=1e-15)
    # Of 21 nineteen are too few (90.5 %): twenty, from 2 on.
    assert fpr_at_tpr(of(*range(1, 22)), of(1.5, 2, 5)) == pytest.approx(2 / 3, rel=1e-15)
    assert fpr_at_tpr(of(*range(1, 20)), of(1.5, 2, 5)) == 1  # of nineteen all
    assert fpr_at_tpr(of(1, 1, 1), of(1, 0)) == 0.5  # a score at the threshold is accepted


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 40, 60, 100, 140, 397, 2000])
def test_the_threshold_is_the_greatest_that_accepts_95_percent(count: int) -> None:
    positives, needed = torch.arange(count).double(), Fraction(95, 100)
    accepted = next(k for k in range(1, count + 1) if Fraction(k, count) >= needed)
    threshold = count - accepted  # positives are 0, 1, ...
    assert fpr_at_tpr(positives, of(threshold)) == 1
    assert fpr_at_tpr(positives, of(threshold - 0.5)) == 0


# Against libraries.


def case(kind: str) -> tuple[Tensor, Tensor]:
    """Scores of 331 positives and 217 negatives that overlap."""
    rng = np.random.default_rng(3)
    positives, negatives = rng.normal(1, 1, 331), rng.normal(0, 1, 217)
    if kind == "near 40":  # energies of a confident network
        positives, negatives = 40 + positives, 40 + negatives
    if kind == "ties":
        positives, negatives = np.round(positives), np.round(negatives)
    if kind == "probabilities":
        positives, negatives = 1 / (1 + np.exp(-positives)), 1 / (1 + np.exp(-negatives))
    return torch.from_numpy(positives), torch.from_numpy(negatives)


KINDS = ("plain", "near 40", "ties", "probabilities")


def joined(positives: Tensor, negatives: Tensor) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([1, 0], [len(positives), len(negatives)])
    return truth, torch.cat([positives, negatives]).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_areas_are_those_of_scikit_learn(kind: str) -> None:
    positives, negatives = case(kind)
    truth, scores = joined(positives, negatives)
    assert auroc(positives, negatives)[0] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert average_precision(positives, negatives) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_areas_are_those_of_torchmetrics_for_probabilities() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.functional.classification import binary_auroc, binary_average_precision
    positives, negatives = case("probabilities")
    truth, scores = map(torch.from_numpy, joined(positives, negatives))
    assert auroc(positives, negatives)[0] == pytest.approx(float(binary_auroc(scores, truth)), abs=1e-6)  # its float32
    found = average_precision(positives, negatives)
    assert found == pytest.approx(float(binary_average_precision(scores, truth)), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_fpr_is_that_of_every_threshold_tried(kind: str) -> None:
    positives, negatives = (scores.numpy() for scores in case(kind))
    fine = [t for t in np.unique(positives) if 100 * int((positives >= t).sum()) >= 95 * len(positives)]
    assert fpr_at_tpr(*case(kind)) == (negatives >= max(fine)).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_delongs_by_its_definition(kind: str) -> None:
    positives, negatives = case(kind)
    psi = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in negatives.tolist()] for x in positives.tolist()])
    by_positive, by_negative = psi.mean(1), psi.mean(0)
    variance = by_positive.var(ddof=1) / len(positives) + by_negative.var(ddof=1) / len(negatives)
    assert auroc(positives, negatives)[1] == pytest.approx(math.sqrt(variance), rel=1e-10)


def test_the_error_is_that_of_drawing_again() -> None:
    # 2,000 draws know their own deviation to 1 / sqrt(4000) = 1.6 %; five of these.
    positives, negatives = case("plain")
    rng = torch.Generator().manual_seed(0)
    areas = [
        auroc(*(x[torch.randint(len(x), (len(x),), generator=rng)] for x in (positives, negatives)))[0]
        for _ in range(2000)
    ]
    assert auroc(positives, negatives)[1] == pytest.approx(float(np.std(areas)), rel=0.08)


# Scores.


def test_scores_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [5, 5]], dtype=torch.float64)
    assert SCORES["max_softmax"](logits).tolist() == pytest.approx([0.75, 0.5], rel=1e-14)
    assert SCORES["max_logit"](logits).tolist() == pytest.approx([math.log(3), 5], rel=1e-14)
    assert SCORES["energy"](logits).tolist() == pytest.approx([math.log(4), 5 + math.log(2)], rel=1e-14)


def test_scores_of_sure_networks_are_told_apart_beyond_float32() -> None:
    # Margins of 20 and 30: in float32 both have a probability of 1; in float64 both differ from it.
    values = detect(torch.tensor([[30.0, 0.0]] * 2), torch.tensor([[20.0, 0.0]] * 2))
    assert values["ood_auroc", ""].value == 1
    # Of margins of 1,000 and 2,000 the probability is 1 in float64 too: level. The logits differ.
    values = detect(torch.tensor([[2000.0, 0.0]] * 2), torch.tensor([[1000.0, 0.0]] * 2))
    assert values["ood_auroc", ""].value == 0.5
    assert values["ood_auroc", "gaussian/max_logit"].value == values["ood_auroc", "gaussian/energy"].value == 1


def test_scores_that_are_no_numbers_give_no_values() -> None:
    values = detect(torch.tensor([[1.0, 0.0], [math.nan, 0.0]]), torch.tensor([[1.0, 0.0]] * 2))
    assert len(values) == 9
    assert all(math.isnan(value.value) and not value.skipped for value in values.values())


def detect(inside: Tensor, outside: Tensor) -> dict[tuple[str, str], Value]:
    """What the metric says of logits that a test writes down."""
    data = DATASET.load()
    data = Data(data.train, data.val, data.test[: len(inside)])
    ctx = EvalContext(Mask({}), {}, None, lambda split: outside, DATASET, {"test": inside})
    values = Ood(("gaussian",), len(inside))(nn.Identity(), data, ctx)
    return {(value.name, value.variant): value for value in values}


# The whole metric.


def whole(metric: Ood, tests: int = 60) -> tuple[dict[tuple[str, str], Value], nn.Module, Data]:
    model, data = network().eval(), DATASET.load()
    data = Data(data.train, data.val, data.test[:tests])
    values = metric(model, data, EvalContext(Mask({}), {}, None, lambda split: predict(model, split), DATASET))
    found = {(value.name, value.variant): value for value in values}
    assert len(found) == len(values)
    return found, model, data


def by_numpy(model: nn.Module, pictures: Tensor, score: Score) -> np.ndarray:
    """Scores of images."""
    logits = predict(model, Split(pictures, torch.zeros(len(pictures)))).numpy().astype(np.float64)
    energy = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    return {"max_softmax": np.exp(logits.max(1) - energy), "max_logit": logits.max(1), "energy": energy}[score]


def test_every_value_is_that_of_its_set_and_score() -> None:
    values, model, data = whole(Ood(("patches", "gaussian"), 40))
    variants = {"patches": ["", "patches/max_logit", "patches/energy"]}
    variants["gaussian"] = ["gaussian", "gaussian/max_logit", "gaussian/energy"]
    names = ("ood_auroc", "ood_aupr", "ood_fpr95")
    assert set(values) == {(name, variant) for each in variants.values() for variant in each for name in names}
    for name, each in variants.items():
        foreign = images(name, DATASET.shape, 40, Path(), torch.device("cpu"))
        for score, variant in zip(SCORES, each, strict=True):
            inside, outside = by_numpy(model, data.test.images[:40], score), by_numpy(model, foreign, score)
            truth, scores = np.repeat([1, 0], 40), np.r_[inside, outside]
            assert values["ood_auroc", variant].value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
            assert values["ood_aupr", variant].value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
            assert values["ood_fpr95", variant].value == (outside >= np.sort(inside)[2]).mean()  # 38 of 40 are accepted
            assert values["ood_auroc", variant].stderr > 0


def test_the_first_set_and_score_are_the_ones_that_figures_show() -> None:
    values, *_ = whole(Ood(("gaussian", "patches"), 20, ("energy", "max_softmax")))
    assert {v for _, v in values} == {"", "gaussian/max_softmax", "patches", "patches/max_softmax"}
    other, *_ = whole(Ood(("patches", "gaussian"), 20))
    for name in ("ood_auroc", "ood_aupr", "ood_fpr95"):
        assert values[name, ""].value == other[name, "gaussian/energy"].value
        assert values[name, "patches"].value == other[name, "patches/energy"].value


def test_no_more_images_are_looked_at_than_there_are() -> None:
    values, *_ = whole(Ood(("gaussian",), 60), 30)
    assert values == whole(Ood(("gaussian",), 30), 30)[0]  # of the other set neither, or AUPR would depend on it


def test_a_set_that_is_not_there_is_skipped_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    metric = Ood(("svhn", "gaussian"), 20)
    values, *_ = whole(metric)
    skipped = {variant for (_, variant), value in values.items() if value.skipped}
    assert skipped == {"", "svhn/max_logit", "svhn/energy"}
    (reason,) = metric.lacks(DATASET)
    assert {value.skipped for value in values.values()} == {"", reason}
    assert "svhn" in reason
    assert "test_32x32.mat" in reason
    assert all(math.isnan(value.value) == bool(value.skipped) for value in values.values())
    assert values["ood_auroc", "gaussian"] == whole(Ood(("patches", "gaussian"), 20))[0]["ood_auroc", "gaussian"]


def test_what_is_left_open_is_the_datasets() -> None:
    metric = Ood().suited(DATASET)
    assert (metric.sets, metric.images) == (DATASET.ood, DATASET.sample) == (("patches", "gaussian"), 200)
    assert Ood(("gaussian",), 7).suited(DATASET) == Ood(("gaussian",), 7)
    assert metric.suited(replace(DATASET, sample=9)) == metric
