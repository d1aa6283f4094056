"""The three shares over the radii as an area, under the histogram of the radii and on the same axis. Pure functions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipscope.records.certificates import Certificates
from lipscope.tui.plots.bands import BEHIND, CERTIFIED, NOT, STYLES, WRONG, sure_style
from lipscope.tui.plots.bars import BLOCKS
from lipscope.tui.plots.canvas import Floats
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Cells, Drawing, Series, percents

GUTTER = 6
"""Cells left of the axis, in the histogram above too."""


def area_drawing(
    radii: Floats,
    total: int,
    over: Range,
    mark: float,
    overlay: tuple[Floats, int] | None = None,
    sure: str = STYLES[CERTIFIED],
) -> Drawing:
    """In the style ``sure`` what is certified at each radius, amber what is right but not certified, red what is wrong.

    ``radii`` are those of the correct images, ascending; ``overlay`` those of one class, and how many images it has.
    """

    def fill(columns: int, rows: int, up: Range) -> tuple[Cells, list[str]]:
        places = over.low + (np.arange(columns) + 0.5) / columns * (over.high - over.low)
        whole = round(rows / (up.high - up.low))
        above: Cells = [[(" ", "")] * columns for _ in range(rows - whole)]
        return above + area(_rates(radii, total, places), len(radii) / max(total, 1), whole, sure), []

    series = []
    if overlay is not None:
        fine = np.linspace(over.low, over.high, 500)
        series = [Series("", fine, _rates(*overlay, fine), "bold $foreground", step=True)]
    return Drawing(
        over, series, fill=fill, labels=percents, mark=mark, gutter=GUTTER,
        read=lambda x, columns: f"{100 * float(_rates(radii, total, np.array([x]))[0]):.1f}% right beyond {x:.3f}",
    )  # fmt: skip


def area_of(certificates: Certificates, eps: Fraction) -> Drawing:
    """The same of all images of some results."""
    radii = np.sort(certificates.radius[certificates.correct])
    over = Range(0.0, max(float(radii[-1]) if len(radii) else 0.0, float(eps), 1e-9))
    return area_drawing(radii, len(certificates), over, float(eps), sure=sure_style(certificates))


def _rates(radii: Floats, total: int, at: Floats) -> Floats:
    beyond: Floats = (len(radii) - np.searchsorted(radii, at, side="right")) / max(total, 1)
    return beyond


def area(certified: Floats, clean: float, rows: int, sure: str = STYLES[CERTIFIED]) -> Cells:
    """The shares over the radii, one column each, top row first.

    ``certified`` are rates in [0, 1], at most ``clean``, the share of right predictions; the whole height is 1.

    >>> ["".join(letter for letter, _ in row) for row in area(np.array([0.5, 0.0]), 0.75, 4)]
    ['░░', '▒▒', '█▒', '█▒']
    """
    eighths = np.round(certified * 8 * rows).astype(int).tolist()
    right = round(clean * rows)
    cells: Cells = []
    for row in range(rows - 1, -1, -1):
        line = []
        for height in eighths:
            over = min(max(height - 8 * row, 0), 8)
            sign = CERTIFIED if over == 8 else NOT if row < right else WRONG
            if 0 < over < 8:
                line.append((BLOCKS[over], f"{sure} on {BEHIND[sign]}"))
            else:
                line.append((sign, sure if sign == CERTIFIED else STYLES[sign]))
        cells.append(line)
    return cells
