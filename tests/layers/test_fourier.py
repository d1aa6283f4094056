from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32, FLOAT64
from lipscope.layers.fourier import (
    along_columns,
    along_rows,
    circular_convolution,
    circular_rounding,
    inverse_transform,
    symbol_blocks,
    symbols_error,
    transform,
    transform_error,
)
from tests import dense
from tests.layers.contract import noise

SIDES = [1, 2, 3, 4, 5, 8, 16]


@pytest.mark.parametrize("side", SIDES)
def test_the_transform_is_numpy_s_with_columns_that_stand_for_two(side: int) -> None:
    x = noise(side, side, 3)
    z = transform(x)
    expected = np.fft.rfft2(x.numpy(), axes=(0, 1), norm="ortho")
    expected[:, 1 : (side + 1) // 2] *= math.sqrt(2)
    np.testing.assert_allclose(z[:, 0], expected.real, rtol=0, atol=1e-14 * side)
    np.testing.assert_allclose(z[:, 1], expected.imag, rtol=0, atol=1e-14 * side)


@pytest.mark.parametrize("side", SIDES)
def test_it_is_an_isometry_whose_inverse_is_its_transpose(side: int) -> None:
    x, z = noise(side, side, 2), noise(side, 2, side // 2 + 1, 2, seed=1)
    assert float(transform(x).norm()) == pytest.approx(float(x.norm()), rel=1e-14)
    torch.testing.assert_close(inverse_transform(transform(x)), x, rtol=0, atol=1e-14 * side)
    assert float((transform(x) * z).sum()) == pytest.approx(float((x * inverse_transform(z)).sum()), abs=1e-12)
    for table in (along_rows(side), along_columns(side)):
        gram = (table.mT @ table).numpy()
        np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("outputs", "inputs", "side"), [(2, 3, 4), (3, 1, 5), (1, 2, 2), (2, 2, 1), (1, 1, 8)])
def test_the_convolution_is_the_circular_one_of_any_kernel(outputs: int, inputs: int, side: int) -> None:
    kernel, x = noise(outputs, inputs, side, side), noise(3, inputs, side, side, seed=1)
    expected = x.flatten(1).numpy() @ dense.circular_matrix(kernel.numpy(), side, side).T
    found = circular_convolution(x, symbol_blocks(kernel)).flatten(1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
@pytest.mark.parametrize("side", [2, 5, 8])
def test_errors_are_covered_part_by_part(side: int, arithmetic) -> None:
    """Against long double: the transform alone, the symbols alone, the whole of a kernel far from orthogonal."""
    dtype = getattr(torch, arithmetic.name)
    kernel, x = noise(3, 2, side, side).float(), noise(2, side, side, seed=1).to(dtype)
    rows = np.arange(side, dtype=np.longdouble)
    turn = 8 * np.arctan(np.longdouble(1)) / side
    angle = turn * (np.outer(rows, rows) % side)
    plain = np.cos(angle) - 1j * np.sin(angle)
    half = side // 2 + 1

    def exact(images):
        return np.einsum("...rc,ar,bc->ab...", images, plain, plain[:half])

    weights = np.ones(half, dtype=np.longdouble)
    weights[1 : (side + 1) // 2] = 2
    truth = exact(x.numpy().astype(np.longdouble)) * np.sqrt(weights)[:, None] / side
    z = transform(x.permute(1, 2, 0)).numpy()
    error = np.linalg.norm((z[:, 0] + 1j * z[:, 1] - truth).astype(complex))
    assert error <= transform_error(side, 2, float(x.double().norm()), arithmetic) <= 1e6 * error

    symbols = exact(kernel.numpy().astype(np.longdouble)).conj().reshape(-1, 3, 2)
    blocks = symbol_blocks(kernel.to(dtype)).numpy()
    error = np.linalg.norm((blocks[:, :3, :2] + 1j * blocks[:, 3:, :2] - symbols).astype(complex))
    assert error <= symbols_error(kernel, arithmetic) <= 1e6 * error

    matrix = dense.circular_matrix(kernel.double().numpy(), side, side)
    y = x.numpy().astype(np.longdouble).reshape(1, -1) @ matrix.T.astype(np.longdouble)
    found = circular_convolution(x[None], symbol_blocks(kernel.to(dtype))).flatten(1).numpy()
    error = float(np.linalg.norm((found - y).astype(float)))
    norm = dense.norm(matrix) * (1 + 1e-12)
    assert error <= circular_rounding(kernel, norm, float(x.double().norm()) * (1 + 1e-12), arithmetic) <= 1e6 * error


def test_a_kernel_too_large_for_the_arithmetic_has_no_proof() -> None:
    assert circular_rounding(torch.full((2, 2, 4, 4), 3e37), 1e39, 1.0, FLOAT32) == math.inf
