"""Rows: their columns, which of two wins, what round 0 of a pruned run says, and metrics that fail."""

import textwrap
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import MEASURED, folder, run_here
from rows import COLUMNS

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.results import SCHEMA, encode_rows, read_rows

TEXT = set(COLUMNS[:9]) | {"prunable", "family", "metric", "variant", "unit", "split", "weights", "at", "settings"}
NUMBERS = {"sparsity", "sparsity_total", "value", "stderr", "seconds"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished run with another one's prunable weights."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    run_here(folder, "pruner=omp", "prunable=all", "rewind=reinit", "schedule.rounds=1")
    return folder


def test_the_columns_are_these(out: Path) -> None:
    assert SCHEMA.names == COLUMNS
    assert list(ticketsearch.load_results(out).columns) == COLUMNS
    for path in [*out.glob("*/*/*/*.parquet"), *out.glob("*/*/*/metrics/*.parquet"), out / "results.parquet"]:
        assert pq.read_schema(path).names == COLUMNS
    for field in SCHEMA:
        wanted = pa.string() if field.name in TEXT | {"status", "error"} else pa.int64()
        assert field.type == (pa.float64() if field.name in NUMBERS else wanted)


def test_every_row_is_filled_in(out: Path) -> None:
    rows = ticketsearch.load_results(out)
    for column in TEXT | {"seed", "round", "kept", "sparsity", "sparsity_total", "sequence", "status", "value"}:
        assert rows[column].notna().all(), column
    assert set(rows.status) == {"ok"}
    assert rows.error.isna().all()
    assert rows.order_seed.isna().all()  # it is the seed's own
    assert set(rows.split) <= {"train", "val", "test"}
    assert set(rows["at"]) <= {"start", "end"}
    assert set(rows.better.dropna()) <= {-1, 1}
    assert set(rows.weights) == {"last", "best"}


def test_fractions_are_no_percentages(out: Path) -> None:
    rows = ticketsearch.load_results(out)
    for metric in ("accuracy", "worst_class_accuracy", "disagreement", "ece", "layer_density"):
        values = rows[rows.metric == metric].value
        assert len(values) > 0
        assert values.between(0, 1).all()


def test_round_0_says_what_the_run_that_uses_it_is(out: Path) -> None:
    rows = ticketsearch.load_results(out)
    run, dense = folder(out, "omp").name, folder(out, "dense").name
    mine = rows[(rows.run == run) & (rows["round"] == 0)]
    theirs = rows[(rows.run == dense) & (rows["round"] == 0)]
    assert len(mine) == len(theirs) > 50
    assert set(mine.pruner) == set(mine.label) == {"omp"}
    assert set(mine.rewind) == {"reinit"}
    assert set(mine.prunable) == {"all"}
    assert set(mine.kept) == {4644 + 160}
    assert set(theirs.prunable) == {"default"}
    assert set(theirs.kept) == {4644}
    assert set(theirs.pruner) == set(theirs.label) == {"dense"}
    assert set(mine.dense) == set(theirs.dense) == {dense}
    same = ["metric", "variant", "split", "weights", "value", "settings", "sequence"]
    pd.testing.assert_frame_equal(mine[same].reset_index(drop=True), theirs[same].reset_index(drop=True))


def measurement(value: float, **columns: object) -> dict[str, object]:
    run = "d-m-p-00000000"
    base = {
        "run": run,
        "dense": run,
        "seed": 0,
        "round": 0,
        "family": "f",
        "metric": "m",
        "variant": "",
        "value": value,
    }
    return base | {"split": "test", "weights": "last", "at": "end", "settings": "s", "status": "ok"} | columns


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    """A committed cell with one row of training."""
    cell = Cell(tmp_path / "d-m-p-00000000", 0, 0)
    rows = encode_rows([measurement(0, family="training", sequence=0)])
    cell.commit({"ticket.safetensors": b"a ticket", "training.parquet": rows}, {})
    return cell


def test_of_one_key_the_last_written_wins_whatever_the_files_are_called(cell: Cell, tmp_path: Path) -> None:
    for number in range(1, 13):  # as text, 9 comes after 12
        cell.add_rows("f", [measurement(number)], cell.sha)
    others = [measurement(-1, variant="other"), measurement(-2, settings="other"), measurement(-3, at="start")]
    cell.add_rows("f", others, cell.sha)
    rows = ticketsearch.load_results(tmp_path).set_index(["family", "variant", "settings", "at"])
    assert rows.value.to_dict() == {
        ("training", "", "s", "end"): 0,
        ("f", "", "s", "end"): 12,
        ("f", "other", "s", "end"): -1,
        ("f", "", "other", "end"): -2,
        ("f", "", "s", "start"): -3,
    }
    assert rows.sequence.max() == 13


def test_a_column_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        encode_rows([measurement(1, colour="red")])


def test_rows_of_another_checksum_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(encode_rows([measurement(1)]))
    with pytest.raises(CorruptStore, match=r"rows\.parquet is not what its checksum says"):
        read_rows(tmp_path / "rows.parquet", "0" * 12)
    with pytest.raises(CorruptStore, match=r"none\.parquet cannot be read"):
        read_rows(tmp_path / "none.parquet", "0" * 12)


def test_a_folder_without_runs_has_no_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs in"):
        ticketsearch.load_results(tmp_path)
    assert list(tmp_path.iterdir()) == []


# A metric of somebody else's, which fails while a file is there.

PACKAGE = """
    from dataclasses import dataclass
    from pathlib import Path
    from ticketsearch.metrics.base import Metric, Value

    @dataclass(frozen=True)
    class Moody(Metric):
        mood: str = ""

        def __call__(self, model, data, ctx):
            if Path(self.mood).exists():
                raise ArithmeticError("not today")
            return [Value("mood", 0.5, 1), Value("moody", 0.25, -1)]
"""


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """The file that makes the metric fail, and the overrides that ask for it."""
    name = f"moods_{abs(hash(tmp_path))}"
    (tmp_path / "package" / name).mkdir(parents=True)
    (tmp_path / "package" / name / "__init__.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(tmp_path / "package")
    (tmp_path / "mood").touch()
    node = f"++metrics.moody={{_target_:{name}.Moody,mood:{tmp_path / 'mood'}}}"
    return tmp_path / "mood", ["pruner=omp", "schedule.rounds=1", f"extensions=[{name}]", node]


def moody_rows(out: Path) -> pd.DataFrame:
    rows = ticketsearch.load_results(out)
    return rows[(rows.family == "moody") & rows.pruner.eq("omp") & rows["round"].eq(1)]


def test_a_metric_that_fails_loses_no_round(moody: tuple[Path, list[str]], tmp_path: Path) -> None:
    _, recorder = run_here(tmp_path / "out", *moody[1])
    (row,) = moody_rows(tmp_path / "out").itertuples()
    assert (row.status, row.error, row.metric) == ("error", "ArithmeticError: not today", "moody")
    assert pd.isna(row.value)
    assert any("moody" in notice and "not today" in notice for notice in recorder.notices)
    rows = ticketsearch.load_results(tmp_path / "out")
    assert set(rows[rows["round"] == 1].family) == {*MEASURED, "cost", "moody", "speed", "training"}


def test_a_metric_that_failed_is_measured_again(moody: tuple[Path, list[str]], tmp_path: Path) -> None:
    mood, overrides = moody
    run_here(tmp_path / "out", *overrides)
    mood.unlink()
    assert run_here(tmp_path / "out", *overrides)[1].epochs == []
    rows = moody_rows(tmp_path / "out")
    assert dict(zip(rows.metric, rows.value, strict=True)) == {"mood": 0.5, "moody": 0.25}
    assert set(rows.status) == {"ok"}
    files = sorted((tmp_path / "out").rglob("moody-*"))
    run_here(tmp_path / "out", *overrides)  # it has succeeded, so once more is once too many
    assert sorted((tmp_path / "out").rglob("moody-*")) == files


def test_a_failure_is_told_in_results_under_the_metrics_own_name(moody: tuple[Path, list[str]], tmp_path: Path) -> None:
    """A family whose rows have other names than its own leaves no error behind once it succeeds."""
    mood, overrides = moody
    renamed = [text.replace("metrics.moody", "metrics.feelings") for text in overrides]
    run_here(tmp_path / "out", *renamed)
    mood.unlink()
    run_here(tmp_path / "out", *renamed)
    rows = ticketsearch.load_results(tmp_path / "out")
    assert set(rows[rows.family == "feelings"].status) == {"ok"}
