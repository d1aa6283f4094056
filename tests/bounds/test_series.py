from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
from hypothesis import strategies as st

from lipscope.bounds.series import LARGEST_RHO, squared_modulus, taylor_majorant, taylor_modulus
from tests import dense
from tests.always import always

TERMS = st.integers(1, 17)
SHARES = st.fractions(0, 1, max_denominator=1000)


def exact_square(terms: int, frequency: Fraction) -> Fraction:
    """|p_n(i lambda)|^2 by the series of cosine and sine."""
    cosine = sine = Fraction(0)
    for k in range(terms + 1):
        term = frequency**k / math.factorial(k) * (-1) ** (k // 2)
        if k % 2:
            sine += term
        else:
            cosine += term
    return cosine**2 + sine**2


def encloses(enclosure: tuple[float, float], terms: int, frequency: Fraction) -> bool:
    lower, upper = enclosure
    return Fraction(lower) ** 2 <= exact_square(terms, frequency) <= Fraction(upper) ** 2


@always(terms=st.integers(0, 24), frequency=st.fractions(-40, 40, max_denominator=10**6))
def test_squared_modulus_is_the_polynomial_of_cosine_and_sine(terms: int, frequency: Fraction) -> None:
    value = sum(c * frequency ** (2 * k) for k, c in enumerate(squared_modulus(terms)))
    assert value == exact_square(terms, frequency)


@always(terms=TERMS, rho=st.floats(0, LARGEST_RHO), shares=st.lists(SHARES, min_size=8, max_size=8))
def test_encloses_the_exact_value_at_every_frequency(terms: int, rho: float, shares: list[Fraction]) -> None:
    enclosure = taylor_modulus(terms, rho)
    for share in (Fraction(0), Fraction(1), *shares):
        assert encloses(enclosure, terms, share * Fraction(rho))


@always(terms=TERMS, rho=st.floats(0, 4), shares=st.lists(SHARES, min_size=8, max_size=8))
def test_encloses_where_layers_live(terms: int, rho: float, shares: list[Fraction]) -> None:
    enclosure = taylor_modulus(terms, rho)
    for share in (Fraction(1), *shares):
        assert encloses(enclosure, terms, share * Fraction(rho))


def first_expansion(terms: int) -> Fraction:
    """The smallest lambda > 0 with |p_n(i lambda)| = 1, from below, to 1e-15.

    (|p_n|^2 - 1) / t^j is a polynomial q in t = lambda^2 with q(0) < 0; its real roots are found by numpy and the
    sign change beside the smallest is confirmed and bisected in exact arithmetic.
    """
    coefficients = squared_modulus(terms)
    coefficients[0] -= 1
    while coefficients[0] == 0:
        coefficients.pop(0)
    assert coefficients[0] < 0, "expands at once"
    roots = np.roots([float(c) for c in reversed(coefficients)])
    smallest = min(root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 0)
    low, high = (Fraction(math.sqrt(smallest)) + Fraction(sign, 10**6) for sign in (-1, 1))
    assert exact_square(terms, low) < 1 < exact_square(terms, high)
    while high - low > Fraction(1, 10**15):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_square(terms, middle) <= 1 else (low, middle)
    return low


@pytest.mark.parametrize(("terms", "threshold"), [(8, "3.39514022"), (12, "3.37937731"), (16, "3.32481311")])
def test_where_the_series_first_expands(terms: int, threshold: str) -> None:
    """Rounded to nearest these read 3.40, 3.38 and 3.32: the first two lie beyond the truth."""
    exact = first_expansion(terms)
    assert Fraction(threshold) <= exact < Fraction(threshold) + Fraction(1, 10**8)
    below, above = float(exact - Fraction(1, 10**9)), float(exact + Fraction(1, 10**9))
    assert exact_square(terms, Fraction(below)) < 1 < exact_square(terms, Fraction(above))
    assert taylor_modulus(terms, above)[1] > 1.0
    # The enclosure need not be perfect, but it gives up no more than a part in a hundred of the interval.
    assert taylor_modulus(terms, 0.99 * below)[1] == 1.0


@pytest.mark.parametrize(("terms", "claimed"), [(8, 3.40), (12, 3.38), (16, 3.33)])
def test_rounded_thresholds_are_not_waved_through(terms: int, claimed: float) -> None:
    assert exact_square(terms, Fraction(claimed)) > 1
    assert taylor_modulus(terms, claimed)[1] > 1.0


@pytest.mark.parametrize("terms", [8, 12, 16])
def test_one_unit_in_the_last_place_beyond_the_threshold_is_an_expansion(terms: int) -> None:
    rho = float(first_expansion(terms))
    while exact_square(terms, Fraction(rho)) <= 1:
        rho = math.nextafter(rho, math.inf)
    assert taylor_modulus(terms, rho)[1] > 1.0


def test_twelve_terms_at_the_norm_of_a_trained_layer() -> None:
    lower, upper = taylor_modulus(12, 2.1)
    assert upper == 1.0
    assert 1 - 2.3e-6 <= lower < 1.0


def test_five_terms_expand_by_half_a_percent() -> None:
    _, upper = taylor_modulus(5, 2.1)
    exact = max(math.sqrt(exact_square(5, Fraction(21, 10) * k / 2000)) for k in range(2001))
    assert exact == pytest.approx(1.00475, abs=1e-5)
    assert exact <= upper <= exact * (1 + 1e-5)
    assert upper**40 == pytest.approx(1.21, abs=0.005)


@pytest.mark.parametrize("terms", range(1, 25))
def test_one_and_two_modulo_four_expand_at_once_and_the_others_do_not(terms: int) -> None:
    expands = terms % 4 in (1, 2)
    frequency = Fraction(1, 100)
    assert (exact_square(terms, frequency) > 1) == expands
    assert (taylor_modulus(terms, 0.01)[1] > 1.0) == expands


@pytest.mark.parametrize("terms", [3, 8, 12, 16])
@pytest.mark.parametrize("rho", [0.5, 2.1, 3.0, 3.5])
def test_tight_on_both_sides(terms: int, rho: float) -> None:
    values = [math.sqrt(exact_square(terms, Fraction(rho) * k / 400)) for k in range(401)]
    lower, upper = taylor_modulus(terms, rho)
    assert lower == pytest.approx(min(values), rel=1e-3)
    assert upper == pytest.approx(max(values), rel=1e-3)


def test_zero_is_the_identity() -> None:
    assert taylor_modulus(12, 0.0) == (1.0, 1.0)


@pytest.mark.parametrize("terms", [3, 8, 12, 17])
@pytest.mark.parametrize("rho", [20.0, 35.0, 50.0, LARGEST_RHO])
def test_large_norms_have_an_enclosure_too(terms: int, rho: float) -> None:
    lower, upper = taylor_modulus(terms, rho)
    assert 0.0 <= lower <= 1.0
    assert Fraction(upper) ** 2 >= exact_square(terms, Fraction(rho))


@pytest.mark.parametrize("rho", [math.nextafter(LARGEST_RHO, math.inf), 1e10, 1e300, math.inf, math.nan])
def test_absurd_norms_get_the_generic_bound(rho: float) -> None:
    lower, upper = taylor_modulus(12, rho)
    assert lower == 0.0
    assert upper == taylor_majorant(12, rho)
    assert upper >= rho or math.isnan(rho)


@always(terms=st.integers(0, 20), rho=st.floats(0, 1e6))
def test_majorant_is_never_below_the_sum(terms: int, rho: float) -> None:
    exact = sum((Fraction(rho) ** k / math.factorial(k) for k in range(terms + 1)), Fraction(0))
    assert exact <= Fraction(taylor_majorant(terms, rho)) <= exact * (1 + Fraction(1, 2**50))


@pytest.mark.parametrize("rho", [1e30, 1e300, math.inf, math.nan])
def test_majorant_overflows_to_infinity(rho: float) -> None:
    assert taylor_majorant(12, rho) == math.inf


@pytest.mark.parametrize("terms", [1, 5, 8, 12])
@pytest.mark.parametrize("size", [2, 5, 9])
def test_singular_values_of_the_series_of_a_skew_matrix(terms: int, size: int) -> None:
    """They are |p_n(i lambda)| over its eigenvalues, and p_n comes close to the exponential."""
    free = np.random.default_rng(size).normal(size=(size, size))
    skew = (free - free.T) * (2.1 / dense.norm(free - free.T))
    result = dense.series(skew, terms)
    frequencies = np.linalg.eigvals(skew).imag
    expected = sorted((math.sqrt(exact_square(terms, Fraction(f))) for f in frequencies), reverse=True)
    singular = scipy.linalg.svdvals(result)
    np.testing.assert_allclose(singular, expected, rtol=1e-12)
    lower, upper = taylor_modulus(terms, math.nextafter(2.1, 3))
    assert lower * (1 - dense.ROUNDING) <= singular[-1]
    assert singular[0] <= upper * (1 + dense.ROUNDING)
    assert dense.norm(result - scipy.linalg.expm(skew)) <= 1.1 * 2.1 ** (terms + 1) / math.factorial(terms + 1)


@pytest.mark.parametrize("seed", range(5))
def test_majorant_bounds_matrices_that_are_not_skew(seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(4, 4))
    assert dense.covers(taylor_majorant(12, dense.norm(matrix) * (1 + 1e-12)), dense.series(matrix, 12))
