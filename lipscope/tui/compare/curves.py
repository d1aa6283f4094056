"""What two models certify at every radius, and by how much one is ahead. Pure functions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipscope.records.certificates import Certificates
from lipscope.tui.plots.canvas import Floats
from lipscope.tui.plots.range import Range
from lipscope.tui.radii.area import radius_axis, rates_at, right_radii
from lipscope.tui.results import verdict_words
from lipscope.tui.widgets.chart import GUTTER, Drawing, Series, percents


def drawings(first: Certificates, second: Certificates, eps: Fraction) -> tuple[Drawing, Drawing]:
    """Both curves, and on the same axis by how many points B is ahead of A.

    A is an area and B a line, so that they are told apart where they touch, with and without colours; how far they are
    apart is read from the second.
    """
    radii = [right_radii(one) for one in (first, second)]
    over = radius_axis(np.sort(np.concatenate(radii)), eps)
    at = np.linspace(over.low, over.high, 400)
    a, b = (rates_at(known, len(one), at) for known, one in zip(radii, (first, second), strict=True))
    gap: Floats = 100 * (b - a)
    looks = [verdict_words(one)[1] for one in (first, second)]
    curves = Drawing(
        over, [Series("A", at, a, looks[0], shaded=True), Series("B", at, b, f"bold {looks[1]}")],
        Range(0.0, max(0.1, float(a.max()), float(b.max()))), "r {:.3f}".format, "{:.1%}".format, percents,
        mark=float(eps), gutter=GUTTER, caption="A the area, B the line",
    )  # fmt: skip
    up = Range(min(float(gap.min()), 0.0), max(float(gap.max()), 0.1))
    return curves, Drawing(
        over, [Series("B − A", at, gap, shaded=True)], up, "r {:.3f}".format, "{:+.2f} points".format,
        mark=float(eps), level=0.0, gutter=GUTTER, caption="B − A in points",
    )  # fmt: skip
