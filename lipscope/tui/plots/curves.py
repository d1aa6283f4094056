"""Curves and scatters by plotext, resampled to the plot's width, with ticks of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from textual_plotext import PlotextPlot

from lipscope.tui.plots.blocks import (
    Range,
    nice_ticks,
    tick_labels,
)


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
        top = max(20 * math.ceil(5 * float(rates.max(initial=0.0))), 20)
        plt.xlim(over.low, over.high)
        plt.ylim(0, top)
        ticks = nice_ticks(over, max(inner // 10, 2))
        plt.xticks(ticks, tick_labels(ticks))
        rungs = np.linspace(0, top, 5 if rows >= 12 else 3).tolist()
        plt.yticks(rungs, [f"{label}%" for label in tick_labels(rungs)])
        self.refresh()


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


CELLS_A_POINT = 6
"""At least so many columns for each point of a curve of points."""


@dataclass(frozen=True)
class Curve:
    """One curve among several.

    Args:
        mark: the letter that it is drawn in, so that curves can be told apart without colour.
        x, y: (n,) ascending places and values; what is not finite leaves a gap.
        points: whether only some places are marked, so that a curve close by is still seen between them.
    """

    mark: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    points: bool = False


class CurvesPlot(PlotextPlot):
    """Values by epoch, each curve drawn in a letter of its own; drawn again to every size it gets."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._curves: Sequence[Curve] = ()
        self._planned, self._percent, self._log = 1, False, False

    def show_curves(self, curves: Sequence[Curve], *, planned: int, percent: bool = False, log: bool = False) -> None:
        """Draw other curves.

        Args:
            curves: later ones lie over earlier ones.
            planned: the end of the axis of epochs.
            percent: whether values are shares, from 0.
            log: whether the axis of the values is logarithmic; what is not positive is left out.
        """
        self._curves, self._planned, self._percent, self._log = curves, planned, percent, log
        self._draw()

    def on_resize(self) -> None:
        """Resample to the new width."""
        self._draw()

    def _draw(self) -> None:
        plt, (columns, rows) = self.plt, self.size
        plt.clear_figure()
        drawn = [(curve, x, y) for curve in self._curves for x, y in [self._points(curve, columns)] if len(x)]
        if drawn and columns >= 12 and rows >= 4:
            for curve, x, y in drawn:
                draw = plt.scatter if curve.points else plt.plot
                draw(x.tolist(), y.tolist(), marker=curve.mark)
            last = float(max(self._planned, *(x.max() for _, x, _ in drawn)))
            across = Range(1.0, max(last, 2.0))
            plt.xlim(across.low, across.high)
            ticks = [tick for tick in nice_ticks(across, max((columns - 6) // 8, 2)) if tick == round(tick)]
            plt.xticks(ticks, [f"{tick:.0f}" for tick in ticks])
            up = self._values_range([y for _, _, y in drawn])
            plt.ylim(up.low, up.high)
            rungs = nice_ticks(up, max(rows // 2, 2))
            shown = [10.0**rung for rung in rungs] if self._log else rungs
            labels = [f"{value:.3g}" for value in shown] if self._log else tick_labels(rungs)
            plt.yticks(rungs, [f"{label}%" for label in labels] if self._percent else labels)
        self.refresh()

    def _points(self, curve: Curve, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        kept = np.isfinite(curve.y) & ((curve.y > 0) | (not self._log))
        x, y = curve.x[kept], curve.y[kept]
        most = columns // CELLS_A_POINT
        if curve.points and len(x) > most > 0:
            chosen = np.linspace(0, len(x) - 1, most).round().astype(int)
            x, y = x[chosen], y[chosen]
        elif len(x) > 2 * columns > 0:
            grid = np.linspace(x[0], x[-1], 2 * columns)
            x, y = grid, np.interp(grid, x, y)
        return x, np.log10(y) if self._log else 100 * y if self._percent else y

    def _values_range(self, values: Sequence[NDArray[np.float64]]) -> Range:
        low, high = float(min(y.min() for y in values)), float(max(y.max() for y in values))
        if self._percent:
            return Range(0.0, min(max(20 * math.ceil(high / 20), 20), 100))
        margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
        return Range(low - margin, high + margin)


def resample(
    x: NDArray[np.float64], y: NDArray[np.float64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A step curve at ``points`` equidistant places: y of the last x that is not beyond each.

    >>> resample(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.5, 0.0]), 5)[1]
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    grid = np.linspace(float(x[0]), float(x[-1]), points)
    return grid, y[np.searchsorted(x, grid, side="right") - 1]


class PairPlot(PlotextPlot):
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
        self._draw()

    def on_resize(self) -> None:
        """Resample to the new width."""
        self._draw()

    def _draw(self) -> None:
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
        top = max(20 * math.ceil(5 * max(float(line.max(initial=0.0)) for line in ended)), 20)
        plt.xlim(over.low, over.high)
        plt.ylim(0, top)
        ticks = nice_ticks(over, max(inner // 10, 2))
        plt.xticks(ticks, tick_labels(ticks))
        rungs = np.linspace(0, top, 5 if rows >= 12 else 3).tolist()
        plt.yticks(rungs, [f"{label}%" for label in tick_labels(rungs)])
        self.refresh()
