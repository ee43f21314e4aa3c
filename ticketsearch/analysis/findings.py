"""The findings of Chen et al. ("Can You Win Everything with A Lottery Ticket?", TMLR 2022), as checks on rows.

The paper words them without numbers; every threshold here is ours and is a constant below. `gain` is the ticket's value
less the dense model's, turned so that more is better; rounds are compared where both runs have the same sparsity.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ticketsearch.analysis.controls import DIGITS
from ticketsearch.analysis.criteria import JOINT
from ticketsearch.analysis.passing import percent
from ticketsearch.analysis.verdict import Verdict

Outcome = Literal["holds", "does not hold", "unknown"]

LTH, OMP, RANDOM, RIGL = "lth", "omp", "random", "rigl"
AT_INIT = ("snip", "grasp", "synflow")
"""Pruning at initialisation, as far as the paper has it."""
PRUNERS = (LTH, OMP, RANDOM, RIGL, *AT_INIT)
KEY = ["pruner", "metric"]
RANKED = ("accuracy", "mce", "ood_auroc")
MODERATE = 0.80
"""Up to this sparsity LTH is said to improve mCE and OoD detection."""
HIGH = MODERATE
"""Beyond this sparsity pruning at initialisation and random pruning are said to look better calibrated and more
interpretable while their accuracy falls. The paper's panels of ResNet-20 end at 83 and 89 %."""
EXPLODES = 3.0
"""A trace that is more than this many times the dense one explodes."""
STAYS = 0.25
"""LTH stays at the dense level if it rises by at most this fraction of what random pruning rises by."""
SMALL_RESNET, WIDE = "resnet20", "wrn"
EASY, HARD, IMAGENET = "cifar10", "cifar100", "imagenet"


@dataclass(frozen=True)
class Finding:
    """A finding in one place.

    Attributes:
        finding: what the paper says, in a few words.
        where: dataset and model, or what else it is about.
        outcome: `unknown` where rows are lacking.
        numbers: what decided it; of an unknown one, what is lacking.
    """

    finding: str
    where: str
    outcome: Outcome
    numbers: str


Runs = Mapping[str, str]
"""Pruner -> run, in one cell; a pruner with several runs there is not in it."""


@dataclass(frozen=True)
class _Cell:
    """The tickets of one dataset and model."""

    dataset: str
    model: str
    runs: Runs
    lines: Mapping[tuple[str, str], pd.DataFrame]
    last: Mapping[str, int]
    end: float

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.model}"

    def of(self, pruner: str, metric: str, column: str = "gain") -> "pd.Series[float]":
        """Sparsity -> a column of a pruner's lines; empty where there are none."""
        found = self.lines.get((pruner, metric))
        return _NONE if found is None else found[column]

    def first(self, pruner: str, metric: str) -> "pd.Series[float]":
        """The gains within LTH's Region I, where the paper's figures end; none without LTH."""
        gains = self.of(pruner, metric)
        return gains[gains.index <= self.end]


_NONE = pd.Series(dtype=float)


def findings(verdict: Verdict) -> list[Finding]:
    """Check every finding wherever the pruners that it compares were judged.

    Args:
        verdict: of all runs. Metrics that were not judged are lacking here too.

    Returns:
        The findings in the order of the paper, each in every cell that it is about.
    """
    cells = list(_cells(verdict))
    checks: tuple[Callable[[_Cell], Iterable[Finding]], ...] = (
        lth_over_omp, omp_over_init, init_like_random, improves_when_moderate, seems_better_when_high, traces,
    )  # fmt: skip
    found = [finding for check in checks for cell in cells for finding in check(cell)]
    return found + list(harder(cells)) + list(wide_tolerates_most(cells)) + list(rigl_is_sharpest(cells))


def _cells(verdict: Verdict) -> Iterator[_Cell]:
    table = verdict.rounds[(verdict.rounds["metric"] != JOINT) & verdict.rounds["pruner"].isin(list(PRUNERS))]
    table = table.assign(gain=table["better"] * table["difference"], left=table["sparsity"].round(DIGITS))
    last = {run: regions.last_round_in_I for run, regions in verdict.regions.items()}
    for (dataset, model), cell in table.groupby(["dataset", "model"]):
        runs = cell.drop_duplicates("run")
        once = runs[~runs.duplicated("pruner", keep=False)]
        own = dict(zip(once["pruner"], once["run"], strict=True))
        lines = cell[cell["run"].isin(own.values())].set_index("left").dropna(subset=["gain"]).groupby(KEY)
        slim = {(str(p), str(m)): part for (p, m), part in lines[["gain", "round", "dense"]]}
        lth = cell[(cell["run"] == own.get(LTH)) & (cell["round"] <= last.get(own.get(LTH, ""), 0))]
        yield _Cell(str(dataset), str(model), own, slim, last, lth["left"].max() if len(lth) else -1.0)


def lth_over_omp(cell: _Cell) -> Iterator[Finding]:
    """LTH > OMP on accuracy, mCE and OoD AUROC: its mean gain over the rounds of LTH's Region I is greater."""
    for metric in RANKED:
        yield _compared(cell, metric, "LTH > OMP", [(LTH, OMP)])


def omp_over_init(cell: _Cell) -> Iterator[Finding]:
    """OMP > pruning at initialisation and random, likewise: its mean gain is greater than that of each."""
    for metric in RANKED:
        others = [pruner for pruner in (*AT_INIT, RANDOM) if pruner in cell.runs]
        yield _compared(cell, metric, "OMP > pruning at init, random", [(OMP, p) for p in others or (RANDOM,)])


def init_like_random(cell: _Cell) -> Iterator[Finding]:
    """Pruning at initialisation ~ random: the mean of its methods is nearer to random's mean gain than to OMP's."""
    for metric in RANKED:
        means = {pruner: _mean(cell.first(pruner, metric)) for pruner in (*AT_INIT, RANDOM, OMP)}
        known = [means[pruner] for pruner in AT_INIT if not np.isnan(means[pruner])]
        at_init = float(np.mean(known)) if known else np.nan
        holds = abs(at_init - means[RANDOM]) < abs(at_init - means[OMP])
        numbers = f"mean gain: at init {at_init:+.3g}, random {means[RANDOM]:+.3g}, omp {means[OMP]:+.3g}"
        lacking = [name for name, mean in (("pruning at init", at_init), (RANDOM, means[RANDOM]), (OMP, means[OMP]))
                   if np.isnan(mean)]  # fmt: skip
        yield _told("pruning at init ~ random", f"{cell.name}, {metric}", holds, numbers, lacking)


def improves_when_moderate(cell: _Cell) -> Iterator[Finding]:
    """For LTH, mCE and OoD AUROC improve up to about 80 %: the mean gain of those rounds is above 0."""
    for metric in RANKED[1:]:
        gains = cell.of(LTH, metric)
        gains = gains[gains.index <= MODERATE]
        lacking = [] if len(gains) else [f"{LTH} up to {100 * MODERATE:.0f} %"]
        numbers = f"mean gain {_mean(gains):+.3g} over {len(gains)} rounds"
        yield _told(
            f"LTH improves up to {100 * MODERATE:.0f} %", f"{cell.name}, {metric}", _mean(gains) > 0, numbers, lacking
        )


def seems_better_when_high(cell: _Cell) -> Iterator[Finding]:
    """Beyond 80 %, and after its Region I, each method at initialisation and random gain in fidelity and stability.

    In ECE they gain with the small ResNet-20 only: with other models the finding is that they do not. A method counts
    by the mean gain over those rounds; all that are there must agree.
    """
    for metric in ("fidelity", "stability", "ece"):
        means = {}
        for pruner in (*AT_INIT, RANDOM):
            gains, rounds = cell.of(pruner, metric), cell.of(pruner, metric, "round")
            beyond = (rounds.index > HIGH) & (rounds > cell.last.get(cell.runs.get(pruner, ""), 0))
            gains = gains[gains.index.isin(rounds.index[beyond])]
            if len(gains):
                means[pruner] = _mean(gains)
        rise = metric != "ece" or cell.model.startswith(SMALL_RESNET)
        finding = f"pruning at init, random {'seem better' if rise else 'do not seem better'} beyond {100 * HIGH:.0f} %"
        holds = all((mean > 0) == rise for mean in means.values())
        numbers = "mean gain: " + ", ".join(f"{pruner} {mean:+.3g}" for pruner, mean in means.items())
        lacking = [] if means else [f"pruning at init or {RANDOM} beyond {100 * HIGH:.0f} %, outside Region I"]
        yield _told(finding, f"{cell.name}, {metric}", holds, numbers, lacking)


def traces(cell: _Cell, metric: str = "hessian_trace_weight") -> Iterator[Finding]:
    """The weight trace of random pruning and SynFlow explodes, LTH stays at the dense level.

    Both at the last round of LTH's Region I that all have: the former are more than 3 times dense, and LTH rises by at
    most a quarter of what random pruning rises by.
    """
    present = [pruner for pruner in (LTH, RANDOM, "synflow") if pruner in cell.runs or pruner != "synflow"]
    series = {pruner: cell.first(pruner, metric) for pruner in present}
    dense = cell.of(LTH, metric, "dense")
    common = sorted(set.intersection(*(set(found.index) for found in series.values()), set(dense.index)))
    lacking = [] if common else [pruner for pruner, found in series.items() if found.empty] or ["a common round"]
    where, finding = f"{cell.name}, {metric}", "random, SynFlow explode; LTH stays"
    if lacking:
        yield _told(finding, where, False, "", lacking)
        return
    left, base = common[-1], float(dense[common[-1]])
    rise = {pruner: -float(found[left]) for pruner, found in series.items()}  # less is better
    explode = all(base + rise[pruner] > EXPLODES * base for pruner in present if pruner != LTH)
    numbers = f"at {percent(left)}: dense {base:.3g}, " + ", ".join(f"{p} {base + rise[p]:.3g}" for p in present)
    yield _told(finding, where, explode and rise[LTH] <= STAYS * rise[RANDOM], numbers, [])


def harder(cells: list[_Cell]) -> Iterator[Finding]:
    """CIFAR-100 is harder than CIFAR-10: of no pruner does Region I end later, and of most it ends earlier."""
    found = {(cell.dataset, cell.model): cell for cell in cells}
    for model in sorted({cell.model for cell in cells if cell.dataset in (EASY, HARD)}):
        lacking = [dataset for dataset in (EASY, HARD) if (dataset, model) not in found]
        ends = [] if lacking else _ends(found[EASY, model], found[HARD, model])
        holds = all(hard <= easy for _, easy, hard in ends) and 2 * sum(h < e for _, e, h in ends) > len(ends)
        numbers = "Region I ends at round: " + ", ".join(f"{pruner} {easy} / {hard}" for pruner, easy, hard in ends)
        yield _told("CIFAR-100 harder than CIFAR-10", model, holds, numbers, lacking or ([] if ends else ["a pruner"]))


def wide_tolerates_most(cells: list[_Cell]) -> Iterator[Finding]:
    """The wide ResNet tolerates the most: of no pruner does another model's Region I end later."""
    for dataset in sorted({cell.dataset for cell in cells if cell.model.startswith(WIDE)}):
        here = [cell for cell in cells if cell.dataset == dataset]
        for wide in (cell for cell in here if cell.model.startswith(WIDE)):
            others = [cell for cell in here if not cell.model.startswith(WIDE)]
            ends = [(cell.model, *end) for cell in others for end in _ends(wide, cell)]
            less = [f"{pruner} {own} < {other} of {model}" for model, pruner, own, other in ends if own < other]
            numbers = f"{len(ends) - len(less)} of {len(ends)} comparisons" + "".join(f"; not {text}" for text in less)
            lacking = [] if ends else ["another model with the same pruners"]
            yield _told("the wide ResNet tolerates the most", wide.name, not less, numbers, lacking)


def rigl_is_sharpest(cells: list[_Cell], metric: str = "hessian_trace_weight") -> Iterator[Finding]:
    """On ImageNet RigL has the greatest weight trace, in spite of the best accuracy: means over shared sparsities."""
    for cell in (cell for cell in cells if cell.dataset == IMAGENET):
        others = sorted(set(cell.runs) - {RIGL})
        gains = [_beside(cell, RIGL, other, name) for other in others for name in ("accuracy", metric)]
        alone = [RIGL] if RIGL not in cell.runs else ["another pruner"] * (not others)
        lacking = alone or ["a round in common"] * any(np.isnan(gain) for gain in gains)
        holds = all(gain > 0 for gain in gains[::2]) and all(gain < 0 for gain in gains[1::2])
        numbers = ", ".join(f"{gain:+.3g}" for gain in gains)
        yield _told("RigL sharpest, most accurate", f"{cell.name}, {metric}", holds, numbers, lacking)


def _ends(one: _Cell, other: _Cell) -> list[tuple[str, int, int]]:
    """Pruner, and the last round of Region I in each of two cells."""
    both = sorted(set(one.runs) & set(other.runs))
    known = [p for p in both if one.runs[p] in one.last and other.runs[p] in other.last]
    return [(p, one.last[one.runs[p]], other.last[other.runs[p]]) for p in known]


def _beside(cell: _Cell, one: str, other: str, metric: str) -> float:
    """The mean gain of one pruner less another's, over the sparsities of LTH's Region I that both have."""
    mine, theirs = (cell.first(p, metric) for p in (one, other))
    return _mean((mine - theirs).dropna())


def _compared(cell: _Cell, metric: str, finding: str, pairs: list[tuple[str, str]]) -> Finding:
    less = {other: _beside(cell, one, other, metric) for one, other in pairs}
    lacking = [f"{pairs[0][0]} beside {other}" for other, mean in less.items() if np.isnan(mean)]
    numbers = f"{pairs[0][0]} gains more than: " + ", ".join(f"{other} by {mean:+.3g}" for other, mean in less.items())
    return _told(finding, f"{cell.name}, {metric}", all(mean > 0 for mean in less.values()), numbers, lacking)


def _mean(gains: "pd.Series[float]") -> float:
    return float(gains.mean()) if len(gains) else float("nan")


def _told(finding: str, where: str, holds: bool, numbers: str, lacking: list[str]) -> Finding:
    if lacking:
        return Finding(finding, where, "unknown", f"lacking: {', '.join(lacking)}")
    return Finding(finding, where, "holds" if holds else "does not hold", numbers)
