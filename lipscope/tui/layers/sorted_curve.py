"""The sorted singular values as a falling curve with a line at 1, by plotext."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipscope.records import Spectrum
from lipscope.tui.plots.blocks import Range, nice_ticks, spectrum_axis, tick_labels
from lipscope.tui.plots.redrawn import RedrawnPlot

SMALLEST = (20, 5)
"""Cells."""


class SortedCurve(RedrawnPlot):
    """Singular values over their rank; drawn again to every size it gets."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._spectrum: Spectrum | None = None

    def show(self, spectrum: Spectrum | None) -> None:
        """Draw other singular values, or nothing; the same ones cost nothing."""
        if spectrum is not self._spectrum:
            self._spectrum = spectrum
            self.draw()

    def draw(self) -> None:
        """Draw to the size that there is."""
        plt, (columns, rows) = self.plt, self.size
        plt.clear_figure()
        if self._spectrum is not None and columns >= SMALLEST[0] and rows >= SMALLEST[1]:
            ranks, values = by_rank(self._spectrum, 2 * (columns - 8))
            if len(values):
                over, deviation = spectrum_axis(values)
                shown = values - 1 if deviation else values
                one = 0.0 if deviation else 1.0
                plt.plot([0.0, float(ranks[-1])], [one, one], marker="─", color="orange")
                plt.plot(ranks.tolist(), shown.tolist(), marker="braille")
                across = Range(0.0, float(self._spectrum.size) or 1.0)
                plt.xlim(across.low, across.high)
                plt.ylim(over.low, over.high)
                ticks = nice_ticks(across, max((columns - 8) // 12, 2))
                plt.xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
                rungs = nice_ticks(over, max(rows // 3, 2))
                plt.yticks(rungs, tick_labels(rungs))
                plt.title("sorted σ − 1 by rank, line: σ = 1" if deviation else "sorted σ by rank, line: σ = 1")
        self.refresh()


def by_rank(spectrum: Spectrum, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks from 0 to the number of singular values, and the value that holds there, largest first.

    Args:
        spectrum: its weights say how many singular values each of its values stands for.
        points: at most so many; what is not finite is left out.

    >>> by_rank(Spectrum((2.0, 1.0), (1.0, 3.0), 4, "by hand", True), 5)
    (array([0., 1., 2., 3., 4.]), array([2., 2., 1., 1., 1.]))
    """
    values = np.asarray(spectrum.values, dtype=np.float64)
    weights = np.asarray(spectrum.weights, dtype=np.float64)
    kept = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    values, weights = values[kept], weights[kept]
    if not len(values):
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-values, kind="stable")
    values, ends = values[order], np.cumsum(weights[order])
    # The measured values stand for all of them, whatever rounding did to the sum of the weights.
    ranks = np.linspace(0.0, float(ends[-1]), max(points, 2))
    scale = spectrum.size / float(ends[-1]) if math.isfinite(float(ends[-1])) else 1.0
    return ranks * scale, values[np.minimum(np.searchsorted(ends, ranks, side="left"), len(values) - 1)]
