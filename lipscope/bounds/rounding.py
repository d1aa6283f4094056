"""Outward rounding: what float64 arithmetic can have lost, and how to give it back.

The model of Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., chapters 2, 3): every
operation is correct up to a relative error u = 2^-53, a sum of m products up to gamma_m = m u / (1 - m u),
whatever the order of summation and with or without fused multiply-add.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Arithmetic:
    """A binary floating-point arithmetic, rounding to nearest: fl(a op b) = (a op b)(1 + d) + e.

    |d| <= u. |e| <= ``smallest``, which covers gradual underflow and also results and operands that are flushed to
    zero. A sum of m products then errs by at most gamma_m sum |a b| and a few m ``smallest``, in every order of
    summation and with or without fused multiply-add (Higham, lemma 3.1 and section 3.1).

    Args:
        name: as torch calls the dtype.
        unit_roundoff: u.
        smallest: the smallest normal number.
        largest: beyond it nothing is proved, because a result may overflow.
    """

    name: str
    unit_roundoff: float
    smallest: float
    largest: float

    def gamma(self, operations: int) -> float:
        """gamma_m = m u / (1 - m u), rounded up; ``inf`` where m u >= 1/2 and the bound says nothing.

        >>> FLOAT32.gamma(1000) < 6e-5, FLOAT32.gamma(2**24)
        (True, inf)
        """
        total = operations * self.unit_roundoff
        return up(total / (1 - total), 3) if total < 0.5 else math.inf

    def held(self, value: float, largest: float = 0.0) -> float:
        """The value, or ``inf`` if it or the ``largest`` number met on the way may overflow, or is NaN."""
        return value if max(value, largest) <= self.largest else math.inf

    def products(self, terms: int, absolute: float, norm: float, outputs: int, depth: int | None = None) -> float:
        """A bound on ||fl(M x) - M x||_2, each output a sum of at most ``terms`` products and one more addition.

        Args:
            terms: products in one output, those with padded zeros included.
            absolute: a bound on || |M| ||_2, the matrix of absolute values.
            norm: a bound on ||x||_2.
            outputs: their number.
            depth: the most additions that a product meets, where the sums are taken in pieces; otherwise ``terms``.

        gamma_{m+1} |M| |x| entry by entry, and the underflow of 2 m + 1 operations and of the operands: a row of
        |M| has an l1 norm of at most sqrt(m) || |M| ||, a window of |x| of at most sqrt(m) ||x||.
        """
        flushed = self.smallest * (2 * terms + 1 + math.sqrt(terms) * (absolute + norm + 1))
        error = self.gamma((terms if depth is None else depth) + 1) * absolute * norm + 2 * math.sqrt(outputs) * flushed
        # Entries of M, too, must be numbers of the arithmetic, however small x is.
        return self.held(outward(error), outward(2 * absolute * max(norm, 1.0)))


FLOAT64 = Arithmetic("float64", UNIT_ROUNDOFF, sys.float_info.min, 2.0**1000)
FLOAT32 = Arithmetic("float32", 2.0**-24, 2.0**-126, 2.0**127)


def outward(value: float) -> float:
    """An upper bound of a non-negative quantity computed as ``value`` by at most 8,000 sums, products and roots.

    Each errs by a factor of 1 + u, together by less than 1 + 2^-40; 2^-1000 covers a million results that underflowed.
    NaN (infinity times nothing) means that nothing is proved.

    >>> outward(1.0) > 1.0, outward(math.nan)
    (True, inf)
    """
    return math.inf if math.isnan(value) else value * (1 + 2.0**-39) + 2.0**-1000
