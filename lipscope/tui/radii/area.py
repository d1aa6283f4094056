"""The three shares over the radii as an area, under the histogram of the radii and on the same axis. Pure functions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipscope.records.certificates import Certificates
from lipscope.tui.plots.bands import BEHIND, CERTIFIED, NOT, STYLES, WRONG, sure_style
from lipscope.tui.plots.bars import BLOCKS
from lipscope.tui.plots.canvas import Floats
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import GUTTER, Cells, Drawing, Series, bars, percents


def right_radii(certificates: Certificates, label: int | None = None) -> Floats:
    """The radii of the right images, ascending; with a label those of one class alone."""
    mine = certificates.correct if label is None else certificates.correct & (certificates.label == label)
    return np.sort(certificates.radius[mine])


def radius_axis(radii: Floats, eps: Fraction) -> Range:
    """From 0 to the largest of ascending radii, at least to eps."""
    return Range(0.0, max(float(radii[-1]) if len(radii) else 0.0, float(eps), 1e-9))


def histogram_drawing(certificates: Certificates, eps: Fraction, *, log: bool = False) -> Drawing:
    """How many right images have each radius, those that are certified at eps in the colour of that."""
    radii, sure = right_radii(certificates), sure_style(certificates)
    below = BEHIND[NOT] if sure == STYLES[NOT] else STYLES[NOT]
    return bars(
        radii, np.ones(len(radii)), radius_axis(radii, eps), float(eps), log=log, gutter=GUTTER, below=below, above=sure
    )


def area_drawing(certificates: Certificates, eps: Fraction, label: int | None = None) -> Drawing:
    """What is certified at each radius, in amber what is right but not certified, in red what is wrong.

    With a ``label`` a line over it is the share of that class alone.
    """
    radii, total, sure = right_radii(certificates), len(certificates), sure_style(certificates)
    over = radius_axis(radii, eps)

    def fill(columns: int, rows: int, up: Range) -> tuple[Cells, list[str]]:
        places = over.low + (np.arange(columns) + 0.5) / columns * (over.high - over.low)
        whole = round(rows / (up.high - up.low))
        above: Cells = [[(" ", "")] * columns for _ in range(rows - whole)]
        return above + area(rates_at(radii, total, places), len(radii) / max(total, 1), whole, sure), []

    series = []
    if label is not None:
        fine, images = np.linspace(over.low, over.high, 500), int((certificates.label == label).sum())
        shares = rates_at(right_radii(certificates, label), images, fine)
        series = [Series("", fine, shares, "bold $foreground", step=True)]
    return Drawing(
        over, series, fill=fill, labels=percents, mark=float(eps), gutter=GUTTER,
        read=lambda x, columns: f"{100 * float(rates_at(radii, total, np.array([x]))[0]):.1f}% right beyond {x:.3f}",
    )  # fmt: skip


def rates_at(radii: Floats, total: int, at: Floats) -> Floats:
    """Which share of ``total`` images has radii, ascending, beyond each place."""
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
