from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipscope.bounds.composition import chain_bound, sum_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.records import Bound
from tests import dense
from tests.always import always

SQUARES = arrays(np.float64, (3, 3), elements=st.floats(-4, 4, allow_subnormal=False))
VALUES = st.lists(st.floats(0, 1e100), min_size=1, max_size=5)


def bound_of(matrix: np.ndarray) -> Bound:
    return Bound(spectral_norm_bound(torch.from_numpy(np.ascontiguousarray(matrix))), "by hand")


@always(first=SQUARES, second=SQUARES)
def test_compositions_cover_the_matrices_that_they_stand_for(first: np.ndarray, second: np.ndarray) -> None:
    parts = [bound_of(first), bound_of(second)]
    compositions = {
        chain_bound: second @ first,
        sum_bound: first + second,
    }
    for compose, matrix in compositions.items():
        # The matrices themselves are rounded where they are products or sums.
        assert compose(parts).value >= dense.norm(matrix) * (1 - dense.ROUNDING) - 1e-14


@always(values=VALUES)
def test_never_below_the_formula_in_rational_arithmetic(values: list[float]) -> None:
    parts = [Bound(value, "by hand") for value in values]
    exact = [Fraction(value) for value in values]
    assert Fraction(chain_bound(parts).value or 0) >= math.prod(exact) if chain_bound(parts).proved else True
    assert Fraction(sum_bound(parts).value) >= sum(exact)


def test_attained_by_hand() -> None:
    halves = [Bound(0.5, "a"), Bound(0.25, "b")]
    assert sum_bound(halves).value == 0.75
    assert chain_bound(halves).value == pytest.approx(0.125, rel=1e-15)
    # 1 is not rounded away from a network of isometries.
    assert chain_bound([Bound.exactly(1.0, "isometry")] * 9).value == 1.0


COMPOSITIONS = [chain_bound, sum_bound]


@pytest.mark.parametrize("compose", COMPOSITIONS)
def test_a_part_without_a_proof_leaves_none(compose) -> None:
    bound = compose([Bound(1.0, "a"), Bound.unproved("no rule for Softmax")])
    assert (bound.proved, bound.reason, bound.value) == (False, "no rule for Softmax", math.inf)


@pytest.mark.parametrize("compose", COMPOSITIONS)
def test_a_lower_bound_does_not_compose(compose) -> None:
    with pytest.raises(ValueError, match="only upper bounds"):
        compose([Bound(1.0, "floor", direction="lower")] * 2)


@pytest.mark.parametrize("compose", COMPOSITIONS)
def test_an_overflow_proves_nothing(compose) -> None:
    bound = compose([Bound(1.7e308, "a"), Bound(1.7e308, "b")])
    assert not bound.proved
    assert "overflows" in bound.reason
