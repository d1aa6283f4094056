"""Numbers as people read them. A proved bound is rounded so that what is printed still holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from lipscope.records import Bound

CLOSE_TO_ONE = 1e-3


def bound_text(bound: Bound) -> str:
    """``≤ 1.0000000004``, rounded to the safe side, or the words ``not proved``.

    >>> bound_text(Bound(1.00000000031, "by hand"))
    '≤ 1.0000000004'
    >>> bound_text(Bound(float("nan"), "by hand"))
    'not proved'
    """
    if not bound.proved or not math.isfinite(bound.value):
        return "not proved"
    upper = bound.direction == "upper"
    return f"{'≤' if upper else '≥'} {rounded(bound.value, up=upper)}"


def rounded(value: float, *, up: bool) -> str:
    """A finite number to ten decimals near 1 and six significant digits elsewhere, rounded up or down.

    >>> rounded(12.3456789, up=True), rounded(12.3456789, up=False)
    ('12.3457', '12.3456')
    """
    exact = Decimal(value)
    places = -10 if abs(value - 1) < CLOSE_TO_ONE or value == 0 else max(exact.adjusted() - 5, -10)
    direction = ROUND_CEILING if up else ROUND_FLOOR
    if places > 0:  # so large that digits before the point go: as an exponent
        digits = exact.scaleb(-exact.adjusted()).quantize(Decimal("1e-5"), rounding=direction)
        return f"{digits.normalize():f}e{exact.adjusted()}"
    text = f"{exact.quantize(Decimal(1).scaleb(places), rounding=direction):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals_up(value: float, places: int) -> str:
    """A finite number to so many decimals, never less than it is: a float times 100 can be rounded down, a decimal not.

    >>> decimals_up(1.4046, 2), decimals_up(0.25671, 4)
    ('1.41', '0.2568')
    """
    return f"{Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_CEILING):f}"


def estimate_text(value: float) -> str:
    """An estimated number to the nearest: seven decimals where it could be 1, four digits elsewhere.

    >>> estimate_text(0.99999771), estimate_text(37.21931), estimate_text(float("nan"))
    ('0.9999977', '37.22', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite"
    return f"{value:.7f}" if 0.1 <= abs(value) < 10 else f"{value:.4g}"


def shape_text(shape: Sequence[int] | None) -> str:
    """``16×32×32``; a question mark where the file does not tell.

    >>> shape_text((16, 32, 32)), shape_text(None), shape_text(())
    ('16×32×32', '?', 'scalar')
    """
    if shape is None:
        return "?"
    return "×".join(map(str, shape)) if shape else "scalar"


def size_text(size: int) -> str:
    """Bytes in the decimal units of disks.

    >>> size_text(999), size_text(4_212_345)
    ('999 bytes', '4.21 MB')
    """
    if size < 1000:
        return f"{size} bytes"
    exponent = min((len(str(size)) - 1) // 3, 4)
    return f"{size / 1000**exponent:.3g} {('kB', 'MB', 'GB', 'TB')[exponent - 1]}"


def rate_text(count: int, total: int) -> str:
    """A share in percent with two decimals: 10,000 images tell no more.

    >>> rate_text(4040, 10_000), rate_text(0, 0)
    ('40.40%', '–')
    """
    return f"{100 * count / total:.2f}%" if total else "–"
