"""Values by epoch, several curves on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipscope.tui.plots.blocks import Range, nice_ticks, tick_labels
from lipscope.tui.plots.redrawn import RedrawnPlot

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


class CurvesPlot(RedrawnPlot):
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
        self.draw()

    def draw(self) -> None:
        """Draw to the size that there is."""
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
