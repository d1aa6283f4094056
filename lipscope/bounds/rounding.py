"""Outward rounding: what float64 arithmetic can have lost, and how to give it back.

The model of Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., chapters 2, 3): every
operation is correct up to a relative error u = 2^-53, a sum of m products up to gamma_m = m u / (1 - m u),
whatever the order of summation and with or without fused multiply-add.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context

UNIT_ROUNDOFF = 2.0**-53
"""u, the largest relative error of one float64 operation rounded to nearest."""


def gamma(operations: int) -> float:
    """gamma_m = m u / (1 - m u), rounded up (Higham, lemma 3.1).

    Raises:
        ValueError: m u >= 1/2, where the bound says nothing.

    >>> gamma(1000) >= 1000 * UNIT_ROUNDOFF
    True
    """
    total = operations * UNIT_ROUNDOFF
    if total >= 0.5:
        raise ValueError(f"gamma_{operations} is meaningless in float64")
    return up(total / (1 - total), 3)


def up(value: float, operations: int = 1) -> float:
    """An upper bound of a non-negative quantity that was computed as ``value`` by this many operations.

    Each operation errs by at most half a unit in the last place; one step outward a operation covers it.

    >>> up(1.0) > 1.0
    True
    """
    return float(_steps(value, operations, math.inf))


def down(value: float, operations: int = 1) -> float:
    """A lower bound of a quantity that was computed as ``value`` by this many operations.

    >>> down(1.0) < 1.0
    True
    """
    return float(_steps(value, operations, -math.inf))


def _steps(value: float, count: int, towards: float) -> float:
    for _ in range(count):
        value = math.nextafter(value, towards)
    return value


def scaled(value: float, exponent: int) -> float:
    """An upper bound of value * 2^exponent for value >= 0: exact but for underflow, ``inf`` on overflow.

    >>> scaled(0.75, 2), scaled(0.75, 2000)
    (3.0, inf)
    """
    try:
        result = math.ldexp(value, exponent)
    except OverflowError:
        return math.inf
    return result if math.ldexp(result, -exponent) >= value else up(result)


def printed_up(value: float) -> str:
    """Four digits that are never less than the value.

    >>> printed_up(2.09941), printed_up(2.5)
    ('2.100', '2.5')
    """
    return str(Context(prec=4, rounding=ROUND_CEILING).create_decimal(value))


def product_up(values: list[float]) -> float:
    """An upper bound of the product of non-negative numbers; exactly 1 stays exactly 1.

    >>> product_up([1.0, 1.0]), product_up([1.1, 1.1]) >= 1.1 * 1.1
    (1.0, True)
    """
    result = 1.0
    for value in values:
        if value == 1.0:
            continue
        result = value if result == 1.0 else up(result * value)
    return result
