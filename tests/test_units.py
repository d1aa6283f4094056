from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lipscope.errors import UsageError
from lipscope.units import DEFAULT_EPS, format_eps, largest_not_above, parse_eps
from tests.always import always


@pytest.mark.parametrize(
    ("text", "eps"),
    [("36/255", Fraction(12, 85)), (" 0.5 ", Fraction(1, 2)), ("0", Fraction(0)), ("1e-2", Fraction(1, 100)),
     ("0.1411", Fraction(1411, 10000)), ("3", Fraction(3)), ("+1/4", Fraction(1, 4))],
)  # fmt: skip
def test_radii_are_exact(text: str, eps: Fraction) -> None:
    assert parse_eps(text) == eps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("36/0", "denominator is zero"), ("-1/255", "negative"), ("-0.5", "negative"), ("36", "over 3"),
        ("3.0001", "over 3"), ("nan", "not a fraction"), ("inf", "not a fraction"), ("", "not a fraction"),
        ("36/255/2", "not a fraction"), ("abc", "not a fraction"), ("1e400", "digits"), ("1e-999999999", "digits"),
        ("1e1_000_000_000", "digits"), ("1e999999999", "digits"), ("9" * 5000, "digits"), ("1/" + "9" * 5000, "digits"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_no_radius_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_eps(text)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 300


def test_pixel_scale_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse_eps("36")
    assert "36/255" in caught.value.next_step


@always(eps=st.fractions(0, 3, max_denominator=10**30))
def test_largest_not_above_is_the_largest_float(eps: Fraction) -> None:
    found = largest_not_above(eps)
    assert Fraction(found) <= eps < Fraction(math.nextafter(found, math.inf))


@always(eps=st.one_of(st.fractions(0, 3, max_denominator=10**9), st.integers(0, 765).map(lambda k: Fraction(k, 255))))
def test_printed_radii_read_back_as_themselves(eps: Fraction) -> None:
    assert parse_eps(format_eps(eps)) == eps


def test_the_default_radii_are_those_of_the_tables() -> None:
    assert [format_eps(eps) for eps in DEFAULT_EPS] == ["36/255", "72/255", "108/255", "255/255"]
