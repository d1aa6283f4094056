"""The sorted singular values as a falling curve with a line at 1. Pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipscope.records import Spectrum
from lipscope.tui.plots.blocks import spectrum_axis
from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Drawing, Series

POINTS = 2000
"""At most so many places of the curve."""


def sorted_drawing(spectrum: Spectrum) -> Drawing | None:
    """The singular values over their rank, a line at 1; None where none is finite."""
    ranks, values = by_rank(spectrum, min(spectrum.size, POINTS) + 1)
    if not len(values):
        return None
    up, deviation = spectrum_axis(values)
    one = Series("σ − 1 =" if deviation else "σ =", ranks, values - 1 if deviation else values)
    return Drawing(
        Range(0.0, float(spectrum.size) or 1.0), [one], up, across_text="rank {:,.0f}".format, whole=True,
        level=0.0 if deviation else 1.0,
    )  # fmt: skip


def by_rank(spectrum: Spectrum, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks from 0 to the number of singular values, and the value that holds there, largest first.

    What is not finite is left out; its weights say how many singular values each of its values stands for.

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
