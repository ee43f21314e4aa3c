"""Ratios of CPU seconds, round by round, as JSON and as lines for people."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from statistics import median
from typing import Any

import torch

from benchmarks.cases import CASES, Isa
from benchmarks.gate import difference, void
from benchmarks.rounds import Measured
from benchmarks.side import SIDES

PACKAGES = ("ticketsearch", "torch", "torchvision", "numpy", "pillow")


def isa() -> Isa:
    """What this processor has for bfloat16."""
    if torch.cpu._is_amx_tile_supported():
        return "amx"
    return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else "none"


def results(found: Measured) -> dict[str, Any]:
    """Everything that was measured, for a file."""
    job, case, here = found.job, CASES[found.job.case], isa()
    gates, timed = found.gates, found.outcomes
    ratio = _spread(found.seconds["plain"], found.seconds["ours"])
    told: dict[str, Any] = {
        **ratio,
        "tensors": _spread(found.seconds["tensors"], found.seconds["ours"]),
        "with_imports": _spread(found.with_imports["plain"], found.with_imports["ours"])
        | {"tensors": _spread(found.with_imports["tensors"], found.with_imports["ours"])},
        "goal": case.goals[here],
        "met": ratio["median"] >= case.goals[here],
        "void": void(gates, timed),
        "case": job.case,
        "data": job.data,
        "isa": here,
        "rounds": len(timed),
        "precision": "bfloat16" if job.bfloat16 else "float32",
        "work": {key: value for key, value in asdict(job).items() if key not in ("root", "case", "data", "bfloat16")},
        "seconds": found.seconds,
        "seconds_with_imports": found.with_imports,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if case.trains:
        told["first_steps"] = {side: difference(gates, side) for side in gates if side != "plain"}
        told["loss"] = {side: [outcomes[side].loss for outcomes in timed] for side in SIDES}
        told["accuracy"] = {side: [outcomes[side].accuracies for outcomes in timed] for side in SIDES}
        told["kept"] = timed[0]["plain"].kept
    else:
        looked_at = job.images * job.epochs
        told["images_per_second"] = {side: looked_at / median(found.seconds[side]) for side in SIDES}
    return told


def _spread(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """Of the ratio of each round."""
    ratios = [one / other for one, other in zip(slower, faster, strict=True)]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}


def lines(told: dict[str, Any]) -> list[str]:
    """The same in a few lines."""
    said = [
        f"{told['case']}, {told['data']} images, {told['isa']}, ours in {told['precision']}",
        f"  plain / ours    {_said(told)}   with imports {_said(told['with_imports'])}",
        f"  tensors / ours  {_said(told['tensors'])}   with imports {_said(told['with_imports']['tensors'])}",
    ]
    if "first_steps" in told:
        apart = ", ".join(f"{side} {value:.1e}" for side, value in told["first_steps"].items())
        said.append(f"  losses of the first steps differ from plain's by at most: {apart}")
        said.append(
            "  mean training loss: " + ", ".join(f"{side} {median(all_):.4f}" for side, all_ in told["loss"].items())
        )
    else:
        rates = ", ".join(f"{side} {value:,.0f}" for side, value in told["images_per_second"].items())
        said.append(f"  images a second of one core: {rates}")
    said.append(f"  goal {told['goal']:g}x: {'met' if told['met'] else 'missed'}")
    return [*said, *([f"VOID: {told['void']}"] if told["void"] else [])]


def _said(spread: dict[str, Any]) -> str:
    return f"{spread['median']:.2f}x [{spread['min']:.2f}-{spread['max']:.2f}]"
