"""Which classes pay for pruning: a map of classes and rounds for each run (after Hooker et al. 2019)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page

from ticketsearch.analysis.classes import class_changes
from ticketsearch.analysis.labels import labels
from ticketsearch.errors import UsageError
from ticketsearch.figures import base


@dataclass(frozen=True)
class Classes(base.Figure):
    """Change of each class beyond the change of all, in percentage points, round by round; one file for each run.

    A dot marks what differs from the dense models by Welch's t-test over seeds at 0.05.

    Attributes:
        split: where the accuracies were measured.
    """

    split: Literal["test", "val"] = "test"

    def draw(self, rows: pd.DataFrame, folder: Path) -> list[Path]:
        """Draw `classes-<run>`, with the table as CSV.

        Args:
            rows: tidy rows.
            folder: where the files go; made if it is not there.

        Returns:
            The files written.

        Raises:
            UsageError: no run has accuracies of classes.
        """
        rows = self.select(rows)
        rows = rows[rows["run"] != rows["dense"]]
        table = class_changes(rows, self.split, self.settings)
        if table.empty:
            right = "the family accuracy measures them on every ticket"
            raise UsageError("no accuracies of classes to draw", right, "ticketsearch evaluate 'metrics=[accuracy]'")
        names, written = labels(rows), list[Path]()
        for run, own in table.groupby("run"):
            first = rows[rows["run"] == run].iloc[0]
            title = f"{first['dataset']} · {first['model']} · {names[str(run)]}"
            with base.style():
                written += self.save(_page(own, title), own, folder, f"classes-{run}")
        return written


def _page(table: pd.DataFrame, title: str) -> Page:
    """Classes from top to bottom, rounds from left to right; lengths in inches."""
    grid = table.pivot_table("change", "class", "round") * 100
    sure = table.pivot_table("significant", "class", "round")
    page = Page(figsize=(1.9 + 0.3 * grid.shape[1], 1.1 + max(0.16 * grid.shape[0], 1.0)), layout="constrained")
    axes = page.subplots()
    most = float(np.nanmax(np.abs(grid.to_numpy()))) or 1.0
    image = axes.imshow(grid, cmap="RdBu", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    page.colorbar(image, ax=axes, label="change beyond all (points)")
    rows, columns = np.nonzero(sure.to_numpy() > 0)
    axes.plot(columns, rows, ".", color="black", ms=2.5)
    _name(axes, grid, table.drop_duplicates("round").set_index("round")["sparsity"])
    seeds = int(table["seeds"].max())
    axes.set_title(f"{title} · {seeds} seed{'s' * (seeds != 1)}")
    return page


def _name(axes: Axes, grid: pd.DataFrame, sparsity: "pd.Series[float]") -> None:
    """Names of the rows and the columns; of many classes some."""
    step = -(-len(grid) // 20)
    axes.set_yticks(range(0, len(grid), step), [str(number) for number in grid.index[::step]])
    axes.set_xticks(range(grid.shape[1]), [f"{100 * sparsity[n]:.4g}" for n in grid.columns], rotation=90)
    axes.set_xlabel("sparsity (%)")
    axes.set_ylabel("class")
    axes.grid(visible=False)
