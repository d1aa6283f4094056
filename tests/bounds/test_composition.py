from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import strategies as st

from lipscope.bounds.composition import sum_up
from tests.always import always


@always(values=st.lists(st.floats(0, 1e100), min_size=1, max_size=5))
def test_never_below_the_sum_in_rational_arithmetic(values: list[float]) -> None:
    exact = sum(map(Fraction, values))
    assert exact <= Fraction(sum_up(values)) <= exact * (1 + Fraction(2) ** -51)


def test_attained_by_hand() -> None:
    assert sum_up([0.5, 0.25]) == 0.75
    assert sum_up([1.0, 2.0**-60]) > 1.0


def test_an_overflow_is_infinite() -> None:
    assert sum_up([1.7e308, 1.7e308]) == sum_up([math.inf, 1.0]) == math.inf
