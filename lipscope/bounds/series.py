"""The Taylor polynomial of the exponential on a skew-symmetric operator: exact enclosures of its modulus.

A real skew-symmetric A is normal with spectrum i lambda, so the singular values of p_n(A) are |p_n(i lambda)|,
|lambda| <= ||A|| (Singla & Feizi, ICML 2021; mathematics, "Skew orthogonal convolution"). The square
|p_n(i lambda)|^2 is a polynomial in t = lambda^2 with rational coefficients; its range is enclosed in exact
rational arithmetic by Bernstein coefficients.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

from lipscope.bounds.rounding import down, up

PIECES = 32
"""Pieces that [0, rho^2] is cut into; more would tighten the enclosure in the 12th digit."""

LARGEST_RHO = 64.0
"""Beyond it p_n has nothing to do with the exponential, and the generic bound is returned."""


@functools.lru_cache(4096)
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
    low, high = _range_hull(coefficients, end)
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


def _range_hull(coefficients: list[Fraction], end: Fraction) -> tuple[Fraction, Fraction]:
    """The smallest and largest Bernstein coefficient of a polynomial over the pieces of [0, end].

    The hull of a piece's Bernstein coefficients contains the polynomial's range there. Everything is brought to one
    denominator first: whole numbers are some twenty times faster than fractions that reduce themselves.
    """
    degree = len(coefficients) - 1
    in_pieces = [c * (end / PIECES) ** k for k, c in enumerate(coefficients)]
    binomials = [math.comb(degree, k) for k in range(degree + 1)]
    divisible = math.lcm(*binomials)
    denominator = divisible * math.lcm(*(c.denominator for c in in_pieces))
    current = [int(c * denominator) for c in in_pieces]
    low = high = current[0]
    for _ in range(PIECES):
        bernstein = [c // binomial for c, binomial in zip(current, binomials, strict=True)]
        for start in range(degree):
            for k in range(degree, start, -1):
                bernstein[k] += bernstein[k - 1]
        low, high = min(low, *bernstein), max(high, *bernstein)
        # From powers of v - i to powers of v - (i + 1).
        for start in range(degree):
            for k in range(degree - 1, start - 1, -1):
                current[k] += current[k + 1]
    return Fraction(low, denominator), Fraction(high, denominator)
