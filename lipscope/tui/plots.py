"""Plots in characters: an own histogram of eighth blocks, nice ticks, and curves by plotext.

Everything plotext sits in this file. The histogram is pure numpy: counts in, strings out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from textual_plotext import PlotextPlot

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Zero to eight eighths of a cell."""


@dataclass(frozen=True)
class Range:
    """The numbers that an axis of characters covers.

    Args:
        low, high: its ends, low < high.
    """

    low: float
    high: float

    def column(self, value: float, columns: int) -> int:
        """The column that holds ``value``, of ``columns``; the ends belong to the first and the last.

        >>> Range(0.0, 1.0).column(0.5, 10), Range(0.0, 1.0).column(1.0, 10)
        (5, 9)
        """
        share = (value - self.low) / (self.high - self.low)
        return min(max(math.floor(share * columns), 0), columns - 1)


def bin_counts(values: ArrayLike, over: Range, columns: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """How many values fall into each of ``columns`` equal bins (columns,); values outside count in the end bins.

    >>> bin_counts([0.1, 0.6, 0.7, 1.0], Range(0.0, 1.0), 2)
    array([1., 3.])
    """  # fmt: skip
    scaled = (np.asarray(values, dtype=np.float64) - over.low) * (columns / (over.high - over.low))
    index = np.clip(np.floor(scaled), 0, columns - 1).astype(np.intp)
    counts = np.bincount(index, None if weights is None else np.asarray(weights, np.float64), minlength=columns)
    return counts.astype(np.float64)


def heights(counts: ArrayLike, rows: int, *, log: bool = False) -> NDArray[np.int64]:
    """The height of each bar in eighths of a row; whatever is not zero is at least one eighth high.

    Linear bars are count / largest; logarithmic ones log(1 + count) / log(1 + largest).
    """
    amounts = np.asarray(counts, dtype=np.float64)
    if log:
        amounts = np.log1p(amounts)
    largest = amounts.max(initial=0.0)
    if largest == 0:
        return np.zeros(amounts.shape, dtype=np.int64)
    eighths = np.rint(amounts / largest * (8 * rows)).astype(np.int64)
    return np.where(amounts > 0, np.maximum(eighths, 1), 0)


def histogram(counts: ArrayLike, rows: int, *, log: bool = False) -> list[str]:
    """The bars as ``rows`` strings, top row first, one column per count.

    >>> histogram([0, 1, 2, 4], 2)
    ['   █', ' ▄██']
    """
    eighths = heights(counts, rows, log=log)
    levels = np.clip(eighths[None, :] - 8 * np.arange(rows - 1, -1, -1)[:, None], 0, 8)
    return ["".join(BLOCKS[level] for level in row) for row in levels.tolist()]


def nice_ticks(over: Range, most: int) -> list[float]:
    """At most ``most`` multiples of 1, 2 or 5 times a power of ten inside the range, and at least one if it can.

    >>> nice_ticks(Range(0.0, 1.13), 4)
    [0.0, 0.5, 1.0]
    """
    span = over.high - over.low
    step = 10.0 ** math.floor(math.log10(span / max(most, 1)))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        ticks = _multiples(over, step * factor)
        if len(ticks) <= most:
            return ticks
    return []


def _multiples(over: Range, step: float) -> list[float]:
    slack = 1e-9
    first = math.ceil(over.low / step - slack)
    last = math.floor(over.high / step + slack)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, last + 1)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """All ticks with the same number of decimals: as many as their distance needs.

    >>> tick_labels([0.0, 0.25, 0.5]), tick_labels([-2e-6, -1e-6, 0.0])
    (['0.00', '0.25', '0.50'], ['-2e-6', '-1e-6', '0'])
    """
    step = min((b - a for a, b in pairwise(ticks)), default=abs(ticks[0]) if ticks else 1.0)
    if step == 0:
        return ["0"] * len(ticks)
    if not 1e-4 <= step < 1e6:
        exponent = math.floor(math.log10(max(map(abs, ticks))) + 1e-9)
        scaled = [tick / 10.0**exponent for tick in ticks]
        decimals = _decimals(scaled)
        return [f"{value:.{decimals}f}e{exponent}" if value else "0" for value in scaled]
    decimals = _decimals(ticks)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _decimals(values: Sequence[float]) -> int:
    return next((d for d in range(6) if all(abs(v - round(v, d)) < 1e-9 for v in values)), 6)


def axis(over: Range, columns: int) -> tuple[str, str]:
    """The line under a histogram and the labels under the line, both ``columns`` wide.

    >>> print(*axis(Range(0.0, 1.0), 21), sep="|")
    ┴─────────┴─────────┴|0.0      0.5      1.0
    """
    line, labels = ["─"] * columns, [" "] * columns
    ticks = nice_ticks(over, max(columns // 9, 3))
    free = 0
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        at = over.column(tick, columns)
        start = min(max(at - len(label) // 2, 0), columns - len(label))
        line[at] = "┴"
        if start >= free:
            labels[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(line), "".join(labels)


def count_labels(largest: float, rows: int, *, log: bool = False) -> list[str]:
    """Labels for the count axis, top row first: the largest count, and on a log axis the powers of ten below it.

    >>> count_labels(1000, 4, log=True)
    ['1,000', '  100', '   10', '    1']
    """
    labels = [""] * rows
    if log:
        power = 1
        while power < largest:
            row = rows - math.ceil(rows * math.log1p(power) / math.log1p(largest))
            labels[row] = labels[row] or f"{power:,}"
            power *= 10
    elif rows >= 6 and largest >= 4:
        labels[rows // 2] = f"{largest / 2:,.0f}" if largest % 2 == 0 else ""
    labels[0] = f"{largest:,.0f}"
    width = max(map(len, labels))
    return [label.rjust(width) for label in labels]


@dataclass(frozen=True)
class Figure:
    """A histogram with its axes, ready to be styled and printed.

    Args:
        gutter: labels of the count axis, one a row of bars.
        bars: the rows of bars, top first.
        line, labels: under the bars; the position of the mark is an arrowhead on the line.
        mark: the column of the mark.
    """

    gutter: list[str]
    bars: list[str]
    line: str
    labels: str
    mark: int


def figure(
    values: ArrayLike,
    over: Range,
    mark: float,
    *,
    width: int,
    height: int,
    weights: ArrayLike | None = None,
    log: bool = False,
) -> Figure:
    """A histogram of ``values`` in ``width`` x ``height`` cells: bars, one line, one row of tick labels.

    Args:
        values: what is counted, each with its weight.
        over: the axis.
        mark: a position that is pointed at.
        width, height: in cells; at least 12 x 3.
        weights: 1 each by default.
        log: whether the count axis is logarithmic.
    """
    rows = max(height - 2, 1)
    total = float(np.size(values) if weights is None else np.sum(np.asarray(weights, np.float64)))
    gutter = min(len(f"{total:,.0f}"), width // 3)
    columns = max(width - gutter - 1, 1)
    counts = bin_counts(values, over, columns, weights)
    labels = [label.rjust(gutter) for label in count_labels(float(counts.max(initial=0.0)), rows, log=log)]
    line, ticks = axis(over, columns)
    at = over.column(mark, columns)
    return Figure(
        gutter=[f"{label}{'┤' if label.strip() else '│'}" for label in labels],
        bars=histogram(counts, rows, log=log),
        line=" " * gutter + "└" + line[:at] + "▲" + line[at + 1 :],
        labels=" " * (gutter + 1) + ticks,
        mark=at,
    )


def spectrum_axis(values: NDArray[np.float64]) -> tuple[Range, bool]:
    """The axis for singular values, 1 always on it, and whether it is of the deviation from 1 (a tiny spread).

    >>> spectrum_axis(np.array([0.999999, 1.0]))[1], spectrum_axis(np.array([0.2, 0.9]))[1]
    (True, False)
    """
    low, high = float(min(values.min(initial=1.0), 1.0)), float(max(values.max(initial=1.0), 1.0))
    spread = high - low
    if spread < 1e-3:
        margin = max(0.1 * spread, 1e-7)
        return Range(low - 1 - margin, high - 1 + margin), True
    margin = 0.04 * spread
    return Range(max(low - margin, 0.0), high + margin), False


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
