"""The density of eigenvalues: Gaussians with their shares, averaged over seeds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.drawn import collisions, named, notes, one
from tests.unit.rows import frame, row
from ticketsearch.errors import UsageError
from ticketsearch.figures.spectrum import Spectrum, density

LTH, OMP = "digits-resnet20-lth-1a2b3c4d", "digits-resnet20-omp-3c4d5e6f"
NODES = [(8.0, 0.001), (1.0, 0.099), (-1.0, 0.9)]


def spectrum(run: str, round: int, nodes: list[tuple[float, float]] = NODES, **fields: Any) -> list[dict[str, Any]]:
    about = {"family": "hessian", "split": "train", "better": float("nan"), **fields}
    return [
        row(run, round, number, metric, variant=f"{place:02d}", **about)
        for place, node in enumerate(nodes, 1)
        for metric, number in zip(("spectrum_value", "spectrum_share"), node, strict=True)
    ]


def test_a_mixture_of_gaussians() -> None:
    at = np.linspace(-10, 10, 20_001)
    found = density(np.array([-2.0, 3.0]), np.array([0.25, 0.75]), at, 0.5)
    assert np.trapezoid(found, at) == pytest.approx(1, abs=1e-9)
    assert found[np.searchsorted(at, 3.0)] == pytest.approx(0.75 / (0.5 * math.sqrt(2 * math.pi)), rel=1e-6)
    assert np.trapezoid(found * at, at) == pytest.approx(0.25 * -2 + 0.75 * 3)


def test_seeds_are_averaged_and_tickets_are_told_apart() -> None:
    rows = [*spectrum(LTH, 0), *spectrum(LTH, 7), *spectrum(LTH, 7, [(4.0, 1.0)], seed=1), *spectrum(LTH, 14)]
    page, table = one(Spectrum(width=0.1), frame(*rows))
    (axes,) = page.axes
    line = named(axes, f"{LTH}/7")
    at = line.get_xdata()
    alone = [
        density(*(np.array(part) for part in zip(*nodes, strict=True)), at, 0.9) for nodes in (NODES, [(4.0, 1.0)])
    ]
    assert line.get_ydata() == pytest.approx(np.mean(alone, axis=0))
    assert axes.get_yscale() == "log"
    assert table.query("seed == 1")[["value", "share"]].to_numpy().tolist() == [[4.0, 1.0]]
    assert [text.get_text() for text in page.legends[0].get_texts()] == ["dense", "79.0 %, round 7", "95.6 %, round 14"]
    assert "1-3 steps" in notes(page)


def test_many_runs_are_apart() -> None:
    runs = [f"digits-resnet20-{name}-1a2b3c4d" for name in ("lth", "omp", "random", "snip", "synflow")]
    page, _ = one(Spectrum(), frame(*(r for run in runs for n in (0, 3, 7, 14) for r in spectrum(run, n))))
    assert len(page.axes) == 5
    assert not collisions(page)


def test_where_there_is_none_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rows of spectrum_value") as told:
        Spectrum().draw(frame(row(LTH, 1, 0.9)), tmp_path)
    assert told.value.attempt == "ticketsearch evaluate 'metrics=[hessian]'"
    with pytest.raises(UsageError, match=r"no ticket near sparsity=0\.2"):
        Spectrum(sparsities=(0.2,)).draw(frame(*spectrum(OMP, 0), *spectrum(OMP, 7)), tmp_path)
