"""A page with a title above its panels, and the legend and notes below them; lengths in inches."""

import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Page
from matplotlib.layout_engine import ConstrainedLayoutEngine

GREY = "0.25"
WIDTH = 7.2
"""Of a page of two columns of text."""
LINE, NOTE, HEAD = 0.17, 0.11, 0.32


class Sheet(Page):
    """A page whose panels are put in their places once, when all are there; an engine of matplotlib's would do so for
    every file, and draw the page once more for it.
    """

    inside: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part that panels may take: left, bottom, width, height, fractions of the page."""

    def lay_out(self) -> None:
        """Put the panels where nothing overlaps, within `inside`."""
        ConstrainedLayoutEngine(rect=self.inside, h_pad=0.05, w_pad=0.06).execute(self)


def sheet(
    width: float,
    body: float,
    title: str,
    keys: Sequence[Artist] = (),
    notes: Sequence[str] = (),
    below: Sequence[Artist] = (),
) -> Sheet:
    """A page without panels yet; they are laid out within what is left.

    Args:
        width: of the page.
        body: height that the panels are to have.
        title: one line.
        keys: legend entries, in order.
        notes: what the reader must be told; at most six lines of them, the last one says by [...] that there are more.
        below: legend entries that begin a line of their own.
    """
    lines = [*packed(keys, width), *packed(below, width)]
    told = textwrap.wrap("; ".join(notes), int(17 * width), max_lines=6)
    foot = LINE * len(lines) + NOTE * len(told) + 0.1 + 0.05 * bool(lines)
    height = HEAD + body + foot
    page = Sheet(figsize=(width, height))
    page.inside = (0.0, foot / height, 1.0, body / height)
    page.text(0.5, 1 - 0.16 / height, title, ha="center", va="center", size=9, weight="bold")
    for n, handles in enumerate(lines):
        at = (0.5, (foot - 0.05 - LINE * n) / height)
        page.legend(
            handles=handles, loc="upper center", bbox_to_anchor=at, ncols=len(handles), borderpad=0, borderaxespad=0
        )
    page.text(0.5, 0.05 / height, "\n".join(told), ha="center", va="bottom", size=6, color=GREY)
    return page


def packed(keys: Sequence[Artist], width: float) -> list[list[Artist]]:
    """Legend keys in lines of at most `width` inches, by the width that text of the legend's size has on average."""
    lines, left = list[list[Artist]](), 0.0
    for key in keys:
        need = 0.5 + 0.06 * len(str(key.get_label()))
        if need > left:
            lines.append([])
            left = width
        lines[-1].append(key)
        left -= need
    return lines
