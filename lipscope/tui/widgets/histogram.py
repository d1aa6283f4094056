"""A histogram with a marked position, drawn to the size it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.plots.blocks import Range, figure

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
        split: whether the bars left of the mark are dimmed: they fell short of it.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    over: Range
    mark: float
    mark_label: str
    caption: str = ""
    split: bool = False


class Histogram(Widget):
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
            return Content("")
        data = self._data
        caption = bool(data.caption) and height >= 6
        words = height >= 7
        drawn = figure(
            data.values, data.over, data.mark, weights=data.weights, log=self._log,
            width=width, height=height - caption - words,
        )  # fmt: skip
        lines = [Content.styled(data.caption[:width], "bold")] if caption else []
        for label, bars in zip(drawn.gutter, drawn.bars, strict=True):
            short, rest = (bars[: drawn.mark], bars[drawn.mark :]) if data.split else ("", bars)
            lines.append(Content.assemble((label, "$text-muted"), (short, "$foreground 35%"), (rest, "$primary")))
        lines.append(Content.styled(drawn.line, "$text-muted"))
        lines.append(Content.styled(drawn.labels, "$text-muted"))
        if words:
            lines.append(
                Content.styled(self._words(data.mark_label, width, width - len(drawn.bars[0]), drawn.mark), "bold")
            )
        return Content("\n").join(lines)

    @staticmethod
    def _words(label: str, width: int, gutter: int, mark: int) -> str:
        """The label of the mark, beginning under its arrowhead where there is room, else ending there."""
        at = gutter + mark
        if at + len(label) <= width:
            return " " * at + label
        return label.rjust(min(at + 1, width))[:width]
