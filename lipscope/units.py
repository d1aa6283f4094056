"""Radii are l2 distances in [0, 1] pixel space; eps stays an exact fraction."""

from __future__ import annotations

import math
import re
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from lipscope.errors import UsageError

DEFAULT_EPS: tuple[Fraction, ...] = tuple(Fraction(k, 255) for k in (36, 72, 108, 255))
"""The radii of the paper's tables."""

LARGEST_EPS = 3

LONGEST = 100
"""Characters of a number that is read exactly; fractions of unlimited size would take unlimited time."""


def exact_number(text: str) -> Fraction:
    """The number that somebody typed, exactly.

    Raises:
        OverflowError: of absurdly many digits.
        ZeroDivisionError: a zero denominator.
        ValueError: not a fraction or a decimal number.

    >>> exact_number(" 36/255 "), exact_number("1e-2")
    (Fraction(12, 85), Fraction(1, 100))
    """
    if len(text) > LONGEST or re.search(r"[eE][+-]?[\d_]{3}", text):
        raise OverflowError("too many digits")
    return Fraction(text.strip())


def parse_eps(text: str) -> Fraction:
    """An exact radius from ``"36/255"`` or ``"0.5"``.

    Raises:
        UsageError: not a fraction, a zero denominator, negative, over 3 (a radius in 0..255 pixel scale), or of
            absurdly many digits.

    >>> parse_eps("36/255")
    Fraction(12, 85)
    """
    where = f"--eps {text[:40]}"
    try:
        eps = exact_number(text)
    except OverflowError as error:
        raise UsageError("too many digits for a radius", where=where, next_step="write it like 36/255") from error
    except ZeroDivisionError as error:
        raise UsageError("the denominator is zero", where=where, next_step="write it like 36/255") from error
    except ValueError as error:
        raise UsageError("not a fraction or a decimal number", where=where, next_step="write it like 36/255") from error
    if eps < 0:
        raise UsageError("a radius cannot be negative", where=where, next_step="write it like 36/255")
    if eps > LARGEST_EPS:
        raise UsageError(
            "a radius over 3 in [0, 1] pixel scale",
            where=where,
            why="radii are l2 distances between images with pixels in [0, 1]",
            next_step=f"is it in pixel scale? then write {text.strip()}/255",
        )
    return eps


def format_eps(eps: Fraction) -> str:
    """The radius over 255 where that is whole, as the literature writes it.

    >>> format_eps(Fraction(12, 85)), format_eps(Fraction(1, 2)), format_eps(Fraction(1))
    ('36/255', '1/2', '255/255')
    """
    scaled = eps * 255
    return f"{scaled.numerator}/255" if scaled.denominator == 1 else str(eps)


def largest_not_above(eps: Fraction) -> float:
    """Return the largest float64 <= eps: a float64 radius is > eps exactly when it is > this number.

    >>> Fraction(largest_not_above(Fraction(12, 85))) <= Fraction(12, 85)
    True
    """
    nearest = eps.numerator / eps.denominator
    return nearest if Fraction(nearest) <= eps else math.nextafter(nearest, -math.inf)


def radius_text(radius: float) -> str:
    """Four decimals, never more than the radius.

    >>> radius_text(0.25679)
    '0.2567'
    >>> radius_text(math.nextafter(0.3, 0))
    '0.2999'
    """
    # In decimals: radius * 1e4 can be rounded up to a whole number.
    return str(Decimal(radius).quantize(Decimal("0.0001"), ROUND_FLOOR))
