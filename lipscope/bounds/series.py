"""The Taylor polynomial of the exponential on a skew-symmetric operator: exact enclosures of its modulus.

A real skew-symmetric A is normal with spectrum i lambda, so the singular values of p_n(A) are |p_n(i lambda)|,
|lambda| <= ||A|| (Singla & Feizi, ICML 2021; mathematics, "Skew orthogonal convolution"). The square
|p_n(i lambda)|^2 is a polynomial in t = lambda^2 with rational coefficients; its range is enclosed in exact
rational arithmetic by Bernstein coefficients.
"""

from __future__ import annotations

import math
from fractions import Fraction

from lipscope.bounds.rounding import down, up

PIECES = 32
"""Pieces that [0, rho^2] is cut into; more would tighten the enclosure in the 12th digit."""

LARGEST_RHO = 64.0
"""Beyond it p_n has nothing to do with the exponential, and the generic bound is returned."""


def taylor_modulus(terms: int, rho: float) -> tuple[float, float]:
    """An enclosure of |p_n(i lambda)| over |lambda| <= rho: (lower, upper), rounded outward.

    These bound every singular value of the layer from both sides. The upper bound is exactly 1.0 when the
    polynomial does not expand on the interval.

    Args:
        terms: n, the highest power in the series.
        rho: a proved upper bound on ||A||.

    >>> lower, upper = taylor_modulus(12, 2.1)
    >>> upper, lower > 1 - 2.3e-6
    (1.0, True)
    """
    if not rho <= LARGEST_RHO:
        return 0.0, taylor_majorant(terms, rho)
    coefficients = squared_modulus(terms)
    end = Fraction(rho) ** 2
    if end == 0:
        return 1.0, 1.0
    low, high = Fraction(1), Fraction(1)
    for piece in range(PIECES):
        left, right = end * piece / PIECES, end * (piece + 1) / PIECES
        bernstein = _bernstein(coefficients, left, right)
        low, high = min(low, *bernstein), max(high, *bernstein)
    lower = max(down(math.sqrt(max(down(float(low)), 0.0)), 2), 0.0) if low < 1 else 1.0
    upper = up(math.sqrt(up(float(high))), 2) if high > 1 else 1.0
    return lower, upper


def taylor_majorant(terms: int, rho: float) -> float:
    """sum_{k <= n} rho^k / k!, a bound on ||p_n(A)|| for any A with ||A|| <= rho, skew or not.

    >>> taylor_majorant(2, 1.0) >= 2.5
    True
    """
    if not math.isfinite(rho):
        return math.inf
    exact = sum((Fraction(rho) ** k / math.factorial(k) for k in range(terms + 1)), Fraction(0))
    try:
        return up(float(exact))
    except OverflowError:
        return math.inf


def squared_modulus(terms: int) -> list[Fraction]:
    """Coefficients of |p_n(i lambda)|^2 in powers of t = lambda^2; 1 + terms of order above n / 2.

    >>> squared_modulus(2)
    [Fraction(1, 1), Fraction(0, 1), Fraction(1, 4)]
    """
    result = [Fraction(0)] * (terms + 1)
    for j in range(terms + 1):
        for k in range(j % 2, terms + 1, 2):
            # i^j * conj(i^k) = i^(j - k), real because j - k is even
            sign = 1 if (j - k) % 4 == 0 else -1
            result[(j + k) // 2] += Fraction(sign, math.factorial(j) * math.factorial(k))
    return result


def _bernstein(coefficients: list[Fraction], left: Fraction, right: Fraction) -> list[Fraction]:
    """Bernstein coefficients of a polynomial on [left, right]; their hull contains its range."""
    degree = len(coefficients) - 1
    shifted = list(coefficients)
    for start in range(degree):
        for k in range(degree - 1, start - 1, -1):
            shifted[k] += left * shifted[k + 1]
    width = right - left
    powers = [c * width**k for k, c in enumerate(shifted)]
    return [
        sum((powers[i] * Fraction(math.comb(k, i), math.comb(degree, i)) for i in range(k + 1)), Fraction(0))
        for k in range(degree + 1)
    ]
