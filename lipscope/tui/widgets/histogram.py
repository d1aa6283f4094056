"""A histogram with a marked position, drawn to the size it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from textual.content import Content

from lipscope.tui.plots.blocks import figure
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.over_axis import OverAxis

SMALLEST = (14, 3)
"""Cells; below that there is no room for bars and axes."""


@dataclass(frozen=True)
class HistogramData:
    """What a histogram shows.

    Args:
        values, weights: (n,) what is counted, and how often each counts.
        over: the axis.
        mark: the marked position.
        mark_label: what it is, in words.
        caption: the line above the bars.
        below, above: the styles of the bars left of the mark, and from there on.
        gutter: cells of the labels on the left, at least; for plots under one another.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    over: Range
    mark: float
    mark_label: str = ""
    caption: str = ""
    below: str = "$foreground 60%"
    above: str = "$foreground 60%"
    gutter: int = 0


class Histogram(OverAxis):
    """Bars of eighth blocks over an axis; an arrowhead and words mark one position."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._data: HistogramData | None = None
        self._log = False

    def show(self, data: HistogramData | None, *, log: bool = False) -> None:
        """Draw other data, or nothing."""
        self._data, self._log = data, log
        self.refresh()

    def render(self) -> Content:
        """Caption, bars, axis, tick labels, and the words of the mark."""
        width, height = self.size
        if self._data is None or width < SMALLEST[0] or height < SMALLEST[1]:
            self.columns = 0
            return Content("")
        data = self._data
        caption = bool(data.caption) and height >= 6
        labelled = bool(data.mark_label) and height >= 7
        drawn = figure(
            data.values, data.over, data.mark, weights=data.weights, log=self._log,
            width=width, height=height - caption - labelled, gutter=data.gutter,
        )  # fmt: skip
        gutter = width - len(drawn.bars[0])
        self.first, self.columns, self.over = gutter, len(drawn.bars[0]), data.over
        read = None if self.hovered is None else data.over.column(self.hovered, self.columns)
        lines = [Content.styled(data.caption[:width], "bold")] if caption else []
        for label, bars in zip(drawn.gutter, drawn.bars, strict=True):
            short, rest = bars[: drawn.mark], bars[drawn.mark :]
            line = Content.assemble((label, "$foreground 60%"), (short, data.below), (rest, data.above))
            lines.append(line if read is None else line.stylize("reverse", gutter + read, gutter + read + 1))
        lines.append(Content.styled(drawn.line, "$foreground 60%"))
        if read is not None:
            low, high = (data.over.low + (read + k) / self.columns * (data.over.high - data.over.low) for k in (0, 1))
            words = f"{drawn.counts[read]:,.0f} from {low:.4g} to {high:.4g}"
            lines.append(Content.styled(words.center(width), "bold"))
        else:
            lines.append(Content.styled(drawn.labels, "$foreground 60%"))
        if labelled:
            lines.append(Content.styled(self._words(data.mark_label, width, gutter, drawn.mark), "bold"))
        return Content("\n").join(lines)

    @staticmethod
    def _words(label: str, width: int, gutter: int, mark: int) -> str:
        """The label of the mark, beginning under its arrowhead where there is room, else ending there."""
        at = gutter + mark
        if at + len(label) <= width:
            return " " * at + label
        return label.rjust(min(at + 1, width))[:width]
