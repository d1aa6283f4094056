"""The three shares over the radii as an area, under the histogram of the radii and on the same axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from textual.content import Content

from lipscope.tui.plots.bands import BEHIND, CERTIFIED, NOT, STYLES, WRONG
from lipscope.tui.plots.bars import BLOCKS
from lipscope.tui.plots.blocks import axis
from lipscope.tui.plots.canvas import Floats, braille, line
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import percent_ticks, runs
from lipscope.tui.widgets.over_axis import OverAxis

GUTTER = 6
"""Cells left of the axis, in the histogram above too."""


@dataclass(frozen=True, eq=False)
class AreaData:
    """What is drawn.

    Args:
        radii: (correct,) ascending, of the images that are classified correctly.
        total: how many images there are.
        over: the axis.
        mark: the radius chosen.
        overlay: (n,) ascending radii of the correct images of one class, and how many images it has.
    """

    radii: Floats
    total: int
    over: Range
    mark: float
    overlay: tuple[Floats, int] | None = None

    def rates(self, at: Floats) -> Floats:
        """The certified share at each radius."""
        return _rates(self.radii, self.total, at)


class BandArea(OverAxis):
    """Green what is certified at each radius, amber what is right but not certified, red what is wrong."""

    def __init__(self) -> None:
        super().__init__(id="radii-area")
        self._data: AreaData | None = None

    def show(self, data: AreaData) -> None:
        """Draw other shares."""
        self._data = data
        self.refresh()

    def render(self) -> Content:
        """The area, the radius chosen, the axis."""
        data, (width, height) = self._data, self.size
        if data is None or width < 20 or height < 5:
            return Content("")
        rows, columns = height - 2, width - GUTTER - 1
        self.first, self.columns, self.over = GUTTER + 1, columns, data.over
        places = data.over.low + (np.arange(columns) + 0.5) / columns * (data.over.high - data.over.low)
        cells = area(data.rates(places), len(data.radii) / max(data.total, 1), rows)
        if data.overlay is not None:
            radii, total = data.overlay
            fine = np.linspace(data.over.low, data.over.high, 2 * columns)
            drawn = line(fine, _rates(radii, total, fine), data.over, Range(0.0, 1.0), columns, rows, step=True)
            for row, text in zip(cells, braille(drawn), strict=True):
                for place, letter in enumerate(text):
                    if letter != " ":
                        row[place] = (letter, f"bold $foreground on {row[place][1].split()[0]} 30%")
        at = data.over.column(data.mark, columns)
        for row in cells:
            row[at] = ("┃", "bold $foreground")
        self._read(data, cells)
        rungs, labels = percent_ticks(Range(0.0, 1.0))(max(rows // 3, 2))
        left = [" " * GUTTER + "│"] * rows
        for rung, label in zip(rungs, labels, strict=True):
            left[min(rows - 1 - int(rung * rows), rows - 1) if rung < 1 else 0] = label.rjust(GUTTER) + "┤"
        lines = [Content.assemble((side, "$foreground 60%"), *runs(row)) for side, row in zip(left, cells, strict=True)]
        across, below = axis(data.over, columns)
        across = across[:at] + "▲" + across[at + 1 :]
        lines.append(Content.styled(" " * GUTTER + "└" + across, "$foreground 60%"))
        lines.append(Content.styled(" " * (GUTTER + 1) + below, "$foreground 60%"))
        return Content("\n").join(lines)

    def _read(self, data: AreaData, cells: list[list[tuple[str, str]]]) -> None:
        """What the curve says under the mouse."""
        if self.hovered is None:
            return
        rate = float(data.rates(np.array([self.hovered]))[0])
        text = f" {100 * rate:.1f}% certified at {self.hovered:.3f} "[: self.columns]
        at = data.over.column(self.hovered, self.columns)
        start = self.columns - len(text) if at < self.columns / 2 else 0
        for row in cells:
            row[at] = ("┊", "$foreground")
        for place, letter in enumerate(text, start):
            cells[0][place] = (letter, "reverse")


def _rates(radii: Floats, total: int, at: Floats) -> Floats:
    beyond: Floats = (len(radii) - np.searchsorted(radii, at, side="right")) / max(total, 1)
    return beyond


def area(certified: Floats, clean: float, rows: int) -> list[list[tuple[str, str]]]:
    """The shares over the radii, one column each, top row first.

    Args:
        certified: (columns,) rates in [0, 1], at most ``clean``.
        clean: the share of right predictions.
        rows: in cells; the whole height is 1.

    >>> ["".join(letter for letter, _ in row) for row in area(np.array([0.5, 0.0]), 0.75, 4)]
    ['░░', '▒▒', '█▒', '█▒']
    """
    eighths = np.round(certified * 8 * rows).astype(int).tolist()
    right = round(clean * rows)
    cells: list[list[tuple[str, str]]] = []
    for row in range(rows - 1, -1, -1):
        line = []
        for height in eighths:
            over = min(max(height - 8 * row, 0), 8)
            sign = CERTIFIED if over == 8 else NOT if row < right else WRONG
            if 0 < over < 8:
                line.append((BLOCKS[over], f"{STYLES[CERTIFIED]} on {BEHIND[sign]}"))
            else:
                line.append((sign, STYLES[sign]))
        cells.append(line)
    return cells
