from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lipscope.records import Bound
from lipscope.tui.numerals import bound_text, estimate_text, rounded, size_text
from tests.always import always

positive = st.floats(min_value=0, allow_infinity=False, allow_nan=False)


@always(value=positive)
def test_a_printed_upper_bound_still_holds(value):
    assert Fraction(rounded(value, up=True)) >= Fraction(value)


@always(value=positive)
def test_a_printed_lower_bound_still_holds(value):
    assert Fraction(rounded(value, up=False)) <= Fraction(value)


@always(value=st.floats(min_value=1e-4, max_value=1e300))
def test_six_digits_are_kept(value):
    assert Fraction(rounded(value, up=True)) <= Fraction(value) * (1 + Fraction(1, 10**5)) + Fraction(1, 10**10)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bound_that_is_no_number_is_not_proved(value):
    assert bound_text(Bound(value, "by hand")) == "not proved"


def test_a_lower_bound_says_so():
    assert bound_text(Bound(1.00475, "an exhibited ratio", direction="lower")) == "≥ 1.00475"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0000000"), (0.0, "0"), (float("inf"), "infinite"), (float("nan"), "NaN"), (1.6e-9, "1.6e-09")],
)
def test_estimates(value, text):
    assert estimate_text(value) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (1000, "1 kB"), (3 * 10**9, "3 GB"), (10**13, "10 TB")])
def test_sizes(size, text):
    assert size_text(size) == text
