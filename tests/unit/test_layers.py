"""Density of layers: the model's order, sizes told from densities, dead layers, missing rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.drawn import collisions, named, notes, one
from tests.unit.rows import curve, frame, row
from ticketsearch import results
from ticketsearch.errors import UsageError
from ticketsearch.figures.layers import Layers, layer_order, layer_sizes

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"
SIZES = {"stem.weight": 144, "blocks.0.weight": 2304, "blocks.10.weight": 4608, "blocks.9.weight": 36864}


def ticket(round: int, kept: Mapping[str, int], run: str = LTH, **fields: Any) -> list[dict[str, Any]]:
    total = sum(kept.values())
    return [
        row(run, round, count / SIZES[layer], "layer_density", variant=layer, kept=total, better=float("nan"), **fields)
        for layer, count in kept.items()
    ]


def alive(round: int) -> dict[str, int]:
    return {layer: int(size * 0.8**round) for layer, size in SIZES.items()}


def test_layers_are_in_the_order_of_the_model_with_their_sizes() -> None:
    page, points = one(Layers(), frame(*(line for n in range(6) for line in ticket(n, alive(n)))))
    axes = page.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["stem  144", "blocks.0  2,304", "blocks.10  4,608", "blocks.9  36,864", "all layers"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first layer is on top"
    assert points["layer"].tolist()[:4] == list(SIZES)
    cells = np.ma.getdata(named(axes, "layers").get_array()).reshape(4, 6)
    assert cells[0, 5] == pytest.approx(alive(5)["stem.weight"] / 144)
    assert cells[:, 0] == pytest.approx([1, 1, 1, 1])
    whole = np.ma.getdata(named(axes, "whole").get_array()).ravel()
    assert whole == pytest.approx([0.8**n for n in range(6)])


def test_collected_rows_keep_the_order_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ticket(1, alive(1)) + ticket(1, alive(1), OMP)
    for line in rows:
        line["order_seed"], line["better"], line["stderr"] = None, None, None
    path = tmp_path / "rows.parquet"
    content = results.encode_rows(rows)
    path.write_bytes(content)
    monkeypatch.setattr(results, "_cells", lambda out, leave_out: [(tmp_path, {})])
    monkeypatch.setattr(results, "check_complete", lambda cell: None)
    monkeypatch.setattr(results, "row_files", lambda cell: [(path, results.sha256(content))])
    found = results.collect(tmp_path)
    assert found["variant"].tolist() == [*SIZES, *SIZES]


def test_the_ticket_with_most_layers_orders_them() -> None:
    some = {name: size for name, size in SIZES.items() if name != "blocks.0.weight"}
    rows = frame(*ticket(0, some), *ticket(1, SIZES))
    assert list(layer_order(rows)) == list(SIZES)


def test_sizes_that_do_not_add_up_are_not_believed() -> None:
    rows = frame(*(line for n in (1, 2, 3) for line in ticket(n, alive(n))))
    assert layer_sizes(rows) == SIZES
    rows["kept"] += 1
    assert layer_sizes(rows) == {}
    assert "sizes cannot be told" in notes(one(Layers(), rows)[0])


def test_seeds_are_averaged_and_dead_layers_are_marked() -> None:
    first, second = alive(2) | {"stem.weight": 0, "blocks.9.weight": 0}, alive(2) | {"stem.weight": 0}
    page, points = one(Layers(), frame(*ticket(1, alive(1)), *ticket(2, first), *ticket(2, second, seed=1)))
    found = points[points["round"] == 2].set_index("layer")
    assert found["dead"].to_dict() == dict(zip(SIZES, [1, 0, 0, 0.5], strict=True))
    assert found["density"]["blocks.9.weight"] == pytest.approx(0.5 * alive(2)["blocks.9.weight"] / 36864)
    axes = page.axes[0]
    assert [*zip(*named(axes, "dead").get_data(), strict=True)] == [(2, 0)]
    assert [*zip(*named(axes, "partly").get_data(), strict=True)] == [(2, 3)]
    assert np.ma.getmaskarray(named(axes, "layers").get_array()).reshape(4, 3)[0].tolist() == [False, False, True]


def test_a_run_without_densities_is_named() -> None:
    skipped = [line | {"status": "error", "error": "why"} for line in ticket(1, alive(1), OMP)]
    page, points = one(Layers(), frame(*ticket(1, alive(1)), *skipped))
    assert set(points["label"]) == {"lth"}
    assert notes(page).startswith("omp: layer_density error at round 1; omp: no rows of layer_density")


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    skipped = [line | {"status": "error", "error": "out of memory"} for line in ticket(1, alive(1))]
    with pytest.raises(UsageError) as refused:
        Layers().draw(frame(*curve(LTH, {0: 0.9, 1: 0.9}), *skipped), tmp_path)
    assert refused.value.what == "no rows of layer_density to draw"
    assert refused.value.right == "the family ticket measures them, and said: out of memory"
    assert refused.value.attempt == "ticketsearch evaluate 'metrics=[ticket]'"


def test_many_layers_and_runs_are_apart(tmp_path: Path) -> None:
    sizes = {f"stages.{n // 8}.blocks.{n % 8}.conv.weight": 2304 for n in range(50)}
    rows = [
        row(f"digits-resnet20-quite_a_long_pruner_{run}-{run:08x}", n, 0.8**n, "layer_density", variant=layer, kept=1)
        for run in range(3)
        for n in range(30)
        for layer in sizes
    ]
    page, _ = one(Layers(), frame(*rows))
    assert collisions(page) == []


def test_files(tmp_path: Path) -> None:
    rows = frame(*ticket(1, alive(1)), *ticket(2, alive(2)))
    again = [Layers(formats=("png", "svg")).draw(rows, tmp_path / folder) for folder in "ab"]
    assert [path.name for path in again[0]] == [f"layers-digits-resnet20.{kind}" for kind in ("png", "svg", "csv")]
    assert [path.read_bytes() for path in again[0]] == [path.read_bytes() for path in again[1]]
