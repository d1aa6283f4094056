from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipscope.bounds.matrix import normalized, spectral_norm_bound
from tests import dense
from tests.always import always

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODEST = st.floats(-8, 8, allow_subnormal=False)
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))


def bound_of(matrix: np.ndarray) -> float:
    return spectral_norm_bound(torch.from_numpy(np.ascontiguousarray(matrix)))


@always(matrix=st.one_of(arrays(np.float64, SIZES, elements=MODEST), arrays(np.float64, SIZES, elements=FINITE)))
def test_never_below_the_norm_in_exact_arithmetic(matrix: np.ndarray) -> None:
    assert dense.exactly_covers(bound_of(matrix), matrix)


@always(
    left=arrays(np.float64, (4, 1), elements=st.integers(-50, 50)),
    right=arrays(np.float64, (1, 3), elements=st.integers(-50, 50)),
)
def test_never_below_the_norm_of_rank_one_matrices(left: np.ndarray, right: np.ndarray) -> None:
    matrix = left @ right
    assert dense.exactly_covers(bound_of(matrix), matrix)
    if matrix.any():
        assert bound_of(matrix) <= math.sqrt((left**2).sum() * (right**2).sum()) * (1 + 1e-12)


@always(real=arrays(np.float64, (3, 2), elements=MODEST), imaginary=arrays(np.float64, (3, 2), elements=MODEST))
def test_never_below_the_norm_of_complex_matrices(real: np.ndarray, imaginary: np.ndarray) -> None:
    matrix = real + 1j * imaginary
    assert dense.exactly_covers(bound_of(matrix), matrix)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (20, 70), (70, 20), (1, 200), (120, 128)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_tight_to_a_part_in_1e10(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    truth = float(scipy.linalg.svdvals(matrix.numpy())[0])
    assert truth * (1 - dense.ROUNDING) <= spectral_norm_bound(matrix) <= truth * (1 + 1e-10)


def test_orthogonal_and_hadamard_matrices_have_norms_known_by_hand() -> None:
    hadamard = torch.from_numpy(scipy.linalg.hadamard(64).astype(float))
    assert 8.0 <= spectral_norm_bound(hadamard) <= 8.0 * (1 + 1e-11)
    assert 1.0 <= spectral_norm_bound(torch.eye(7)) <= 1 + 1e-12


def spread(values: torch.Tensor) -> torch.Tensor:
    """A dense symmetric matrix with these eigenvalues, by a Householder reflection that mixes all of them."""
    axis = torch.ones(len(values), dtype=torch.float64) / math.sqrt(len(values))
    mirror = torch.eye(len(values), dtype=torch.float64) - 2 * torch.outer(axis, axis)
    return mirror @ torch.diag(values.to(torch.float64)) @ mirror


LARGE = 320


@pytest.mark.parametrize(
    "values",
    [
        torch.linspace(0, 1, LARGE),
        torch.cat([torch.full((LARGE - 1,), 1 - 1e-9), torch.ones(1)]),
        torch.cat([torch.full((LARGE - 1,), 0.999), torch.ones(1)]),
        torch.cat([torch.zeros(LARGE - 1), torch.ones(1)]),
        torch.cat([1 - torch.logspace(-12, 0, LARGE - 1), torch.ones(1)]),
        torch.ones(LARGE),
    ],
    ids=["even", "cluster", "outlier", "rank one", "crowded end", "identity"],
)
def test_large_matrices_whose_largest_eigenvalue_is_hard_to_estimate(values: torch.Tensor) -> None:
    bound = spectral_norm_bound(spread(values))
    assert 1 - 1e-13 <= bound <= 1 + 1e-5


def test_large_matrix_whose_norm_is_exact() -> None:
    hadamard = torch.from_numpy(scipy.linalg.hadamard(512).astype(float))
    assert math.sqrt(512) <= spectral_norm_bound(hadamard) <= math.sqrt(512) * (1 + 1e-9)


def test_large_matrix_that_hides_its_largest_direction() -> None:
    # Two blocks that do not talk to each other: a start vector sees the larger one with a small weight only.
    matrix = torch.diag(torch.cat([torch.full((LARGE - 1,), 0.5), torch.ones(1)]).to(torch.float64))
    assert 1.0 <= spectral_norm_bound(matrix) <= 1 + 1e-9


@pytest.mark.parametrize("scale", [2.0**-1074, 2.0**-1060, 1e-300, 1e-160, 1e160, 1e300, 2.0**1020])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_extreme_magnitudes(scale: float, dtype: torch.dtype) -> None:
    matrix = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=dtype) * scale
    truth = 5.0 * scale
    assert truth <= spectral_norm_bound(matrix) <= truth * (1 + 1e-12) + 4 * 2.0**-1074


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_norm_that_overflows_is_infinite(dtype: torch.dtype) -> None:
    assert spectral_norm_bound(torch.full((100, 100), 1e308, dtype=dtype)) == math.inf


def test_a_modulus_that_overflows_is_infinite() -> None:
    assert spectral_norm_bound(torch.full((2, 2), complex(1.7e308, 1.7e308), dtype=torch.complex128)) == math.inf


@always(matrix=arrays(np.float64, (3, 3), elements=MODEST), exponent=st.integers(-700, 700))
def test_a_power_of_two_scales_the_bound_exactly(matrix: np.ndarray, exponent: int) -> None:
    matrix = np.where(np.abs(matrix) < 1e-30, 0.0, matrix)
    assert bound_of(matrix * 2.0**exponent) == math.ldexp(bound_of(matrix), exponent)


def test_batches_take_the_maximum_and_stay_tight_beside_larger_neighbours() -> None:
    generator = torch.Generator().manual_seed(1)
    batch = torch.randn(6, 3, 4, dtype=torch.complex128, generator=generator)
    norms = [float(scipy.linalg.svdvals(matrix.numpy())[0]) for matrix in batch]
    assert max(norms) * (1 - dense.ROUNDING) <= spectral_norm_bound(batch) <= max(norms) * (1 + 1e-12)


def test_batches_larger_than_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.randn(10, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    whole = spectral_norm_bound(batch)
    monkeypatch.setattr("lipscope.bounds.matrix.LARGEST_BATCH_BYTES", 100)
    assert spectral_norm_bound(batch) == pytest.approx(whole, rel=1e-13)
    assert spectral_norm_bound(batch) >= max(float(torch.linalg.matrix_norm(m, 2)) for m in batch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.complex64])
def test_other_dtypes_are_taken_as_the_numbers_they_are(dtype: torch.dtype) -> None:
    matrix = torch.tensor([[3, 0], [4, 0]]).to(dtype)
    assert 5.0 <= spectral_norm_bound(matrix) <= 5.0 + 1e-12


def test_views_transposes_and_conjugates() -> None:
    matrix = torch.randn(4, 6, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))
    bound = spectral_norm_bound(matrix)
    for view in (matrix.mT, matrix.mH, matrix.conj()):
        assert spectral_norm_bound(view) == pytest.approx(bound, rel=1e-13)


def test_zero_is_exactly_zero() -> None:
    assert spectral_norm_bound(torch.zeros(3, 4)) == 0.0
    assert spectral_norm_bound(torch.zeros(0, 4)) == 0.0
    assert spectral_norm_bound(torch.zeros(2, 3, 0)) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_bound(bad: float) -> None:
    matrix = torch.eye(3)
    matrix[1, 2] = bad
    assert spectral_norm_bound(matrix) == math.inf
    assert spectral_norm_bound(matrix.to(torch.complex64)) == math.inf


@always(values=arrays(np.float64, (5,), elements=FINITE))
def test_normalized_is_exact(values: np.ndarray) -> None:
    result, exponent = normalized(torch.from_numpy(values))
    assert exponent is not None
    largest = float(result.abs().max())
    assert largest == 0.0 or 0.5 <= largest < 1.0
    for before, after in zip(values.tolist(), result.tolist(), strict=True):
        if abs(after) >= 2.0**-1000:
            assert math.ldexp(after, exponent) == before


@pytest.mark.parametrize("seed", range(4))
def test_a_factorisation_that_rounding_saved_proves_nothing_too_small(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimates a few units below the truth: the factorisation may run through, and the bound must still hold."""
    matrix = np.random.default_rng(seed).integers(-9, 10, (3, 4)).astype(float)
    scaled = normalized(torch.from_numpy(matrix))[0].numpy()
    truth = float(np.linalg.eigvalsh(scaled @ scaled.T)[-1])
    for units in range(1, 120):
        monkeypatch.setattr(
            "lipscope.bounds.matrix._largest_eigenvalue", lambda gram, units=units: truth * (1 - units * 2.0**-53)
        )
        assert dense.exactly_covers(bound_of(matrix), matrix)


@pytest.mark.parametrize("size", [16, 64, 200])
def test_the_error_of_the_factorisation_is_paid_for(size: int) -> None:
    """Higham's theorem 10.3 allows a backward error of gamma_(n+1) times the trace, seldom met and never waived."""
    bound = Fraction(spectral_norm_bound(torch.eye(size)))
    assert bound**2 - 1 >= Fraction(size * (size + 1), 2**53)
