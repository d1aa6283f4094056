"""Upper bounds of sums: x -> sum_i f_i(x) has the constant sum_i L_i, L_i those of f_i (triangle inequality)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from lipscope.bounds.rounding import up


def sum_up(values: Sequence[float]) -> float:
    """An upper bound of a sum of non-negative numbers; the sum itself where float64 holds it.

    >>> sum_up([1.0, 1.0]), sum_up([0.5, 2.0**-60]) > 0.5
    (2.0, True)
    """
    if not all(map(math.isfinite, values)):
        return math.inf
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        nearest = float(exact)
    except OverflowError:
        return math.inf
    return nearest if Fraction(nearest) >= exact else up(nearest)
