"""What every figure shares: choosing rows, naming metrics, the sparsity axis, colours, and saving.

Figures never use pyplot, so that drawing needs no display and leaves no global state; a file's bytes depend on the rows
and the versions of the libraries, on nothing else.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import matplotlib.style
import pandas as pd
from annotated_types import Ge, Le, MinLen
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page

from ticketsearch.analysis.mce import INDICES
from ticketsearch.analysis.seeds import At
from ticketsearch.conf import OWN
from ticketsearch.errors import UsageError, closest
from ticketsearch.figures.sheet import Sheet

Format = Literal["png", "pdf", "svg"]

# Okabe & Ito, "Color Universal Design" (2008), without black, which is the dense model's; yellow, the palest, is last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
# Coprime with the colours: 56 runs before a pair repeats.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

STYLE = {
    "font.size": 7.5, "axes.titlesize": 8.5, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7.5,
    "axes.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.3,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.5, "legend.frameon": False,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4,
    "xtick.major.size": 3, "ytick.major.size": 3, "xtick.minor.size": 1.6,
    "pdf.fonttype": 42,  # TrueType, as most journals ask
    "svg.hashsalt": "ticketsearch",  # makes the ids of an SVG repeatable
}  # fmt: skip
UNDATED: dict[Format, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}

TITLES = {
    "nll": "NLL", "ece": "ECE", "sce": "SCE", "brier": "Brier score", "macs": "MACs",
    "mce": "mCE", "relative_mce": "Relative mCE",
    "ood_auroc": "OoD ROC-AUC", "ood_aupr": "OoD PR-AUC", "ood_fpr95": "OoD FPR at 95 % TPR",
    "fgsm_accuracy": "FGSM accuracy", "pgd_accuracy": "PGD accuracy",
    "hessian_trace_weight": "Hessian trace (weight)", "hessian_trace_input": "Hessian trace (input)",
    "hessian_eigen_weight": "Hessian eigenvalue (weight)", "hessian_eigen_input": "Hessian eigenvalue (input)",
}  # fmt: skip
PERCENT = {"disagreement", "majority_share"}


@dataclass(frozen=True)
class Presentation:
    """How a metric is shown.

    Attributes:
        title: e.g. `Accuracy (%) ↑`; the arrow points to the better side, and is absent where neither is.
        scale: what a value is multiplied with before it is drawn: 100 for fractions shown in percent.
    """

    title: str
    scale: float


def presentation(metric: str, rows: pd.DataFrame) -> Presentation:
    """How a metric is shown, its unit and direction taken from its rows.

    Args:
        metric: the metric's name.
        rows: tidy rows, some of them the metric's.

    Returns:
        Its title and scale.
    """
    own = rows[rows["metric"] == metric]
    percent = metric in PERCENT or metric.endswith(("accuracy", "_error"))
    unit = "%" if percent else next((unit for unit in own["unit"].dropna() if unit), "")
    arrow = next(("↑" if better > 0 else "↓" for better in own["better"].dropna()), "")
    name = TITLES.get(metric) or metric.replace("_", " ").capitalize()
    return Presentation(" ".join(filter(None, [name, f"({unit})" if unit else "", arrow])), 100.0 if percent else 1.0)


@dataclass(frozen=True)
class Figure(ABC):
    """A figure drawn from tidy rows.

    Attributes:
        dataset: datasets to draw; () draws all.
        model: models to draw; () draws all.
        pruner: pruners to draw; () draws all. The dense model comes with each of them.
        prunable: rules of prunable weights to draw; () draws all.
        settings: where a metric was measured with several settings, the hashes of those to draw.
        formats: files to write, beside the CSV of the points.
        dpi: resolution of a PNG, dots per inch.
    """

    dataset: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    pruner: tuple[str, ...] = ()
    prunable: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    formats: Annotated[tuple[Format, ...], MinLen(1)] = ("png", "pdf")
    dpi: Annotated[int, Ge(20), Le(2400)] = 150

    @abstractmethod
    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw the figure's files.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: no rows are left to draw, or they cannot be drawn together.
        """

    def select(self, rows: pd.DataFrame, at: Sequence[At] = ("end",)) -> pd.DataFrame:
        """The rows of the figure's datasets, models, pruners and rules of prunable weights.

        Args:
            rows: tidy rows.
            at: of trained tickets, of tickets before training, or both.

        Returns:
            Those that every field admits.

        Raises:
            UsageError: there are no rows, or none of a name or of settings that were asked for.
        """
        if rows.empty:
            raise UsageError("there are no results to draw", "train something first", "ticketsearch run pruner=lth")
        if self.settings:
            require("settings", self.settings, rows.loc[rows["settings"] != "", "settings"].dropna().unique())
        for field in ("dataset", "model", "pruner", "prunable"):
            if wanted := getattr(self, field):
                require(field, wanted, rows[field])
                rows = rows[rows[field].isin(list(wanted))]
        return rows[rows["at"].isin(list(at))]

    def save(self, page: Page, points: pd.DataFrame, folder: Path, name: str) -> list[Path]:
        """Write a page in every format, and the points on it as CSV; each file appears whole or not at all.

        Args:
            page: the drawn page.
            points: what it shows.
            folder: where the files go; made if it is not there.
            name: the files' name without suffix.

        Returns:
            The files written.

        Raises:
            UsageError: a format is unknown.
        """
        if unknown := set(self.formats) - set(get_args(Format)):
            raise UsageError(f"no format '{min(unknown)}'", f"formats: {', '.join(get_args(Format))}")
        folder.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(page)
        if isinstance(page, Sheet):
            page.lay_out()
        table = folder / f"{name}.csv"
        _replace(table, lambda path: points.to_csv(path, index=False, lineterminator="\n"))
        return [*(self._write(page, folder / f"{name}.{kind}", kind) for kind in self.formats), table]

    def _write(self, page: Page, path: Path, kind: Format) -> Path:
        _replace(path, lambda path: page.savefig(path, format=kind, dpi=self.dpi, metadata=UNDATED[kind]))
        return path


def require(field: str, wanted: Iterable[str], existing: Iterable[str]) -> None:
    """Refuse a name that has no rows.

    Args:
        field: what is named: a field of the figure, singular or plural.
        wanted: the names asked for.
        existing: the names that rows have, repeated or not.

    Raises:
        UsageError: a name is not among the existing ones.
    """
    names = sorted(set(existing))
    for name in wanted:
        if name not in names:
            kind, otherwise = field.removesuffix("s"), f"ticketsearch plot {field}={names[0]}" if names else ""
            what, attempt = f"no rows of {kind} '{name}'", f"ticketsearch plot {field}={{}}"
            raise closest(name, names, what, attempt, otherwise, f"{field}={name}")


def require_metrics(wanted: Iterable[str], rows: pd.DataFrame, derived: Iterable[str] = ()) -> None:
    """Refuse a metric that has no value, with the reason where rows say it, and the command that measures it.

    Args:
        wanted: the metrics asked for.
        rows: the rows that could be drawn, those without a value among them.
        derived: metrics that are made of the rows' ones.

    Raises:
        UsageError: one has no value.
    """
    there = set(rows.loc[rows["status"] == "ok", "metric"]) | set(derived)
    families = {
        name: family
        for family in reversed(OWN.families())  # `start` gives names of families before it
        for name in OWN.head("metrics", family).facts["gives"].split(", ")
    }
    families |= dict.fromkeys(INDICES, families["corruption_error"])
    for name in wanted:
        if name in families and name not in there:
            right = f"the family {families[name]} measures it on tickets that there are"
            for why in rows.loc[rows["metric"] == name, ["status", "error"]].head(1).to_dict("records"):
                right = f"{why['status']}: {why['error'] or 'no reason was told'}"
            raise UsageError(
                f"no values of {name} to draw", right, f"ticketsearch evaluate 'metrics=[{families[name]}]'"
            )
    require("metrics", wanted, there)


def looks(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each label.

    Args:
        labels: of all the files of a figure, so that a label looks the same in each; repeated or not.

    Returns:
        Label -> (colour, marker).
    """
    names = sorted(set(labels))
    return {name: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, name in enumerate(names)}


def style() -> AbstractContextManager[None]:
    """The house style, whatever the user's matplotlibrc says; pages are made and saved inside it."""
    return matplotlib.style.context(["default", STYLE])


def position(sparsity: float) -> float:
    """Where a sparsity lies on the axis: the number of times that 20 % of what is left was removed.

    Args:
        sparsity: a fraction in [0, 1].

    Returns:
        log(1 - sparsity) / log(0.8): 0 for dense, n for 1 - 0.8^n, infinite for 1.
    """
    return math.log1p(-sparsity) / math.log(0.8) if sparsity < 1 else math.inf


def tick(step: int) -> str:
    """A tick's label: the sparsity 1 - 0.8^step in percent, e.g. `48.8`, `99.08`.

    Args:
        step: position on the axis, at least 0.

    Returns:
        One decimal, more where less than 1 % is kept, without trailing zeros.
    """
    kept = 100 * 0.8**step
    decimals = max(1, 1 - math.floor(math.log10(kept)))
    return f"{100 - kept:.{decimals}f}".rstrip("0").rstrip(".")


def sparsity_axis(axes: Axes, end: float, most: int = 6) -> None:
    """Make the x axis one of sparsity: an even grid of rounds, labelled in percent.

    Args:
        axes: whose x axis.
        end: the rightmost position drawn.
        most: how many labels fit side by side.
    """
    last = max(1, math.ceil(end - 1e-6))
    steps = range(0, last + 1, math.ceil((last + 1) / most))
    axes.set_xticks(list(steps), [tick(step) for step in steps])
    axes.set_xticks(range(last + 1), minor=True)
    margin = 0.03 * last
    axes.set_xlim(-margin, last + margin)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file, then rename: a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
