"""Rates over radii as curves: one with a line at a radius, or two on one axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual_plotext import PlotextPlot

from lipscope.tui.plots.blocks import Range
from lipscope.tui.plots.redrawn import RedrawnPlot, rate_axes


class CurvePlot(PlotextPlot):
    """A falling step curve of rates over radii, with a vertical line at one radius.

    plotext draws every point it is given and prints its own ticks with up to fifteen digits: give it no more
    points than two a column, and take the ticks from :func:`nice_ticks`.
    """

    def show_rates(
        self, radii: NDArray[np.float64], rates: NDArray[np.float64], mark: float, *, columns: int, rows: int
    ) -> None:
        """Draw rates in [0, 1] over ascending radii, resampled to the width of the plot.

        Args:
            radii, rates: (n,) points of the curve; the rate holds up to the next radius.
            mark: the radius of the vertical line.
            columns, rows: the size of the widget.
        """
        plt = self.plt
        plt.clear_figure()
        inner = max(columns - 6, 10)
        over = Range(0.0, float(radii[-1]) or 1.0)
        x, y = resample(radii, rates, 2 * inner)
        plt.plot(x.tolist(), (100 * y).tolist(), marker="braille")
        if over.low <= mark <= over.high:
            plt.vline(mark, "orange")
        rate_axes(plt, over, float(rates.max(initial=0.0)), inner=inner, rows=rows)
        self.refresh()


class PairPlot(RedrawnPlot):
    """Two falling curves of rates over radii: the first a line of dots, the second in letters, on one axis."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._curves: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...] = ()
        self._mark = 0.0

    def show_pair(
        self,
        first: tuple[NDArray[np.float64], NDArray[np.float64]],
        second: tuple[NDArray[np.float64], NDArray[np.float64]],
        mark: float,
    ) -> None:
        """Draw two curves of rates in [0, 1], each over its ascending radii, and a vertical line at one radius."""
        self._curves, self._mark = (first, second), mark
        self.draw()

    def draw(self) -> None:
        """Draw to the size that there is."""
        plt, (columns, rows) = self.plt, self.size
        plt.clear_figure()
        if not self._curves or columns < 20 or rows < 5:
            self.refresh()
            return
        inner = columns - 6
        over = Range(0.0, max(float(radii[-1]) for radii, _ in self._curves) or 1.0)
        grid = np.linspace(over.low, over.high, 2 * inner)
        lines = [rates[np.searchsorted(radii, grid, side="right") - 1] for radii, rates in self._curves]
        ended = [np.where(grid <= radii[-1], line, 0.0) for (radii, _), line in zip(self._curves, lines, strict=True)]
        if over.low <= self._mark <= over.high:
            plt.vline(self._mark, "orange")
        plt.plot(grid.tolist(), (100 * ended[0]).tolist(), marker="braille", color="cyan")
        apart = slice(3, None, 8)  # letters with gaps, so that the line under them is seen
        plt.scatter(grid[apart].tolist(), (100 * ended[1][apart]).tolist(), marker="B", color="magenta")
        plt.scatter(grid[7::48].tolist(), (100 * ended[0][7::48]).tolist(), marker="A", color="cyan")
        rate_axes(plt, over, max(float(line.max(initial=0.0)) for line in ended), inner=inner, rows=rows)
        self.refresh()


def resample(
    x: NDArray[np.float64], y: NDArray[np.float64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A step curve at ``points`` equidistant places: y of the last x that is not beyond each.

    >>> resample(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.5, 0.0]), 5)[1]
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    grid = np.linspace(float(x[0]), float(x[-1]), points)
    return grid, y[np.searchsorted(x, grid, side="right") - 1]
