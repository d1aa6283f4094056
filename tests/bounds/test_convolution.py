from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn.utils import parametrizations

from lipscope.bounds.convolution import (
    absolute_bound,
    circular_bound,
    every_size_bound,
    padded_absolute_bound,
    unfolding_bound,
    zero_padded_bound,
)
from tests import dense
from tests.always import always

WEIGHTS = st.one_of(st.floats(-4, 4, allow_subnormal=False), st.integers(-2, 2).map(float))
KERNELS = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=WEIGHTS)
)
SIDES = st.integers(1, 6)

TRAP = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 1, 1, 3)
"""On two pixels: circular norm 0, zero-padded norm 1."""


def random_kernel(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def supremum_from_below(kernel: torch.Tensor, points: int = 128) -> float:
    """The largest ||K^(w)|| on a fine grid, by numpy's transform."""
    symbols = np.fft.fft2(kernel.numpy(), s=(points, points)).transpose(2, 3, 0, 1)
    return float(np.linalg.norm(symbols, 2, axis=(2, 3)).max())


@always(
    kernel=KERNELS,
    height=SIDES,
    width=SIDES,
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    stride=st.integers(1, 3),
)
def test_every_zero_padded_convolution_is_covered(
    kernel: np.ndarray, height: int, width: int, padding: tuple[int, int], stride: int
) -> None:
    fits = height + 2 * padding[0] >= kernel.shape[2] and width + 2 * padding[1] >= kernel.shape[3]
    matrix = dense.zero_padded_matrix(kernel, height, width, padding if fits else (3, 3), stride)
    weights = torch.from_numpy(kernel)
    assert dense.covers(zero_padded_bound(weights, height, width), matrix)
    assert dense.covers(every_size_bound(weights), matrix)
    assert dense.covers(unfolding_bound(weights), matrix)


@always(kernel=KERNELS, height=SIDES, width=SIDES)
def test_circular_convolutions_are_covered_and_exact(kernel: np.ndarray, height: int, width: int) -> None:
    matrix, weights = dense.circular_matrix(kernel, height, width), torch.from_numpy(kernel)
    bound = circular_bound(weights, height, width)
    assert dense.covers(bound, matrix)
    assert bound <= dense.norm(matrix) * (1 + 1e-10) + 1e-12 * float(np.abs(kernel).sum()) + 1e-300
    assert dense.covers(every_size_bound(weights), matrix)
    assert dense.covers(unfolding_bound(weights), matrix)


def test_the_image_size_itself_is_no_grid_for_zero_padding() -> None:
    matrix = dense.zero_padded_matrix(TRAP.numpy().astype(float), 1, 2)
    assert dense.norm(matrix) == 1.0
    assert circular_bound(TRAP, 1, 2) < 1e-13
    for bound in (zero_padded_bound(TRAP, 1, 2), every_size_bound(TRAP), unfolding_bound(TRAP)):
        assert bound >= 1.0


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("seed", range(3))
def test_every_size_bound_covers_every_size(size: int, seed: int) -> None:
    kernel = random_kernel(2, 2, 3, 3, seed=seed)
    matrix = dense.zero_padded_matrix(kernel.numpy(), size, size)
    assert dense.covers(every_size_bound(kernel), matrix)
    assert dense.covers(zero_padded_bound(kernel, size, size), matrix)


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (4, 4, 3, 3), (8, 3, 3, 3), (2, 2, 2, 2), (2, 2, 5, 5), (1, 1, 1, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_every_size_bound_is_close_to_the_supremum(shape: tuple[int, ...], seed: int) -> None:
    kernel = random_kernel(*shape, seed=seed)
    truth = supremum_from_below(kernel)
    slack = 1.025 if max(shape[2:]) <= 3 else 1.1
    assert truth <= every_size_bound(kernel) <= truth * slack


@pytest.mark.parametrize("grid", [1, 2, 5, 8, 33, 64])
def test_every_size_bound_holds_for_every_grid(grid: int) -> None:
    """Grids too coarse for the theorem are refined, not believed."""
    for seed in range(10):
        kernel = random_kernel(1, 2, 3, 4, seed=seed)
        assert every_size_bound(kernel, grid) >= supremum_from_below(kernel, 96)


@always(coefficients=arrays(np.float64, (1, 1, 3, 3), elements=WEIGHTS), row=st.floats(0, 7), column=st.floats(0, 7))
def test_every_size_bound_covers_every_frequency(coefficients: np.ndarray, row: float, column: float) -> None:
    phases = np.exp(-1j * (row * np.arange(3)[:, None] + column * np.arange(3)[None, :]))
    symbol = abs((coefficients[0, 0] * phases).sum())
    assert every_size_bound(torch.from_numpy(coefficients)) >= symbol * (1 - dense.ROUNDING)


@pytest.mark.parametrize(("size", "slack"), [(8, 1.12), (12, 1.07), (16, 1.05)])
@pytest.mark.parametrize("seed", range(3))
def test_zero_padded_bound_tightens_with_the_image(size: int, slack: float, seed: int) -> None:
    kernel = random_kernel(1, 1, 3, 3, seed=seed)
    truth = dense.norm(dense.zero_padded_matrix(kernel.numpy(), size, size))
    assert truth * (1 - dense.ROUNDING) <= zero_padded_bound(kernel, size, size) <= truth * slack


@pytest.mark.parametrize("seed", range(5))
def test_unfolding_bound_is_at_most_three_times_loose_for_3x3(seed: int) -> None:
    kernel = random_kernel(4, 4, 3, 3, seed=seed)
    truth = supremum_from_below(kernel)
    assert truth <= unfolding_bound(kernel) <= 3 * truth


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 2, 2), (2, 3, 4, 4), (2, 3, 1, 4), (3, 1, 5, 2)])
@pytest.mark.parametrize("image", [(1, 1), (2, 2), (1, 5), (6, 3)])
def test_even_kernels_and_images_smaller_than_the_kernel(shape: tuple[int, ...], image: tuple[int, int]) -> None:
    kernel = random_kernel(*shape)
    full = (shape[2] - 1, shape[3] - 1)
    for padding in (full, (shape[2] + 1, shape[3] + 2)):
        matrix = dense.zero_padded_matrix(kernel.numpy(), *image, padding)
        assert dense.covers(zero_padded_bound(kernel, *image), matrix)
        assert dense.covers(every_size_bound(kernel), matrix)
        assert dense.covers(unfolding_bound(kernel), matrix)


def test_the_full_convolution_is_nearly_attained() -> None:
    kernel = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert every_size_bound(kernel) == pytest.approx(9.0, rel=0.02)
    assert zero_padded_bound(kernel, 32, 32) == pytest.approx(9.0, rel=1e-12)
    assert unfolding_bound(kernel) == pytest.approx(9.0, rel=1e-12)


@pytest.mark.parametrize("bound", [every_size_bound, unfolding_bound, lambda k: circular_bound(k, 4, 6)])
def test_a_one_by_one_kernel_is_its_matrix(bound) -> None:
    kernel = torch.tensor([[3.0, 0.0], [4.0, 0.0]]).reshape(2, 2, 1, 1)
    assert 5.0 <= bound(kernel) <= 5.0 + 1e-12


ALL = [every_size_bound, unfolding_bound, lambda k: zero_padded_bound(k, 4, 5), lambda k: circular_bound(k, 4, 5)]
NAMES = ["every size", "unfoldings", "zero-padded", "circular"]


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
@pytest.mark.parametrize("exponent", [-1000, -700, -400, 3, 400, 700, 1000])
def test_a_power_of_two_scales_the_bound_exactly(bound, exponent: int) -> None:
    kernel = random_kernel(3, 2, 3, 3)
    assert bound(kernel * 2.0**exponent) == math.ldexp(bound(kernel), exponent)


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
def test_denormal_kernels_are_covered(bound) -> None:
    tiny = 2.0**-1074
    assert 9 * tiny <= bound(torch.full((1, 1, 3, 3), tiny, dtype=torch.float64)) <= 30 * tiny


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
def test_kernels_that_overflow_have_an_infinite_bound(bound) -> None:
    assert bound(torch.full((8, 8, 3, 3), 1e308, dtype=torch.float64)) == math.inf


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_kernels_that_are_not_finite_have_no_bound(bound, bad: float) -> None:
    kernel = torch.ones(2, 2, 3, 3)
    kernel[1, 0, 2, 1] = bad
    assert bound(kernel) == math.inf


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (2, 2, 1, 1), (0, 2, 3, 3), (2, 0, 1, 1)])
def test_zero_kernels(bound, shape: tuple[int, ...]) -> None:
    assert 0.0 <= bound(torch.zeros(shape)) <= 1e-300


@pytest.mark.parametrize("bound", ALL, ids=NAMES)
def test_integers_and_low_precision_are_taken_as_the_numbers_they_are(bound) -> None:
    kernel = torch.tensor([[1.0, 2.0], [3.0, -4.0]]).reshape(1, 1, 2, 2)
    expected = bound(kernel.double())
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        assert bound(kernel.to(dtype)) == expected


def test_torchs_spectral_norm_does_not_bound_the_operator() -> None:
    """It normalises the reshaped kernel: the operator keeps a norm well over 1, and the bound says so."""
    torch.manual_seed(0)
    conv = parametrizations.spectral_norm(nn.Conv2d(16, 16, 3, padding=1, bias=False), n_power_iterations=100)
    weight = conv.weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-3)
    matrix = dense.zero_padded_matrix(weight.double().numpy(), 6, 6)
    assert dense.norm(matrix) > 1.2
    for bound in (every_size_bound(weight), unfolding_bound(weight), zero_padded_bound(weight, 6, 6)):
        assert dense.covers(bound, matrix)
    assert supremum_from_below(weight.double()) > 1.5


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (3, 2), (5, 6)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_absolute_bound_of_a_small_map_counts_the_taps_that_meet_it(
    size: tuple[int, int], kernel_size: int
) -> None:
    kernel = torch.randn(3, 4, kernel_size, kernel_size, generator=torch.Generator().manual_seed(0))
    matrix = np.abs(dense.zero_padded_matrix(kernel.double().numpy(), *size))
    schur = math.sqrt(matrix.sum(0).max() * matrix.sum(1).max())
    found = padded_absolute_bound(kernel, *size)
    assert dense.norm(matrix) <= found
    assert found == pytest.approx(schur, rel=1e-9)
    assert found <= absolute_bound(kernel) * (1 + 1e-9)
