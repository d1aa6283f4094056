"""Curves, bars and areas over one axis, in the theme's own colours, drawn to the size that there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from textual import events, on
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lipscope.tui.plots.blocks import axis, bin_counts, count_labels, graduated, histogram, tick_labels
from lipscope.tui.plots.canvas import Floats, braille, line, points
from lipscope.tui.plots.range import UNIT, Range

SMALLEST = (14, 3)
"""Cells; below that there is no room for curves and axes."""

GUTTER = 6
"""Cells left of the axis of charts under one another, so that it is one."""

Cells = list[list[tuple[str, str]]]
"""Characters and styles, row by row, the top row first."""


@dataclass(frozen=True, eq=False)
class Series:
    """One curve."""

    name: str  # of it, for what the mouse reads
    x: Floats  # x, y: (n,) ascending places and values; what is not finite is left out
    y: Floats
    style: str = "$foreground"  # its colour
    gap: int = 0  # dots left out after as many drawn: 0 for a whole line
    step: bool = False  # whether each value holds up to the next place
    apart: bool = False  # whether the points stand alone
    shaded: bool = False  # whether what lies between it and 0 is shaded

    def at(self, x: float) -> float:
        """The value at a place; NaN beyond the ends."""
        if not len(self.x) or not self.x[0] <= x <= self.x[-1]:
            return float("nan")
        if self.step:
            return float(self.y[np.searchsorted(self.x, x, side="right") - 1])
        return float(np.interp(x, self.x, self.y))


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a chart shows."""

    over: Range  # the axis across
    series: Sequence[Series] = ()  # curves, later ones over earlier ones
    up: Range = UNIT  # the axis upwards
    across_text: Callable[[float], str] = "{:.3g}".format  # across_text, up_text: how the mouse's reading is printed
    up_text: Callable[[float], str] = "{:.4g}".format
    labels: Callable[[Sequence[float]], list[str]] = tick_labels  # of round numbers on the left
    # bars or areas behind the curves, for so many columns and rows on the axis upwards; the labels of the rows on the
    # left where they are not those of round numbers
    fill: Callable[[int, int, Range], tuple[Cells, Sequence[str]]] | None = None
    # what is said of a place under the mouse, on an axis of so many columns; by default the values of the curves
    read: Callable[[float, int], str] | None = None
    whole: bool = False  # whether the places are whole numbers
    mark: float | None = None  # an arrowhead at this place, and with ``upright`` a line over it
    upright: bool = True
    level: float | None = None  # a horizontal line at this value
    named: bool = False  # whether whole lines have their names at their ends
    gutter: int = 0  # cells of the labels on the left, at least; for charts under one another
    caption: str = ""  # the line above; left out where there is no room
    foot: str = ""  # words under the arrowhead; left out where there is no room


class Chart(Widget):
    """Curves, bars and areas over an axis; a crosshair under the mouse reads their values.

    ``pick`` takes a number of the axis that was pressed or dragged to, ``turn`` a turn of the wheel: one up or down.
    """

    hovered: reactive[float | None] = reactive(None)
    """The number of the axis under the mouse."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - Textual's name
        pick: Callable[[float], None] | None = None,
        turn: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(id=id)
        self._pick, self._turn = pick, turn
        self.drawing: Drawing | None = None
        self.first, self.columns = 0, 0  # of the axis, in cells

    def show(self, drawing: Drawing | None) -> None:
        """Draw something else, or nothing."""
        self.drawing = drawing
        self.refresh()

    def value_at(self, column: int) -> float | None:
        """The number in the middle of a column of the widget; None beside the axis."""
        place = column - self.first
        if self.drawing is None or not 0 <= place < self.columns:
            return None
        over = self.drawing.over
        return over.low + (place + 0.5) / self.columns * (over.high - over.low)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Choose."""
        if self._pick is not None:
            self.capture_mouse()
            self._choose(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag, or read."""
        if event.button:
            self._choose(event)
        self.hovered = self.value_at(event.x)

    def on_mouse_up(self) -> None:
        """The drag ends."""
        self.release_mouse()

    def on_leave(self) -> None:
        """Nothing is read any more."""
        self.hovered = None

    @on(events.MouseScrollUp)
    @on(events.MouseScrollDown)
    def _wheel(self, event: events.MouseEvent) -> None:
        if self._turn is not None:
            event.stop()
            self._turn(1 if isinstance(event, events.MouseScrollUp) else -1)

    def _choose(self, event: events.MouseEvent) -> None:
        value = self.value_at(min(max(event.x, self.first), self.first + self.columns - 1))
        if value is not None and self._pick is not None:
            self._pick(value)

    def render(self) -> Content:
        """Caption, what is drawn with labels on the left, the axis, the words of the mark."""
        (width, height), drawing = self.size, self.drawing
        if drawing is None or width < SMALLEST[0] or height < SMALLEST[1]:
            self.columns = 0
            return Content("")
        caption, foot = bool(drawing.caption) and height >= 5, bool(drawing.foot) and height >= 7
        rows = height - 2 - caption - foot
        up, rungs = graduated(drawing.up, rows, max(rows // 3, 2))
        drawing, labels = replace(drawing, up=up), drawing.labels(rungs)
        gutter = max(drawing.gutter, 0 if drawing.fill else max(map(len, labels), default=0))
        self.first, self.columns = gutter + 1, width - gutter - 1
        nothing: Cells = [[(" ", "")] * self.columns for _ in range(rows)]
        cells, beside = drawing.fill(self.columns, rows, up) if drawing.fill else (nothing, [])
        _fill(drawing, cells, self.columns, rows)
        if drawing.named:
            _name_ends(drawing, cells, rows)
        self._crosshair(drawing, cells)
        left = [f"{label:>{gutter}}{'┤' if label.strip() else '│'}" for label in beside or [""] * rows]
        if not beside:
            for rung, label in zip(rungs, labels, strict=True):
                left[_row(rung, up, rows)] = label.rjust(gutter) + "┤"
        lines = [Content.styled(drawing.caption[:width], "bold")] if caption else []
        lines += [Content.assemble((side, QUIET), *runs(row)) for side, row in zip(left, cells, strict=True)]
        across, below = axis(drawing.over, self.columns, whole=drawing.whole)
        at = drawing.over.column(drawing.mark or 0.0, self.columns)
        if drawing.mark is not None:
            across = across[:at] + "▲" + across[at + 1 :]
        lines += [Content.styled(" " * gutter + "└" + across, QUIET), Content.styled(" " * (gutter + 1) + below, QUIET)]
        if foot:  # from under its arrowhead on where there is room, else ending there
            start = gutter + 1 + at
            words = " " * start + drawing.foot
            lines.append(
                Content.styled(words if len(words) <= width else drawing.foot.rjust(start + 1)[:width], "bold")
            )
        return Content("\n").join(lines)

    def _crosshair(self, drawing: Drawing, cells: Cells) -> None:
        if self.hovered is None:
            return
        at = drawing.over.column(self.hovered, self.columns)
        for row in cells:
            row[at] = ("┊", "$foreground") if row[at][0] in " █▒░" else (row[at][0], "reverse")
        words = drawing.read(self.hovered, self.columns) if drawing.read else _read(drawing, self.hovered)
        text = f" {words} "[: self.columns] if words else ""
        for place, letter in enumerate(text, self.columns - len(text) if at < self.columns / 2 else 0):
            cells[0][place] = (letter, "reverse")


QUIET = "$foreground 60%"


def _read(drawing: Drawing, x: float) -> str:
    """The values of the curves at a place."""
    values = ((one.name, one.at(x)) for one in drawing.series if not one.apart)
    words = [f"{name} {drawing.up_text(value)}".strip() for name, value in values if np.isfinite(value)]
    return f"{drawing.across_text(x)}: {', '.join(words)}" if words else ""


def bars(
    values: Floats, weights: Floats, over: Range, mark: float, *, log: bool = False, gutter: int = 0,
    below: str = QUIET, above: str = QUIET, foot: str = "", caption: str = "",
) -> Drawing:  # fmt: skip
    """A histogram: bars of eighth blocks over an axis, an arrowhead at one position.

    ``below`` and ``above`` are the styles of the bars left of the mark, and from there on; where they differ, the
    letters do too.
    """
    gutter = max(len(f"{float(weights.sum()):,.0f}"), gutter)

    def fill(columns: int, rows: int, _up: Range) -> tuple[Cells, list[str]]:
        counts, at = bin_counts(values, over, columns, weights), over.column(mark, columns)
        lines = histogram(counts, rows, log=log)
        hatched = "▒" if below != above else "█"
        cells = [
            [(letter.replace("█", hatched), below) if k < at else (letter, above) for k, letter in enumerate(line)]
            for line in lines
        ]
        return cells, count_labels(float(counts.max(initial=0.0)), rows, log=log)

    def read(x: float, columns: int) -> str:
        counts, at = bin_counts(values, over, columns, weights), over.column(x, columns)
        low, high = (over.low + (at + k) / columns * (over.high - over.low) for k in (0, 1))
        return f"{counts[at]:,.0f} from {low:.4g} to {high:.4g}"

    return Drawing(over, mark=mark, upright=False, fill=fill, read=read, gutter=gutter, foot=foot, caption=caption)


def _fill(drawing: Drawing, cells: Cells, columns: int, rows: int) -> None:
    """Lines and curves, the later over the earlier."""
    places = drawing.over.low + (np.arange(columns) + 0.5) / columns * (drawing.over.high - drawing.over.low)
    for one in (series for series in drawing.series if series.shaded):
        zero = _row(0.0, drawing.up, rows)
        for column, x in enumerate(places.tolist()):
            if np.isfinite(value := one.at(x)):
                end = _row(value, drawing.up, rows)  # the row of the line, which is not shaded
                for row in range(end + 1, zero + 1) if end < zero else range(zero, end):
                    cells[row][column] = ("░", one.style)
    if drawing.level is not None and drawing.up.low <= drawing.level <= drawing.up.high:
        row = _row(drawing.level, drawing.up, rows)
        cells[row] = [("╌", "$foreground 40%")] * columns
    if drawing.mark is not None and drawing.upright and drawing.over.low <= drawing.mark <= drawing.over.high:
        at = drawing.over.column(drawing.mark, columns)
        for whole_row in cells:
            whole_row[at] = ("┃", "bold $foreground")
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
                    behind = f" on {style.split()[0]} {20 if before == '░' else 30}%" if before in "█▒░" else ""
                    cells[row][column] = (joined, one.style + behind)


def _name_ends(drawing: Drawing, cells: Cells, rows: int) -> None:
    """The name of each whole line behind its last point where there is room, else over the highest and under others.

    Where something else is drawn there, in the nearest row without; in the end over the line itself.
    """
    found = [
        (one, kept[-1]) for one in drawing.series if not one.gap and len(kept := np.flatnonzero(np.isfinite(one.y)))
    ]
    for place, (one, last) in enumerate(sorted(found, key=lambda pair: -pair[0].y[pair[1]])):
        at = _row(float(one.y[last]), drawing.up, rows)
        end = drawing.over.column(float(one.x[last]), len(cells[0])) + 1
        behind = end + 1 + len(one.name) <= len(cells[0])
        start = end + 1 if behind else max(end - len(one.name), 0)
        span, first = slice(start, start + len(one.name)), -1 if place == 0 else 1
        tried = [at + step for step in ((0, first, -first) if behind else (first, -first, 2 * first, -2 * first))]
        free = (row for row in tried if 0 <= row < rows and all(letter == " " for letter, _ in cells[row][span]))
        cells[next(free, at)][span] = [(letter, f"bold {one.style}") for letter in one.name]


def _row(value: float, up: Range, rows: int) -> int:
    """The row of cells of a value, the same one that its dot lies in."""
    return rows - 1 - up.column(value, rows)


def percents(shares: Sequence[float]) -> list[str]:
    """Labels of shares."""
    return [f"{label}%" for label in tick_labels([100 * share for share in shares])]


def runs(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style together."""
    return [
        ("".join(letter for letter, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])
    ]  # fmt: skip
