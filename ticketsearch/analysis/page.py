"""The verdict as a page of paragraphs and tables, for a terminal or as markdown."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from ticketsearch.analysis.findings import Finding
from ticketsearch.analysis.passing import Pass, RunVerdict, percent, sentence
from ticketsearch.analysis.verdict import Verdict

GUTTER = 3
"""Between two columns on a terminal."""
OUTCOMES = ("holds", "does not hold")


@dataclass(frozen=True)
class Table:
    """A table: a heading for each column, and lines of as many cells; the first column names the line."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Heading:
    """A heading."""

    text: str


Part = Heading | str | Table


def page(verdict: Verdict, runs: Sequence[RunVerdict], findings: Sequence[Finding], notes: Sequence[str]) -> list[Part]:
    """Everything that is told, cell by cell.

    Args:
        verdict: of all runs.
        runs: those to tell of, the runs of a cell side by side.
        findings: the paper's, checked.
        notes: what stands first.

    Returns:
        Headings, paragraphs and tables, in order.
    """
    shown = _shown(verdict, {run.run: _round(run) for run in runs})
    parts: list[Part] = list(notes)
    for (dataset, model), here in groupby(runs, key=lambda run: (run.dataset, run.model)):
        cell = list(here)
        parts += [Heading(f"{dataset} {model}"), _summary(cell)]
        for run in cell:
            parts += [sentence(run), _metrics(run, shown)]
    judged = verdict.rounds[["dataset", "model"]].drop_duplicates().itertuples(index=False, name=None)
    none = sorted(set(verdict.left_out) - set(judged))
    parts += [f"{dataset} {model} is not judged: nobody asked there for any of the metrics." for dataset, model in none]
    if findings:
        parts += [Heading("Findings of Chen et al. (2022) in these rows"), *_findings(findings)]
    return parts


def _summary(runs: Sequence[RunVerdict]) -> Table:
    head = ["run", "seeds", "Region I ends", "comparable", "strict"]
    lines = [[run.label, str(run.seeds), _end(run), _passed(run.comparable), _passed(run.strict)] for run in runs]
    return Table(head, lines)


def _end(run: RunVerdict) -> str:
    if run.regions is None:
        return "unknown"
    last = run.regions.last_round_in_I
    return f"{percent(run.sparsity.get(last, 0.0))} ({last})" if last else "at no round"


def _passed(found: Pass) -> str:
    return f"{percent(found.sparsity)} ({found.round})" if found.round else "at no round"


class _Line(NamedTuple):
    """A line of the table, as far as it is told."""

    run: str
    metric: str
    round: int
    dense: float
    value: float
    difference: float
    low: float
    high: float
    p_holm: float
    seeds: float
    status: str


def _shown(verdict: Verdict, rounds: Mapping[str, int]) -> dict[tuple[str, str], _Line]:
    """(run, metric) -> its line at the run's round. Plain values: hundreds of runs have hundreds of lines each."""
    columns = (verdict.rounds[name].tolist() for name in _Line._fields)
    lines = map(_Line._make, zip(*columns, strict=True))
    return {(line.run, line.metric): line for line in lines if rounds.get(line.run) == line.round}


def _round(run: RunVerdict) -> int:
    """The round of which differences are told: the last of Region I, else the first."""
    last = run.regions.last_round_in_I if run.regions else 0
    return max((n for n in run.rounds if n <= last), default=run.rounds[0])


def _metrics(run: RunVerdict, shown: Mapping[tuple[str, str], _Line]) -> Table:
    """A line a metric: its last winning rounds, and its difference."""
    head = ["metric", "last win strict", "comparable", f"dense, round {_round(run)}", "ticket", "difference",
            "95 % interval", "p (Holm)", "seeds", "verdict"]  # fmt: skip
    return Table(head, [[metric, *_wins(run, metric), *_cells(shown[run.run, metric])] for metric in run.winning])


def _wins(run: RunVerdict, metric: str) -> list[str]:
    return ["unknown" if n is None else str(n) if n else "none" for n in run.winning[metric]]


def _cells(line: _Line) -> list[str]:
    interval = "" if math.isnan(line.low) else f"{_number(line.low)} to {_number(line.high)}"
    seeds = "" if math.isnan(line.seeds) else f"{line.seeds:.0f}"
    return [
        *map(_number, (line.dense, line.value, line.difference)),
        interval,
        _number(line.p_holm),
        seeds,
        line.status,
    ]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _findings(findings: Sequence[Finding]) -> Iterator[Part]:
    """Those that are known; of the others, in how many places each is unknown and what the first lacks."""
    known = [found for found in findings if found.outcome in OUTCOMES]
    if known:
        held = sum(found.outcome == OUTCOMES[0] for found in known)
        yield f"{held} of {len(known)} checks hold; every threshold is ours (`ticketsearch.analysis.findings`)."
        yield "\n".join(f"- {one.outcome}: {one.finding} ({one.where}; {one.numbers})" for one in known)
    lacking: dict[str, list[Finding]] = {}
    for found in findings:
        if found.outcome not in OUTCOMES:
            lacking.setdefault(found.finding, []).append(found)
    lines = []
    for name, places in lacking.items():
        more = f" and {len(places) - 1} more" * (len(places) > 1)
        lines.append(f"- unknown: {name} ({places[0].where}{more}; {places[0].numbers})")
    if lines:
        yield "\n".join(lines)


def markdown(parts: Sequence[Part]) -> str:
    """The page as markdown."""
    return "\n\n".join(_marked(part) for part in parts) + "\n"


def _marked(part: Part) -> str:
    if isinstance(part, Heading):
        return f"## {part.text}"
    if isinstance(part, str):
        return part
    rows = [part.head, ["---"] * len(part.head), *part.lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def narrow(table: Table, width: int) -> list[Table]:
    """Tables that fit a width where the one does not: its columns in several, the first repeated. No cell is cut.

    Args:
        table: the table.
        width: columns of the terminal; a table with one column beside the first may still be wider.
    """
    sizes = [max(len(line[n]) for line in (table.head, *table.lines)) + GUTTER for n in range(len(table.head))]
    blocks: list[list[int]] = [[]]
    for n in range(1, len(sizes)):
        if blocks[-1] and sizes[0] + sum(sizes[k] for k in blocks[-1]) + sizes[n] > width:
            blocks.append([])
        blocks[-1].append(n)
    cut = [[0, *block] for block in blocks]
    return [Table([table.head[n] for n in own], [[line[n] for n in own] for line in table.lines]) for own in cut]
