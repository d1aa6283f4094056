from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.bounds import triangle as room
from lipscope.bounds.triangle import (
    Triangle,
    empty_triangle,
    factor_in_place,
    largest_eigenvalue_bound_in_place,
    solve,
    triangle_of,
)
from tests.always import always

DTYPES = [torch.float64, torch.float32]


@pytest.fixture(autouse=True)
def _small_panels(monkeypatch):
    monkeypatch.setattr(room, "PANEL", 7)


def held(gram: torch.Tensor, dtype: torch.dtype = torch.float64) -> tuple[Triangle, float]:
    """A triangle and by how much it differs from the matrix, in the Frobenius norm."""
    stored = empty_triangle(len(gram), dtype)
    for panel, exact in zip(stored.panels, triangle_of(gram).panels, strict=True):
        panel.copy_(exact)
    error = float(torch.linalg.matrix_norm(gram - gram.to(dtype).double()))
    return stored, error * (1 + 1e-9)


def gram_of(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    matrix = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return matrix @ matrix.mT


@pytest.mark.parametrize("rows", [1, 7, 8, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_and_the_trace(rows, dtype):
    gram = gram_of(rows, 5)
    stored, _ = held(gram, dtype)
    vectors = torch.randn(3, rows, dtype=torch.float64)
    rounded = gram.to(dtype).double()
    torch.testing.assert_close(stored.times(vectors), vectors @ rounded, rtol=1e-12, atol=1e-12)
    trace = math.fsum(rounded.diagonal().tolist())
    assert trace <= stored.trace <= trace * (1 + 1e-12)
    assert (stored.rows, len(stored.panels)) == (rows, -(-rows // 7))


@pytest.mark.parametrize("rows", [1, 7, 8, 40])
def test_the_factor_takes_the_place_and_solves(rows):
    gram = gram_of(rows, 60)
    for sign, matrix in ((1, 2.0 * torch.eye(rows) + gram), (-1, 1e3 * torch.eye(rows) - gram)):
        stored, _ = held(gram)
        assert factor_in_place(stored, 2.0 if sign == 1 else 1e3, sign)
        lower = torch.zeros(rows, rows, dtype=torch.float64)
        for k, panel in enumerate(stored.panels):
            lower[7 * k :, 7 * k : 7 * k + panel.shape[1]] = panel
        torch.testing.assert_close(lower @ lower.mT, matrix, rtol=1e-12, atol=1e-10)
        vectors = torch.randn(4, rows, dtype=torch.float64)
        torch.testing.assert_close(solve(stored, vectors) @ matrix, vectors, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shift_below_the_largest_eigenvalue_is_refused(dtype):
    gram = gram_of(40, 60)
    largest = float(torch.linalg.eigvalsh(gram)[-1])
    assert not factor_in_place(held(gram, dtype)[0], largest * (1 - 1e-3))
    assert factor_in_place(held(gram, dtype)[0], largest * (1 + 1e-3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    gram = gram_of(20, 30)
    for place in ((0, 0), (9, 2), (19, 19), (19, 0)):
        broken = gram.clone()
        broken[place] = value
        assert not factor_in_place(triangle_of(broken), 1e6)


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.999])
def test_an_estimate_that_is_too_low_costs_another_factorisation_not_the_proof(factor):
    gram = gram_of(30, 40)
    largest = float(torch.linalg.eigvalsh(gram)[-1])
    made = []

    def make():
        made.append(1)
        return held(gram)

    bound = largest_eigenvalue_bound_in_place(make, largest * factor)
    assert len(made) > 1
    assert bound >= largest * (1 - 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_and_what_is_nearly_nothing(dtype):
    for scale in (0.0, 1e-40):
        bound = largest_eigenvalue_bound_in_place(lambda scale=scale: held(scale * gram_of(9, 4), dtype))
        assert scale * 30 <= bound <= 1e-25


@always(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    rank=st.integers(1, 30),
    decades=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_the_bound_is_never_below_the_largest_eigenvalue(shape, rank, decades, seed, dtype):
    rng = np.random.default_rng(seed)
    matrix = torch.from_numpy(rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])))
    matrix *= torch.from_numpy(10.0 ** rng.uniform(-decades, 0, size=(shape[0], 1)))
    gram = matrix @ matrix.mT
    formed = 1e-14 * float(matrix.square().sum())
    stored, rounded = held(gram, dtype)
    bound = largest_eigenvalue_bound_in_place(lambda: (stored, rounded + formed))
    truth = float(torch.linalg.matrix_norm(matrix, 2)) ** 2
    assert bound >= truth * (1 - 1e-15)
    assert bound <= truth * (1 + (1e-9 if dtype == torch.float64 else 1e-5))
