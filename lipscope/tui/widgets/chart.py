"""Curves over one axis, in dots of braille and the theme's own colours, drawn to the size that there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from textual.content import Content

from lipscope.tui.plots.blocks import axis, nice_ticks, tick_labels
from lipscope.tui.plots.canvas import Floats, braille, line, points
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.over_axis import OverAxis

SMALLEST = (16, 4)
"""Cells; below that there is no room for curves and axes."""


@dataclass(frozen=True, eq=False)
class Series:
    """One curve.

    Args:
        name: of it, for what the mouse reads.
        x, y: (n,) ascending places and values; what is not finite is left out.
        style: its colour.
        gap: dots left out after as many drawn: 0 for a whole line.
        step: whether each value holds up to the next place.
        apart: whether the points stand alone.
    """

    name: str
    x: Floats
    y: Floats
    style: str = "$foreground"
    gap: int = 0
    step: bool = False
    apart: bool = False

    def at(self, x: float) -> float:
        """The value at a place; NaN beyond the ends."""
        if not len(self.x) or not self.x[0] <= x <= self.x[-1]:
            return float("nan")
        if self.step:
            return float(self.y[np.searchsorted(self.x, x, side="right") - 1])
        return float(np.interp(x, self.x, self.y))


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a chart shows.

    Args:
        series: later ones lie over earlier ones.
        over, up: the axes.
        across_text, up_text: how the mouse's reading is printed.
        ticks: the values on the left and their labels; by default round numbers.
        whole: whether the places are whole numbers.
        mark: a vertical line at this place.
        level: a horizontal line at this value.
        shaded: a style for what lies between the first two curves.
        gutter: cells of the labels on the left, at least; for charts under one another.
        labelled: whether the axis has its two lines below.
    """

    series: Sequence[Series]
    over: Range
    up: Range
    across_text: Callable[[float], str] = "{:.3g}".format
    up_text: Callable[[float], str] = "{:.4g}".format
    ticks: Callable[[int], tuple[list[float], list[str]]] | None = None
    whole: bool = False
    mark: float | None = None
    level: float | None = None
    shaded: str = ""
    gutter: int = 0
    labelled: bool = True


Cells = list[list[tuple[str, str]]]
"""Characters and styles, row by row."""


class Chart(OverAxis):
    """Curves with ticks; a crosshair under the mouse reads their values."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._drawing: Drawing | None = None

    def show(self, drawing: Drawing | None) -> None:
        """Draw other curves, or nothing."""
        self._drawing = drawing
        self.refresh()

    def render(self) -> Content:
        """The curves above their axis, labels on the left."""
        width, height = self.size
        drawing = self._drawing
        if drawing is None or width < SMALLEST[0] or height < SMALLEST[1]:
            self.columns = 0
            return Content("")
        rows = height - 2 if drawing.labelled else height
        rungs, labels = (drawing.ticks or (lambda most: _ticks(drawing.up, most)))(max(rows // 3, 2))
        gutter = max(max(map(len, labels), default=0), drawing.gutter)
        self.first, self.columns, self.over = gutter + 1, width - gutter - 1, drawing.over
        cells: Cells = [[(" ", "")] * self.columns for _ in range(rows)]
        _fill(drawing, cells, self.columns, rows)
        self._crosshair(drawing, cells)
        left = [" " * gutter + "│"] * rows
        for rung, label in zip(rungs, labels, strict=True):
            left[_row(rung, drawing.up, rows)] = label.rjust(gutter) + "┤"
        lines = [
            Content.assemble((side, "$foreground 60%"), *runs(row)) for side, row in zip(left, cells, strict=True)
        ]  # fmt: skip
        if drawing.labelled:
            across, below = axis(drawing.over, self.columns, whole=drawing.whole)
            if drawing.mark is not None:
                at = drawing.over.column(drawing.mark, self.columns)
                across = across[:at] + "▲" + across[at + 1 :]
            lines.append(Content.styled(" " * gutter + "└" + across, "$foreground 60%"))
            lines.append(Content.styled(" " * (gutter + 1) + below, "$foreground 60%"))
        return Content("\n").join(lines)

    def _crosshair(self, drawing: Drawing, cells: Cells) -> None:
        if self.hovered is None:
            return
        at = drawing.over.column(self.hovered, self.columns)
        for row in cells:
            if row[at][0] == " ":
                row[at] = ("┊", "$foreground 50%")
        values = ((one.name, one.at(self.hovered)) for one in drawing.series if not one.apart)
        words = [f"{name} {drawing.up_text(value)}".strip() for name, value in values if np.isfinite(value)]
        text = f" {drawing.across_text(self.hovered)}: {', '.join(words)} " if words else ""
        start = self.columns - len(text) if at < self.columns / 2 else 0
        for place, letter in enumerate(text[: self.columns], max(start, 0)):
            cells[0][place] = (letter, "reverse")


def _fill(drawing: Drawing, cells: Cells, columns: int, rows: int) -> None:
    """Lines and curves, the later over the earlier."""
    if drawing.shaded and len(drawing.series) > 1:
        places = drawing.over.low + (np.arange(columns) + 0.5) / columns * (drawing.over.high - drawing.over.low)
        for column, x in enumerate(places.tolist()):
            ends = [one.at(x) for one in drawing.series[:2]]
            low, high = sorted(_row(0.0 if np.isnan(value) else value, drawing.up, rows) for value in ends)
            for row in range(low + 1, high):
                cells[row][column] = ("░", drawing.shaded)
    if drawing.level is not None and drawing.up.low <= drawing.level <= drawing.up.high:
        row = _row(drawing.level, drawing.up, rows)
        cells[row] = [("╌", "$foreground 40%")] * columns
    if drawing.mark is not None and drawing.over.low <= drawing.mark <= drawing.over.high:
        at = drawing.over.column(drawing.mark, columns)
        for whole_row in cells:
            whole_row[at] = ("│", "bold $foreground")
    for one in drawing.series:
        kept = np.isfinite(one.x) & np.isfinite(one.y)
        x, y = one.x[kept], one.y[kept]
        if one.apart:
            dots = points(x, y, drawing.over, drawing.up, columns, rows)
        else:
            dots = line(x, y, drawing.over, drawing.up, columns, rows, step=one.step, gap=one.gap)
        for row, text in enumerate(braille(dots)):
            for column, letter in enumerate(text):
                if letter != " ":
                    before, style = cells[row][column]
                    joined = chr(ord(before) | ord(letter)) if 0x2800 < ord(before) < 0x2900 else letter
                    cells[row][column] = (joined, one.style or style)


def _row(value: float, up: Range, rows: int) -> int:
    """The row of cells of a value, the same one that its dot lies in."""
    return rows - 1 - up.column(value, rows)


def _ticks(up: Range, most: int) -> tuple[list[float], list[str]]:
    rungs = nice_ticks(up, most)
    return rungs, tick_labels(rungs)


def percent_ticks(up: Range) -> Callable[[int], tuple[list[float], list[str]]]:
    """Ticks of shares, printed in per cent.

    >>> percent_ticks(Range(0.0, 1.0))(3)
    ([0.0, 0.5, 1.0], ['0%', '50%', '100%'])
    """

    def ticks(most: int) -> tuple[list[float], list[str]]:
        rungs = nice_ticks(up, most)
        return rungs, [f"{label}%" for label in tick_labels([100 * rung for rung in rungs])]

    return ticks


def runs(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style together."""
    return [
        ("".join(letter for letter, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])
    ]  # fmt: skip
