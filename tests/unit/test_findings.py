"""The paper's findings on rows made so that they hold, do not, or cannot be told."""

import pytest

from tests.unit.rows import curve, frame
from ticketsearch.analysis.criteria import METRICS, Settings
from ticketsearch.analysis.findings import Finding, findings
from ticketsearch.analysis.verdict import verdict

ROUNDS = range(13)  # to 93 %
DOWN = {"mce", "ece", "fidelity", "stability", "hessian_trace_weight"}
# Loss of accuracy per round: LTH stays in Region I throughout.
LOSS = {"lth": 0.0005, "omp": 0.002, "snip": 0.01, "random": 0.011}


def curves(cell: str = "cifar10-resnet18", pruners: dict[str, float] | None = None, **values: dict[str, float]) -> list:
    """Accuracy of each pruner, and other metrics: pruner -> change per round; dense is at 1."""
    made = []
    for pruner, loss in (LOSS if pruners is None else pruners).items():
        run = f"{cell}-{pruner}-00000000"
        made += curve(run, {n: 0.95 - loss * n for n in ROUNDS})
        for metric, changes in values.items():
            better = -1.0 if metric in DOWN else 1.0
            made += curve(run, {n: 1 + changes[pruner] * n for n in ROUNDS}, metric=metric, better=better)
    return made


def found(*rows: dict, metrics: tuple[str, ...] = METRICS) -> list[Finding]:
    return findings(verdict(frame(*rows), Settings(metrics=metrics)))


def outcome(rows: list, finding: str, where: str = "") -> str:
    (one,) = (one for one in found(*rows) if finding in one.finding and where in one.where)
    return one.outcome


def test_the_order_of_pruners() -> None:
    assert outcome(curves(), "LTH > OMP", "accuracy") == "holds"
    assert outcome(curves(), "OMP >", "accuracy") == "holds"
    assert outcome(curves(pruners=LOSS | {"omp": 0.0001}), "LTH > OMP", "accuracy") == "does not hold"
    assert outcome(curves(pruners=LOSS | {"snip": 0.001}), "OMP >", "accuracy") == "does not hold"


def test_less_is_better_where_rows_say_so() -> None:
    rises = {"lth": 0.01, "omp": 0.02, "snip": 0.05, "random": 0.05}
    assert outcome(curves(mce=rises), "LTH > OMP", "mce") == "holds"
    assert outcome(curves(ood_auroc=rises), "LTH > OMP", "ood_auroc") == "does not hold"


def test_at_init_is_like_random_when_it_is_nearer_to_that_than_to_omp() -> None:
    assert outcome(curves(), "at init ~ random", "accuracy") == "holds"
    assert outcome(curves(pruners=LOSS | {"snip": 0.003}), "at init ~ random", "accuracy") == "does not hold"


def test_what_lth_improves_up_to_80_percent() -> None:
    up = dict.fromkeys(LOSS, 0.01)
    assert outcome(curves(ood_auroc=up), "LTH improves", "ood_auroc") == "holds"
    assert outcome(curves(mce=up), "LTH improves", "mce") == "does not hold"


@pytest.mark.parametrize(
    ("model", "metric", "change", "expected"),
    [
        ("resnet18", "fidelity", -0.01, "holds"), ("resnet18", "fidelity", 0.01, "does not hold"),
        ("resnet20", "ece", -0.01, "holds"), ("resnet20", "ece", 0.01, "does not hold"),
        ("resnet18", "ece", -0.01, "does not hold"), ("resnet18", "ece", 0.01, "holds"),
    ],
)  # fmt: skip
def test_what_seems_better_while_accuracy_falls(model: str, metric: str, change: float, expected: str) -> None:
    rows = curves(f"cifar10-{model}", **{metric: dict.fromkeys(LOSS, change)})
    assert outcome(rows, "beyond 80 %", metric) == expected


def test_within_region_i_nothing_only_seems_better() -> None:
    rows = curves(pruners=dict.fromkeys(LOSS, 0.0), fidelity=dict.fromkeys(LOSS, -0.01))
    assert outcome(rows, "beyond 80 %", "fidelity") == "unknown"


def test_the_trace_explodes_without_lth() -> None:
    rises = {"lth": 0.05, "omp": 0.1, "snip": 0.3, "random": 0.3}  # at round 12: 1.6, 4.6 times dense
    assert outcome(curves(hessian_trace_weight=rises), "explode") == "holds"
    assert outcome(curves(hessian_trace_weight=rises | {"lth": 0.08}), "explode") == "does not hold"
    assert outcome(curves(hessian_trace_weight=rises | {"random": 0.16}), "explode") == "does not hold"


def test_cifar_100_is_harder() -> None:
    worse = {pruner: 2 * loss for pruner, loss in LOSS.items()}
    assert outcome([*curves(), *curves("cifar100-resnet18", worse)], "harder") == "holds"
    assert outcome([*curves("cifar100-resnet18"), *curves(pruners=worse)], "harder") == "does not hold"
    assert outcome(curves(), "harder") == "unknown"


def test_the_wide_resnet_tolerates_the_most() -> None:
    less = {pruner: loss / 2 for pruner, loss in LOSS.items()}
    assert outcome([*curves(), *curves("cifar10-wrn28_10", less)], "tolerates") == "holds"
    rows = [*curves(), *curves("cifar10-wrn28_10", less | {"snip": 0.02})]
    (one,) = (one for one in found(*rows) if "tolerates" in one.finding)
    assert (one.outcome, one.numbers) == ("does not hold", "3 of 4 comparisons; not snip 0 < 1 of resnet18")
    assert outcome(curves("cifar10-wrn28_10"), "tolerates") == "unknown"


def test_rigl_is_the_sharpest_and_the_most_accurate() -> None:
    pruners, sharp = {"lth": 0.0005, "rigl": 0.0}, {"lth": 0.1, "rigl": 0.2}
    rows = curves("imagenet-resnet50", pruners, hessian_trace_weight=sharp)
    assert outcome(rows, "RigL") == "holds"
    assert outcome(curves("imagenet-resnet50", pruners, hessian_trace_weight={"lth": 0.2, "rigl": 0.1}), "RigL") == (
        "does not hold"
    )
    assert outcome(curves("imagenet-resnet50", {"rigl": 0.001, "lth": 0.0005}, hessian_trace_weight=sharp), "RigL") == (
        "does not hold"
    )


def test_what_is_lacking_is_named() -> None:
    one = next(one for one in found(*curves(pruners={"lth": 0.0})) if one.finding == "LTH > OMP")
    assert (one.outcome, one.numbers) == ("unknown", "lacking: lth beside omp")


def test_two_runs_of_a_pruner_are_not_chosen_from() -> None:
    twin = curve("cifar10-resnet18-lth-11111111", {n: 0.95 for n in ROUNDS})
    assert outcome([*curves(), *twin], "LTH > OMP", "accuracy") == "unknown"


def test_rigl_alone_is_not_the_sharpest_of_all() -> None:
    rows = curves("imagenet-resnet50", {"rigl": 0.001}, hessian_trace_weight={"rigl": 0.1})
    assert outcome(rows, "RigL sharpest") == "unknown"
