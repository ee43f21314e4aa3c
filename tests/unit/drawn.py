"""What a figure draws, in place of its files."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.text import Text

from ticketsearch.figures.base import Figure
from ticketsearch.figures.sheet import Sheet


def drawn(figure: Figure, rows: pd.DataFrame) -> list[tuple[Page, pd.DataFrame, str]]:
    """Each page of a figure, laid out, its table and the name of its files."""
    pages: list[tuple[Page, pd.DataFrame, str]] = []

    def save(self: Figure, page: Page, points: pd.DataFrame, folder: Path, name: str) -> list[Path]:
        canvas = FigureCanvasAgg(page)
        if isinstance(page, Sheet):
            page.lay_out()
        canvas.draw()
        pages.append((page, points, name))
        return []

    with mock.patch.object(Figure, "save", save):
        figure.draw(rows, Path("unused"))
    return pages


def one(figure: Figure, rows: pd.DataFrame) -> tuple[Page, pd.DataFrame]:
    """The only page of a figure, and its table."""
    ((page, points, _),) = drawn(figure, rows)
    return page, points


def notes(page: Page) -> str:
    """What is written below."""
    return " ".join(page.texts[-1].get_text().split())


def named(axes: Axes, gid: str) -> Any:
    """The artist of that name."""
    (found,) = (artist for artist in axes.get_children() if artist.get_gid() == gid)
    return found


def texts(page: Page) -> Iterator[Text]:
    """Everything written on a page that can be seen, but minor ticks."""
    for text in page.findobj(Text):
        if text.get_visible() and text.get_text().strip() and not _hidden_tick(text, page):
            yield text


def _hidden_tick(text: Text, page: Page) -> bool:
    """Ticks beyond the limits keep their labels, which are not drawn."""
    for axes in page.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.name != "polar" else ():
            labels = [label for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)]
            if text in labels:
                shown = [tick for tick in axis._update_ticks()]  # type: ignore[attr-defined]
                return not any(text in (tick.label1, tick.label2) for tick in shown)
            if text in [label for tick in axis.get_minor_ticks() for label in (tick.label1, tick.label2)]:
                return True
    return False


def collisions(page: Page) -> list[tuple[str, str]]:
    """Pairs of texts that overlap by more than a point, and texts that leave the page."""
    slack = page.dpi / 72
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(page)]
    found = [
        (name, other)
        for (name, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
    ]
    inside = page.bbox
    return found + [
        (name, "the edge")
        for name, box in boxes
        if box.x0 < inside.x0 - slack or box.x1 > inside.x1 + slack or box.y0 < -slack or box.y1 > inside.y1 + slack
    ]
