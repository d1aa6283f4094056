"""Bounds of networks from the bounds of their parts: chains and sums.

For f_i with constants L_i, in the l2 norm:

- f_n o ... o f_1 has the constant L_1 ... L_n;
- x -> sum_i f_i(x) has the constant sum_i L_i (triangle inequality).

A part without a proof leaves the whole without one, and its reason is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from lipscope.bounds.rounding import product_up, up
from lipscope.records import Bound


def chain_bound(parts: Sequence[Bound]) -> Bound:
    """The product of the parts' bounds: f_n o ... o f_1.

    >>> chain_bound([Bound(1.5, "a"), Bound(2.0, "b")]).value >= 3.0
    True
    """
    return _unproved(parts) or _bound(product_up([part.value for part in parts]), f"product of {len(parts)} bounds")


def sum_bound(parts: Sequence[Bound]) -> Bound:
    """The sum of the parts' bounds: x -> f_1(x) + ... + f_n(x)."""
    return _unproved(parts) or _bound(sum_up([part.value for part in parts]), f"sum of {len(parts)} bounds")


def _bound(value: float, method: str) -> Bound:
    if not math.isfinite(value):
        return Bound.unproved("the bound overflows float64")
    return Bound(value, method)


def _unproved(parts: Sequence[Bound]) -> Bound | None:
    """The first reason why nothing is proved.

    Raises:
        ValueError: a lower bound is among the parts, which says nothing about the whole.
    """
    if any(part.direction != "upper" for part in parts):
        raise ValueError("only upper bounds compose to an upper bound")
    return next((Bound.unproved(part.reason) for part in parts if not part.proved), None)


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
