"""plotext in a widget that draws itself again to every size it gets, and the axes that several plots share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from textual_plotext import PlotextPlot

from lipscope.tui.plots.blocks import Range, nice_ticks, tick_labels


class RedrawnPlot(PlotextPlot):
    """A plot that keeps what it shows, so that another size changes nothing but the drawing."""

    def draw(self) -> None:
        """Draw what is kept to the size that there is."""
        raise NotImplementedError

    def on_resize(self) -> None:
        """Resample to the new width."""
        self.draw()


def rate_axes(plt: Any, over: Range, largest: float, *, inner: int, rows: int) -> None:
    """Radii across and rates up, in per cent from 0 to the next multiple of 20.

    Args:
        plt: the figure of plotext.
        over: the radii.
        largest: of the rates, in [0, 1].
        inner: columns between the ticks and the border.
        rows: of the whole widget.
    """
    top = max(20 * math.ceil(5 * largest), 20)
    plt.xlim(over.low, over.high)
    plt.ylim(0, top)
    ticks = nice_ticks(over, max(inner // 10, 2))
    plt.xticks(ticks, tick_labels(ticks))
    rungs = np.linspace(0, top, 5 if rows >= 12 else 3).tolist()
    plt.yticks(rungs, [f"{label}%" for label in tick_labels(rungs)])
