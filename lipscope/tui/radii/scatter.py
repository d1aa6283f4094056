"""Pairs of numbers as dots over the diagonal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual_plotext import PlotextPlot

from lipscope.tui.plots.blocks import Range, nice_ticks, tick_labels


class ScatterPlot(PlotextPlot):
    """Points over the diagonal y = x, as dots of braille."""

    def show_pairs(self, x: NDArray[np.float64], y: NDArray[np.float64], *, columns: int, rows: int) -> None:
        """Draw pairs of non-negative numbers, no more than one a dot.

        Args:
            x, y: (n,).
            columns, rows: the size of the widget.
        """
        plt = self.plt
        plt.clear_figure()
        inner = max(columns - 6, 10)
        wide, high = (Range(0.0, float(values.max(initial=0.0)) or 1.0) for values in (x, y))
        end = min(wide.high, high.high)
        plt.plot([0.0, end], [0.0, end], marker="braille", color="orange")
        xs, ys = thinned(x, y, wide, high, 2 * inner, 4 * max(rows - 3, 2))
        plt.scatter(xs.tolist(), ys.tolist(), marker="braille")
        plt.xlim(wide.low, wide.high)
        plt.ylim(high.low, high.high)
        for over, most, put in ((wide, inner // 10, plt.xticks), (high, rows // 4, plt.yticks)):
            ticks = nice_ticks(over, max(most, 2))
            put(ticks, tick_labels(ticks))
        self.refresh()


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], wide: Range, high: Range, columns: int, rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One of the points in each cell of a grid of columns x rows.

    >>> thinned(np.array([0.1, 0.11, 0.9]), np.array([0.2, 0.2, 0.2]), Range(0, 1), Range(0, 1), 4, 4)[0]
    array([0.1, 0.9])
    """
    across = np.floor((x - wide.low) / (wide.high - wide.low) * columns)
    up = np.floor((y - high.low) / (high.high - high.low) * rows)
    _, first = np.unique(np.stack([across, up]), axis=1, return_index=True)
    kept = np.sort(first)
    return x[kept], y[kept]
