from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lipscope.bounds.rounding import UNIT_ROUNDOFF, down, gamma, printed_up, product_up, scaled, up
from tests.always import always

POSITIVE = st.floats(0, allow_nan=False, allow_infinity=False)


def at_least(value: float, exact: Fraction) -> bool:
    return math.isinf(value) or Fraction(value) >= exact


def test_unit_roundoff_is_half_the_gap_after_one() -> None:
    assert math.nextafter(1.0, 2.0) - 1.0 == 2 * UNIT_ROUNDOFF


@always(operations=st.integers(0, 2**51))
def test_gamma_is_never_below_the_formula(operations: int) -> None:
    total = Fraction(operations, 2**53)
    assert Fraction(gamma(operations)) >= total / (1 - total)


def test_gamma_is_tight() -> None:
    assert gamma(1000) <= 1000 * UNIT_ROUNDOFF * (1 + 1e-12)


@pytest.mark.parametrize("operations", [2**52, 2**53, 2**60])
def test_gamma_refuses_what_it_cannot_bound(operations: int) -> None:
    with pytest.raises(ValueError, match="meaningless"):
        gamma(operations)


@always(value=POSITIVE, steps=st.integers(1, 5))
def test_up_and_down_move_by_whole_steps(value: float, steps: int) -> None:
    higher, lower = up(value, steps), down(value, steps)
    assert lower < value < higher
    for _ in range(steps):
        higher, lower = math.nextafter(higher, -math.inf), math.nextafter(lower, math.inf)
    assert lower == value
    assert higher == value or math.isinf(up(value, steps))


@always(a=POSITIVE, b=POSITIVE)
def test_up_covers_the_rounding_of_one_operation(a: float, b: float) -> None:
    assert at_least(up(a + b), Fraction(a) + Fraction(b))
    assert at_least(up(a * b), Fraction(a) * Fraction(b))
    assert Fraction(up(math.sqrt(a))) ** 2 >= Fraction(a)


@always(value=st.floats(0, 1), exponent=st.integers(-1200, 1200))
def test_scaled_is_never_below(value: float, exponent: int) -> None:
    result = scaled(value, exponent)
    exact = Fraction(value) * Fraction(2) ** exponent
    assert math.isinf(result) or Fraction(result) >= exact
    assert math.isinf(result) == (exact >= Fraction(2) ** 1024)


@always(values=st.lists(st.one_of(st.just(1.0), st.floats(0, 4), st.floats(1, 1 + 1e-9)), max_size=12))
def test_product_up_is_never_below_the_product(values: list[float]) -> None:
    exact = math.prod((Fraction(value) for value in values), start=Fraction(1))
    result = Fraction(product_up(values))
    assert result >= exact
    assert result <= exact * (1 + Fraction(4 * len(values), 2**52)) + Fraction(len(values), 2**1000)


def test_product_up_of_ones_is_exactly_one() -> None:
    assert product_up([1.0] * 100) == 1.0
    assert product_up([]) == 1.0
    assert product_up([1.0, 1.25, 1.0]) == 1.25


@always(value=st.floats(0, allow_nan=False))
def test_printed_up_is_never_less_and_short(value: float) -> None:
    printed = printed_up(value)
    assert Decimal(printed) >= Decimal(value)
    assert math.isinf(value) or Decimal(printed) <= Decimal(value) * Decimal("1.001")
    assert len(printed) <= len("1.234E-1234")


def test_product_up_overflows_to_infinity() -> None:
    assert product_up([1e200, 1e200]) == math.inf
