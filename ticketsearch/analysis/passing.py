"""What the verdict on each run comes to: its last winning rounds, LTH-PASS, and what breaks it; one sentence of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from ticketsearch.analysis.controls import against_controls
from ticketsearch.analysis.criteria import JOINT
from ticketsearch.analysis.regions import Regions, spans
from ticketsearch.analysis.verdict import Status, Verdict

SIGNIFICANT = 0.05
WINS: dict[str, tuple[Status, ...]] = {"strict": ("strict",), "comparable": ("strict", "comparable")}


@dataclass(frozen=True)
class Pass:
    """Up to where a ticket wins everything.

    Attributes:
        round: the last round that passes; 0: none does.
        sparsity: of that round, in [0, 1].
        but_not: earlier rounds that do not pass.
        broken_at: the next round that the run has; None: it has none.
        broken_by: what does not pass there: metrics, `ece (unknown)` where one is not known, the end of Region I.
    """

    round: int
    sparsity: float
    but_not: tuple[int, ...]
    broken_at: int | None
    broken_by: tuple[str, ...]


@dataclass(frozen=True)
class RunVerdict:
    """The verdict on one run.

    Attributes:
        dataset, model, run, label, pruner: of the run.
        seeds: the most seeds that a difference of it has.
        fewer: rounds of which every difference has fewer.
        rounds: its rounds above 0.
        sparsity: round -> sparsity.
        regions: None where its dense model has no test accuracy.
        strict: as good as dense in everything.
        comparable: worse in nothing by more than the tolerances.
        winning: metric -> the last round at which it wins, `strict` and `comparable`; 0: at none; None: unknown in all.
        differs: metrics that differ from dense at the round of `comparable`, Holm's p at most 0.05.
        left_out: metrics that nobody asked for.
        unknown: metric -> in which rounds of Region I (all where that is unknown) it is not known, and why.
        lost_to: label of a control -> the rounds of Region I at which the ticket is not shown to beat it.
        compared: labels of the controls that it was compared with.
    """

    dataset: str
    model: str
    run: str
    label: str
    pruner: str
    seeds: int
    fewer: tuple[int, ...]
    rounds: tuple[int, ...]
    sparsity: Mapping[int, float]
    regions: Regions | None
    strict: Pass
    comparable: Pass
    winning: Mapping[str, tuple[int | None, int | None]]
    differs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    lost_to: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    compared: tuple[str, ...] = ()


def passing(verdict: Verdict, pruner: Sequence[str] = ()) -> list[RunVerdict]:
    """What a verdict comes to.

    Args:
        verdict: of all runs, controls too.
        pruner: those to tell of; () is all.

    Returns:
        A verdict for each run, in the order of the table.
    """
    columns = (verdict.rounds[name].tolist() for name in _Line._fields)
    lines = list(map(_Line._make, zip(*columns, strict=True)))
    names = {line.run: line.label for line in lines}
    beaten: dict[str, list[tuple[str, int, bool]]] = {}
    judged = verdict.values[verdict.values["run"].isin(list(names))]  # a cell without any of the metrics has no lines
    for found in against_controls(judged).itertuples():
        beaten.setdefault(str(found.run), []).append(
            (names[str(found.control)], int(str(found.round)), bool(found.beats))
        )
    groups = [list(group) for _, group in groupby(lines, key=lambda line: line.run)]
    return [
        _of_run(group, verdict, beaten.get(group[0].run, []))
        for group in groups
        if not pruner or group[0].pruner in pruner
    ]


class _Line(NamedTuple):
    """A line of the table: plain values, since hundreds of runs have hundreds of them each."""

    dataset: str
    model: str
    run: str
    label: str
    pruner: str
    metric: str
    round: int
    sparsity: float
    seeds: float
    p_holm: float
    status: Status
    why: str


def _of_run(lines: Sequence[_Line], verdict: Verdict, beaten: Sequence[tuple[str, int, bool]]) -> RunVerdict:
    first, regions = lines[0], verdict.regions.get(lines[0].run)
    at = {line.round: line.sparsity for line in lines}
    status: dict[str, dict[int, Status]] = {}
    for line in lines:
        status.setdefault(line.metric, {})[line.round] = line.status
    comparable = _pass(status, at, regions, WINS["comparable"])
    last = regions.last_round_in_I if regions else -1
    lost: dict[str, tuple[int, ...]] = {}
    for label, round, beats in beaten:
        if round <= last and not beats:
            lost[label] = (*lost.get(label, ()), round)
    seeds = {n: int(max((x.seeds for x in lines if x.round == n and x.seeds > 0), default=0)) for n in at}
    most = max(seeds.values())
    return RunVerdict(
        *first[:5],
        seeds=most,
        fewer=tuple(sorted(n for n, count in seeds.items() if 0 < count < most)),
        rounds=tuple(sorted(at)),
        sparsity={0: 0.0, **at},
        regions=regions,
        strict=_pass(status, at, regions, WINS["strict"]),
        comparable=comparable,
        winning={m: (_last(s, WINS["strict"]), _last(s, WINS["comparable"])) for m, s in status.items() if m != JOINT},
        differs=tuple(x.metric for x in lines if x.round == comparable.round and x.p_holm <= SIGNIFICANT),
        left_out=verdict.left_out[first.dataset, first.model],
        unknown=dict(_unknown([line for line in lines if regions is None or line.round <= max(last, 1)])),
        lost_to=lost,
        compared=tuple(dict.fromkeys(label for label, round, _ in beaten if round <= last)),
    )


def _last(status: Mapping[int, Status], wins: Sequence[Status]) -> int | None:
    """The last round that wins; None where no round is known."""
    if set(status.values()) == {"unknown"}:
        return None
    return max((round for round, found in status.items() if found in wins), default=0)


def _pass(
    status: Mapping[str, Mapping[int, Status]], at: Mapping[int, float], regions: Regions | None, wins: Sequence[Status]
) -> Pass:
    joint = status[JOINT]
    round = max((round for round, found in joint.items() if found in wins), default=0)
    but_not = tuple(sorted(n for n, found in joint.items() if n < round and found not in wins))
    broken = min((n for n in joint if n > round), default=None)
    if broken is None:
        return Pass(round, at.get(round, 0.0), but_not, None, ())
    by = [
        metric + " (unknown)" * (found[broken] == "unknown")
        for metric, found in status.items()
        if metric != JOINT and found[broken] not in wins
    ]
    if regions is None or regions.of(broken) != "I":
        by.append("the end of Region I" if regions else "Region I (unknown)")
    return Pass(round, at.get(round, 0.0), but_not, broken, tuple(by))


def _unknown(lines: Sequence[_Line]) -> Iterator[tuple[str, str]]:
    """Metric -> in which rounds it is unknown, and the first reason."""
    unknown = [line for line in lines if line.status == "unknown" and line.metric != JOINT]
    for metric, group in groupby(unknown, key=lambda line: line.metric):
        why = {line.round: line.why for line in group}
        reasons = list(dict.fromkeys(why.values()))
        yield metric, f"{spans(sorted(why))} ({reasons[0]}{', among other reasons' * (len(reasons) > 1)})"


def percent(sparsity: float) -> str:
    """A sparsity for people: `79.0 %`; more decimals where less than 1 % is kept, so that none is told as 100 %."""
    kept = round(100 * (1 - sparsity), 9)
    decimals = max(1, 1 - math.floor(math.log10(kept))) if kept else 1
    return f"{100 * sparsity:.{decimals}f} %"


def sentence(found: RunVerdict) -> str:
    """The verdict in plain words, no line breaks."""
    seeds = (
        "no seed with a dense model" if not found.seeds else "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
    )
    parts = [f"{found.label} on {found.dataset} {found.model} ({seeds}): {_joint(found)}"]
    if found.regions is None:
        parts.append("regions are unknown: its dense model has no test accuracy")
    elif found.regions.last_round_in_I:
        last = found.regions.last_round_in_I
        parts.append(f"Region I ends at {percent(found.sparsity.get(last, 0.0))} (round {last})")
    else:
        parts.append("no ticket is in Region I")
    if found.seeds == 1:
        parts.append("one seed has no interval: the tolerance is the fraction of dense alone")
    if found.fewer:
        parts.append(f"fewer seeds at {spans(found.fewer)}")
    if found.regions is not None:
        parts += [note for note in found.regions.notes if "Region III" not in note]  # of which nothing is said here
    if found.differs and found.comparable.round:
        parts.append(f"beyond chance (Holm) at round {found.comparable.round} differ: {', '.join(found.differs)}")
    parts += [f"not shown to beat its control {label} at {spans(rounds)}" for label, rounds in found.lost_to.items()]
    if won := [label for label in found.compared if label not in found.lost_to]:
        parts.append(f"beats in Region I: {', '.join(won)}")
    for why in dict.fromkeys(found.unknown.values()):
        alike = [metric for metric, other in found.unknown.items() if other == why]
        parts.append(f"unknown: {', '.join(alike)} at {why}")
    if found.left_out:
        parts.append(f"left out, nobody asked for them: {', '.join(found.left_out)}")
    return "; ".join(parts) + "."


def span(runs: Sequence[RunVerdict], pruner: str = "lth") -> str:
    """From where to where the verdicts on a pruner's tickets lie, one sentence.

    Args:
        runs: of several cells.
        pruner: whose.
    """
    parts, own = [], [run for run in runs if run.pruner == pruner]
    for name in WINS:
        found = sorted((run.comparable if name == "comparable" else run.strict).sparsity for run in own)
        passed = [sparsity for sparsity in found if sparsity]
        extent = f"between {percent(passed[0])} and {percent(passed[-1])}" if passed else "nowhere"
        parts.append(f"{name} {extent}, in {len(passed)} of {len(found)} cells")
    return f"Here the last round at which {pruner} passes lies, by the metrics asked for: {'; '.join(parts)}."


def _joint(found: RunVerdict) -> str:
    strict, wide = found.strict, found.comparable
    if not wide.round:
        by = f": {', '.join(wide.broken_by)}" if wide.broken_by else ""
        return f"no round wins everything that was measured (round {wide.broken_at}{by})"
    end = f"{percent(wide.sparsity)} (round {wide.round})"
    but = f", but not at {spans(wide.but_not)}" if wide.but_not else ""
    text = f"comparable to dense in everything that was measured up to {end}{but}"
    if strict.round:
        text += f", at least as good up to {percent(strict.sparsity)} (round {strict.round})"
        text += f", but not at {spans(strict.but_not)}" if strict.but_not else ""
    else:
        text += ", at least as good in everything at no round"
    if wide.broken_at is None:
        return f"{text}; nothing breaks it: that is its last round"
    return f"{text}; {', '.join(wide.broken_by)} breaks it at round {wide.broken_at}"
