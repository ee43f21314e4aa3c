"""The paper's figure: what is drawn where, what is said, and what is refused; read back from the artists."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D

from tests.unit.rows import DENSE, curve, frame, row, share
from ticketsearch.analysis.epochs import trained_epochs
from ticketsearch.analysis.regions import regions
from ticketsearch.errors import UsageError
from ticketsearch.figures.base import Figure, position, presentation, style, tick
from ticketsearch.figures.curves import Curves
from ticketsearch.figures.panel import STACK
from ticketsearch.figures.sheet import Sheet

LTH = "digits-resnet20-lth-1a2b3c4d"
OMP = "digits-resnet20-omp-3c4d5e6f"
ACCURACY = {0: 0.95, 1: 0.96, 2: 0.945, 3: 0.8, 4: 0.5, 5: 0.11, 6: 0.1}  # I until 2, III from 5


def run(name: str, accuracy: dict[int, float], **fields: Any) -> list[dict[str, Any]]:
    return [*curve(name, accuracy, **fields), share(name, 0.1, 0.01, **fields)]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The pages drawn, in place of their files."""
    drawn: list[Page] = []

    def save(self: Figure, page: Page, points: pd.DataFrame, folder: Path, name: str) -> list[Path]:
        drawn.append(page)
        return []

    monkeypatch.setattr(Curves, "save", save)
    return drawn


def draw(pages: list[Page], rows: pd.DataFrame, **fields: Any) -> Page:
    Curves(**fields).draw(rows, Path("unused"))
    return pages[-1]


def lines(axes: Axes, suffix: str) -> dict[str, Line2D]:
    return {gid: line for line in axes.lines if (gid := str(line.get_gid())).endswith(suffix)}


def texts(page: Page) -> list[str]:
    return [text.get_text() for text in page.texts]


def dashes(line: Line2D) -> tuple[float, tuple[float, ...] | None]:
    """Offset and pattern; `get_linestyle` says "--" of every pattern."""
    pattern: tuple[float, tuple[float, ...] | None] = line._unscaled_dash_pattern  # type: ignore[attr-defined]
    return pattern


def test_line_styles_change_where_the_regions_do(pages: list[Page]) -> None:
    rows = frame(*run(LTH, ACCURACY))
    (axes,) = draw(pages, rows).axes
    solid, dashed, dotted = (lines(axes, f"{LTH}/{region}")[f"{LTH}/{region}"] for region in ("I", "II", "III"))
    (_, line), (_, long), (_, short) = map(dashes, (solid, dashed, dotted))
    assert line is None
    assert long is not None
    assert short is not None
    assert long[0] > 2 * short[0]
    found = regions(rows, LTH)
    # Each piece starts at the last point of the piece before: no hole.
    for piece, rounds in ((solid, [0, 1, 2]), (dashed, [2, 3, 4]), (dotted, [4, 5, 6])):
        assert piece.get_xdata() == pytest.approx(rounds)
        assert piece.get_ydata() == pytest.approx([100 * ACCURACY[round] for round in rounds])
        assert {found.of(round) for round in rounds[1:]} == {str(piece.get_gid()).split("/")[1]}


def test_every_metric_is_styled_by_accuracy(pages: list[Page]) -> None:
    rows = frame(*run(LTH, ACCURACY), *curve(LTH, dict.fromkeys(range(7), 0.02), metric="ece"))
    _, ece = draw(pages, rows).axes
    assert lines(ece, "/II")[f"{LTH}/II"].get_xdata() == pytest.approx([2, 3, 4])
    assert lines(ece, "/end")[f"{LTH}/end"].get_xdata() == pytest.approx([2, 2])


def test_boundaries_that_coincide_share_their_dashes(pages: list[Page]) -> None:
    never = "digits-resnet20-snip-77777777"
    rows = frame(*run(LTH, ACCURACY), *run(OMP, ACCURACY), *run(never, {0: 0.95, 1: 0.95}))
    (axes,) = draw(pages, rows).axes
    ends = lines(axes, "/end")
    assert set(ends) == {f"{LTH}/end", f"{OMP}/end"}, "a run that never left Region I has no end of it"
    assert all(end.get_xdata() == pytest.approx([2, 2]) for end in ends.values())
    assert [dashes(end) for end in ends.values()] == [(0, (3, 3)), (3, (3, 3))]
    assert len({end.get_color() for end in ends.values()}) == 2


def test_a_collapsed_ticket_widens_no_axis_below_the_floor(pages: list[Page]) -> None:
    nll = {0: 0.2, 1: 0.21, 2: 0.22, 3: 0.3, 4: 0.5, 5: 7.0, 6: 9.0}
    rows = frame(*run(LTH, ACCURACY), *curve(LTH, nll, metric="nll"))
    low, high = draw(pages, rows).axes[1].get_ylim()
    assert low < 0.2 < 9 < high, "by default everything is in sight"
    accuracy, axes = draw(pages, rows, floor=0.5).axes  # 0.5 of 0.95: rounds 5 and 6
    assert axes.get_ylim() == pytest.approx((0.2 - 0.06 * 0.3, 0.5 + 0.06 * 0.3))
    arrows = [line for line in axes.lines if line.get_gid() == f"{LTH}/outside"]
    assert [(line.get_xdata(), line.get_marker()) for line in arrows] == [
        (pytest.approx([5]), "^"), (pytest.approx([6]), "^")
    ]  # fmt: skip
    assert [line.get_marker() for line in accuracy.lines if line.get_gid() == f"{LTH}/outside"] == ["v", "v"]


def test_bands_do_not_widen_the_axes(pages: list[Page]) -> None:
    seeds = [*run(LTH, {0: 0.9, 1: 0.95}), *run(LTH, {0: 0.9, 1: 0.25}, seed=1)]  # 60 % +- 49.5
    (axes,) = draw(pages, frame(*seeds)).axes
    assert axes.get_ylim() == pytest.approx((60 - 0.06 * 30, 90 + 0.06 * 30))


def test_dense_is_a_line_with_a_band_and_no_curve(pages: list[Page]) -> None:
    seeds = [run(LTH, {0: dense, 1: 0.9}, seed=seed) for seed, dense in enumerate([0.94, 0.96])]
    (axes,) = draw(pages, frame(*itertools.chain(*seeds), *run(DENSE, {0: 0.3}))).axes
    line = lines(axes, DENSE)[DENSE]
    assert line.get_ydata() == pytest.approx([95, 95])
    assert line.get_linestyle() == "-."
    spread = 100 * np.std([0.94, 0.96], ddof=1)
    assert axes.patches[0].get_extents().transformed(axes.transData.inverted()).height == pytest.approx(2 * spread)
    assert not lines(axes, f"{DENSE}/I")


def test_a_gap_is_a_hole_and_is_named(pages: list[Page]) -> None:
    values = {n: value for n, value in ACCURACY.items() if n != 4}
    ece = [row(LTH, n, 0.02, "ece", status="error" if n == 1 else "ok") for n in range(7)]
    page = draw(pages, frame(*run(LTH, values), *ece, *run(OMP, ACCURACY), *curve(OMP, ACCURACY, metric="ece")))
    accuracy, calibration = page.axes
    dashed = np.asarray(lines(accuracy, "/II")[f"{LTH}/II"].get_ydata())
    assert np.isnan(dashed).tolist() == [False, False, True]
    assert np.isnan(lines(accuracy, "/III")[f"{LTH}/III"].get_ydata()[0])  # type: ignore[index]
    assert np.isnan(lines(calibration, "/I")[f"{LTH}/I"].get_ydata()).tolist() == [False, True, False]
    notes = " ".join(texts(page)[-1].split())
    assert notes == "lth: accuracy missing at round 4; lth: ece error at round 1; lth: regions decided without round 4"


def test_a_note_that_holds_for_every_curve_and_metric_is_said_once(pages: list[Page]) -> None:
    values = {0: 0.95, 2: 0.95}
    rows = [[*curve(name, values), *curve(name, values, metric="nll")] for name in (LTH, OMP)]
    page = draw(pages, frame(*itertools.chain(*rows)))
    expected = "all metrics missing at round 1; regions decided without round 1; Region III unknown (no majority_share)"
    assert sorted(" ".join(texts(page)[-1].split()).split("; ")) == sorted(expected.split("; "))


def test_the_title_counts_seeds(pages: list[Page]) -> None:
    assert "digits · resnet20 · 1 seed" in texts(draw(pages, frame(*run(LTH, ACCURACY))))
    seeds = [*run(LTH, ACCURACY), *run(LTH, {0: 0.95, 1: 0.9}, seed=1)]
    assert "digits · resnet20 · 1-2 seeds" in texts(draw(pages, frame(*seeds)))


def test_the_legend_names_curves_dense_and_styles(pages: list[Page]) -> None:
    rows = frame(*run(LTH, ACCURACY), *run("digits-resnet20-lth-9a9a9a9a", {0: 0.95, 1: 0.8}, rewind="step"))
    names = [text.get_text() for legend in draw(pages, rows).legends for text in legend.get_texts()]
    curves = ["lth (rewind=init)", "lth (rewind=step)", "dense"]
    assert names == [*curves, "Region I", "Region II", "Region III", "end of Region I"]


def test_two_recipes_have_two_dense_lines(pages: list[Page]) -> None:
    other = "digits-resnet20-dense-00000000"
    rows = frame(*run(LTH, {0: 0.9, 1: 0.9}), *run(OMP, {0: 0.8, 1: 0.8}, recipe="paper", dense=other))
    page = draw(pages, rows)
    heights = {gid: line.get_ydata()[0] for gid, line in lines(page.axes[0], "").items() if "dense" in gid}  # type: ignore[index]
    assert heights == pytest.approx({DENSE: 90, other: 80})
    names = [text.get_text() for legend in page.legends for text in legend.get_texts()]
    assert {"dense (recipe=digits)", "dense (recipe=paper)"} < set(names)


def test_other_schedules_lie_at_their_sparsity(pages: list[Page]) -> None:
    rows = frame(*run(LTH, {0: 0.95, 1: 0.94}), row(OMP, 0, 0.95), row(OMP, 1, 0.95, sparsity=1 - 0.8**7.5))
    (axes,) = draw(pages, rows).axes
    assert lines(axes, f"{OMP}/I")[f"{OMP}/I"].get_xdata() == pytest.approx([0, 7.5])
    assert axes.get_xlim()[1] >= 8


def test_default_panels_and_their_order(pages: list[Page]) -> None:
    names = ["disagreement", "ece", "loss", "nll", "accuracy", "majority_share", "class_accuracy"]
    values = [row(LTH, n, 0.5, name) for name in names for n in range(2)]
    rows = frame(*values, row(LTH, 1, 0.1, "layer_density", variant="conv1"), row(LTH, 1, 0.1, "brier", split="val"))
    titles = [axes.get_title() for axes in draw(pages, rows).axes]
    assert titles == ["Accuracy (%) ↑", "NLL ↓", "ECE ↓", "Disagreement (%) ↓"]
    flat = [row(LTH, n, 0.5, "hessian_trace_weight", split="train", better=-1.0) for n in range(2)]
    titles = [axes.get_title() for axes in draw(pages, frame(*values, *flat)).axes]
    assert titles[3:] == ["Disagreement (%) ↓", "Hessian trace (weight) ↓"]  # of the training loss
    asked = draw(pages, rows, metrics=("loss", "accuracy"))
    assert [axes.get_title() for axes in asked.axes] == ["Loss ↓", "Accuracy (%) ↑"]


def test_presentation_is_read_from_the_rows() -> None:
    rows = frame(
        row(LTH, 1, 9, "macs", better=-1, unit="MAC"), row(LTH, 1, 9, "odd_name", better=float("nan")),
        row(LTH, 1, 9, "corruption_error", better=-1), row(LTH, 1, 9, "ece", better=1),
    )  # fmt: skip
    shown = [presentation(name, rows) for name in ("macs", "odd_name", "corruption_error", "ece")]
    assert [(each.title, each.scale) for each in shown] == [
        ("MACs (MAC) ↓", 1), ("Odd name", 1), ("Corruption error (%) ↓", 100), ("ECE ↑", 1)
    ]  # fmt: skip


def test_the_axis_is_even_in_rounds() -> None:
    assert [position(1 - 0.8**n) for n in range(30)] == pytest.approx(range(30))
    assert position(1.0) == float("inf")
    assert [tick(n) for n in (0, 1, 2, 3, 4, 10, 21, 32)] == ["0", "20", "36", "48.8", "59", "89.3", "99.08", "99.921"]


def boxes(page: Page) -> Iterator[Any]:
    """Everything on the page that must not lie on anything else."""
    canvas = FigureCanvasAgg(page)
    if isinstance(page, Sheet):
        page.lay_out()
    canvas.draw()  # type: ignore[no-untyped-call]
    yield from (legend.get_window_extent() for legend in page.legends)
    yield from (text.get_window_extent() for text in page.texts if text.get_text())
    yield from (axes.get_tightbbox() for axes in page.axes)


@pytest.mark.parametrize("panels", [1, 2, 8])
@pytest.mark.parametrize("rounds", [1, 5, 33])
def test_nothing_overlaps(pages: list[Page], panels: int, rounds: int) -> None:
    metrics = ["accuracy", "worst_class_accuracy", "nll", "ece", "sce", "brier", "disagreement", "macs"][:panels]
    names = [f"digits-resnet20-{pruner}-00000000" for pruner in ("lth", "omp", "random", "snip", "synflow")]
    values = {n: 0.95 - 0.01 * n for n in range(rounds + 1) if n != 2}
    page = draw(
        pages, frame(*(r for name, m in itertools.product(names, metrics) for r in curve(name, values, metric=m)))
    )
    with style():
        for one, other in itertools.combinations(boxes(page), 2):
            assert not one.overlaps(other)
        assert all(page.bbox.padded(1).containsx(x) for box in boxes(page) for x in (box.x0, box.x1))
        assert all(page.bbox.padded(1).containsy(y) for box in boxes(page) for y in (box.y0, box.y1))
        for axes in page.axes:
            labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
            assert all(left.x1 + 2 < right.x0 for left, right in itertools.pairwise(labels))
            stacked = [line.get_window_extent() for line in axes.lines if not line.get_clip_on()]
            assert not axes.title.get_window_extent().count_overlaps(stacked)


def test_before_training_or_after_it(pages: list[Page]) -> None:
    before = curve(LTH, {0: 2.0, 1: 2.5}, metric="nll", family="start", at="start")
    rows = frame(*curve(LTH, {0: 0.95, 1: 0.94}), *curve(LTH, {0: 0.1, 1: 0.2}, metric="nll"), *before)
    drawn = {at: draw(pages, rows, metrics=("nll",), at=at) for at in ("start", "end")}
    found = {at: next(iter(lines(page.axes[0], "/I").values())).get_ydata().tolist() for at, page in drawn.items()}
    assert found == {"start": [2.0, 2.5], "end": [0.1, 0.2]}
    with pytest.raises(UsageError, match="no values of accuracy to draw"):
        draw(pages, rows, metrics=("accuracy",), at="start")


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    rows = frame(*curve(LTH, {0: 0.95, 1: 0.94}))
    with pytest.raises(UsageError, match="no rows of right 'snpi'"):
        Curves(right=("snpi",)).draw(rows, tmp_path)
    with pytest.raises(UsageError, match="no rows of baseline 'digits-typo'"):
        Curves(baseline="digits-typo").draw(rows, tmp_path)
    assert not list(tmp_path.iterdir())


def test_more_ends_of_region_one_than_fit_are_counted(pages: list[Page]) -> None:
    names = [f"digits-resnet20-lth-{n:08d}" for n in range(STACK + 4)]
    page = draw(pages, frame(*(row for name in names for row in curve(name, {0: 0.95, 1: 0.95, 2: 0.5}))))
    (axes,) = page.axes
    assert [text.get_text() for text in axes.texts] == [" +4"]
    assert len([line for line in axes.lines if not line.get_clip_on()]) == STACK


def test_the_csv_holds_the_plotted_points(tmp_path: Path) -> None:
    seeds = [run(LTH, ACCURACY), run(LTH, {n: value - 0.02 for n, value in ACCURACY.items() if n < 6}, seed=1)]
    rows = frame(*itertools.chain(*seeds), row(LTH, 1, 0.5, variant="class-3"), row(LTH, 1, 0.5, split="val"))
    *_, path = Curves(metrics=("accuracy",), formats=("svg",)).draw(rows, tmp_path)
    points = pd.read_csv(path)
    assert list(points) == [
        "dataset", "model", "run", "label", "metric", "variant", "split", "round", "sparsity", "region", "mean", "std",
        "seeds", "dense_mean",
    ]  # fmt: skip
    assert points["round"].tolist() == list(range(7))
    assert "".join(points["region"]) == "I" * 3 + "II" * 2 + "III" * 2
    assert points["mean"].tolist() == pytest.approx([*(ACCURACY[n] - 0.01 for n in range(6)), 0.1])
    assert points["std"].tolist()[:6] == pytest.approx([0.02 / 2**0.5] * 6)
    assert np.isnan(points["std"][6])
    assert points["seeds"].tolist() == [2] * 6 + [1]
    assert points["dense_mean"].tolist() == pytest.approx([0.94] * 7)
    assert points[["dataset", "model", "run", "label", "metric", "split"]].drop_duplicates().values.tolist() == [
        ["digits", "resnet20", LTH, "lth", "accuracy", "test"]
    ]


def test_files_depend_on_the_rows_and_not_on_their_order_or_the_time(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    seeds = [run(LTH, {n: generator.random() for n in range(8)}, seed=seed) for seed in range(3)]
    rows = frame(*itertools.chain(*seeds))
    figure = Curves(formats=("png", "pdf", "svg"))
    first, again = figure.draw(rows, tmp_path / "a"), figure.draw(rows[::-1], tmp_path / "b")
    assert [path.name for path in first] == [f"curves-digits-resnet20.{kind}" for kind in ("png", "pdf", "svg", "csv")]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert sorted((tmp_path / "a").iterdir()) == sorted(first), "no temporary file is left"


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame(*run(LTH, ACCURACY))
    (picture, _) = Curves(formats=("png",)).draw(rows, tmp_path)
    before = picture.read_bytes()

    def full(self: Page, path: Path, **kwargs: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Page, "savefig", full)
    with pytest.raises(OSError, match="no space"):
        Curves(formats=("png",)).draw(rows, tmp_path)
    assert picture.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_one_file_for_each_dataset_and_model_in_the_same_colours(pages: list[Page]) -> None:
    other = "mnist-resnet20-omp-00000000"
    Curves().draw(frame(*run(LTH, ACCURACY), *run(OMP, ACCURACY), *run(other, ACCURACY)), Path("unused"))
    digits, mnist = (page.axes[0] for page in pages)
    assert lines(digits, f"{OMP}/I")[f"{OMP}/I"].get_color() == lines(mnist, "/I")[f"{other}/I"].get_color()
    assert lines(digits, f"{LTH}/I")[f"{LTH}/I"].get_color() != lines(digits, f"{OMP}/I")[f"{OMP}/I"].get_color()


def test_rows_are_selected_by_field(pages: list[Page]) -> None:
    rows = frame(*run(LTH, ACCURACY), *run(OMP, ACCURACY, prunable="all"))
    for fields in ({"pruner": ("omp",)}, {"prunable": ("all",)}):
        assert list(lines(draw(pages, rows, **fields).axes[0], "/I")) == [f"{OMP}/I"]


@pytest.mark.parametrize(
    ("fields", "what", "right"),
    [
        ({"metrics": ("acuracy",)}, "no rows of metric 'acuracy'", "did you mean 'accuracy'?  (choices: accuracy maj"),
        ({"metrics": ("ece",)}, "no values of ece", "error: it went wrong"),
        ({"metrics": ("accuracy", "pgd_accuracy")}, "no values of pgd_accuracy", "the family pgd measures it"),
        ({"metrics": ("mce",)}, "no values of mce", "the family corruption measures it"),
        ({"pruner": ("lht",)}, "no rows of pruner 'lht'", "did you mean 'lth'?  (choices: lth omp)"),
        ({"settings": ("deadbeef",)}, "no rows of setting 'deadbeef'", "(choices: aaaaaaaaaaaa)"),
        ({"dataset": ("digits", "cifar10")}, "no rows of dataset 'cifar10'", "(choices: digits)"),
        ({"metrics": ("sce",)}, "no values of sce", "the family calibration measures it"),
        ({"split": "train"}, "there is no metric to draw", "none"),
        ({"formats": ("gif",)}, "no format 'gif'", "png, pdf, svg"),
        ({"band": "sem"}, "no band 'sem'", "std, range, none"),
        ({"tolerance": 1.0}, "tolerance=1 is no fraction", "0.01 is one percentage point"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], what: str, right: str, tmp_path: Path) -> None:
    other = [row(LTH, 1, 0, "ece", status="error", error="it went wrong"), row(LTH, 1, 0, "sce", split="val")]
    rows = frame(*run(LTH, ACCURACY), *run(OMP, ACCURACY), *other)
    with pytest.raises(UsageError) as refused:
        Curves(**fields).draw(rows, tmp_path)
    assert what in refused.value.what
    assert right in refused.value.right
    assert not list(tmp_path.iterdir())


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results"):
        Curves().draw(frame(), tmp_path)
    with pytest.raises(UsageError, match="only dense models"):
        Curves().draw(frame(*run(DENSE, {0: 0.9})), tmp_path)


def test_values_that_are_no_numbers_are_no_curve(tmp_path: Path) -> None:
    nothing = curve(LTH, {0: float("nan"), 1: float("nan")}, metric="ece")
    with pytest.raises(UsageError, match="nothing of ece to draw"):
        Curves(metrics=("ece",)).draw(frame(*run(LTH, {0: 0.9, 1: 0.9}), *nothing), tmp_path)


def test_two_settings_are_refused_until_one_is_chosen(pages: list[Page]) -> None:
    extra = curve(LTH, {0: 0.3, 1: 0.2}, metric="ece", settings="b" * 12)
    rows = frame(*run(LTH, {0: 0.9, 1: 0.9}), *curve(LTH, {0: 0.1, 1: 0.1}, metric="ece"), *extra)
    with pytest.raises(UsageError, match=r"'ece' .* aaaaaaaaaaaa, bbbbbbbbbbbb"):
        draw(pages, rows)
    accuracy, ece = draw(pages, rows, settings=("b" * 12,)).axes
    assert lines(accuracy, "/I")[f"{LTH}/I"].get_ydata() == pytest.approx([90, 90])
    assert lines(ece, "/I")[f"{LTH}/I"].get_ydata() == pytest.approx([0.3, 0.2])


def test_figures_import_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, ticketsearch.figures.curves; "
        "print(sorted({'torch', 'matplotlib.pyplot', 'ticketsearch.figures.curves'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ticketsearch.figures.curves']"


def test_the_title_says_for_how_many_epochs_tickets_were_trained(tmp_path: Path) -> None:
    fields = {"family": "training", "split": "train"}
    epochs = [row(LTH, 1, 0.5, "loss", variant=f"epoch-{n}", **fields) for n in range(4, 16)]  # rewound to 3
    dense = [row(LTH, 0, 0.5, "loss", variant="epoch-30", **fields)]  # of another run, whose rows it shares
    table = frame(*curve(LTH, {0: 0.9, 1: 0.9}), *epochs, *dense)
    assert trained_epochs(table).to_dict() == {LTH: 12}
    Curves(formats=("svg",)).draw(table, tmp_path)
    drawn = (tmp_path / "curves-digits-resnet20.svg").read_text()
    assert "<!-- digits · resnet20 · 1 seed · 12 epochs -->" in drawn
