from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from lipscope.bounds.pooling import (
    adaptive_average_pool_bound,
    adaptive_max_pool_bound,
    average_pool_bound,
    l2_pool_bound,
    max_pool_bound,
)
from tests import dense
from tests.always import always

SIDES = st.tuples(st.integers(1, 8), st.integers(1, 8))
FEW = st.tuples(st.integers(1, 4), st.integers(1, 5))
WINDOWS = st.tuples(st.integers(1, 5), st.integers(1, 5))
STRIDES = st.tuples(st.integers(1, 4), st.integers(1, 4))


def matrix_of(layer: nn.Module, size: tuple[int, int]) -> np.ndarray:
    """The matrix of a linear layer on one channel, by its outputs for every unit vector."""
    units = torch.eye(size[0] * size[1], dtype=torch.float64).reshape(-1, 1, *size)
    return layer(units).flatten(1).T.numpy()


def jacobian(layer: nn.Module, image: torch.Tensor) -> np.ndarray:
    return torch.autograd.functional.jacobian(lambda x: layer(x).flatten(), image).reshape(-1, image.numel()).numpy()


def inside(size: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """The window cut to the image."""
    return min(size[0], window[0]), min(size[1], window[1])


@always(size=SIDES, window=WINDOWS, stride=STRIDES, padded=st.booleans(), ceil=st.booleans(), count=st.booleans(),
        divisor=st.sampled_from([None, 3]))  # fmt: skip
def test_mean_pools_are_covered_and_exact(size, window, stride, padded, ceil, count, divisor) -> None:
    window = inside(size, window)
    padding = (window[0] // 2, window[1] // 2) if padded else (0, 0)
    layer = nn.AvgPool2d(window, stride, padding, ceil, count, divisor)
    bound = average_pool_bound(size, window, stride, padding, ceil_mode=ceil, count_include_pad=count, divisor=divisor)
    truth = dense.norm(matrix_of(layer, size))
    assert truth * (1 - dense.ROUNDING) <= bound.value <= truth * (1 + 1e-9)


@always(size=SIDES, output=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_adaptive_mean_pools_are_covered_and_exact(size, output) -> None:
    truth = dense.norm(matrix_of(nn.AdaptiveAvgPool2d(output), size))
    assert truth * (1 - dense.ROUNDING) <= adaptive_average_pool_bound(size, output).value <= truth * (1 + 1e-9)


def test_the_global_mean() -> None:
    assert adaptive_average_pool_bound((8, 8), 1).value == pytest.approx(1 / 8, rel=1e-12)


@always(size=SIDES, window=WINDOWS, stride=STRIDES, padded=st.booleans(), ceil=st.booleans(),
        dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)), seed=st.integers(0, 10**6))  # fmt: skip
def test_maxima_are_covered_and_the_bound_is_attained(size, window, stride, padded, ceil, dilation, seed) -> None:
    window = inside(size, window)
    padding = (window[0] // 2, window[1] // 2) if padded else (0, 0)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    if any(n + 2 * p < r for n, p, r in zip(size, padding, reach, strict=True)):
        dilation = (1, 1)
    layer = nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=ceil)
    bound = max_pool_bound(size, window, stride, padding, dilation, ceil_mode=ceil).value
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 1, 1, *size, generator=generator, dtype=torch.float64)
    assert float((layer(x) - layer(y)).norm()) <= bound * float((x - y).norm()) * (1 + 1e-12)
    # Where one pixel is the largest of all, every window that holds it takes its value.
    peaked = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, 1, *size)
    shares = layer(peaked).flatten(1).sum(dim=1)
    assert math.sqrt(float(shares.max())) == pytest.approx(bound, rel=1e-12)


@always(size=FEW, window=WINDOWS, stride=STRIDES, seed=st.integers(0, 10**6))
def test_l2_pools_are_covered(size, window, stride, seed) -> None:
    window = inside(size, window)
    layer = nn.LPPool2d(2, window, stride)
    bound = l2_pool_bound(size, window, stride).value
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, 1, 1, *size, generator=generator, dtype=torch.float64)
    assert float((layer(x) - layer(y)).norm()) <= bound * float((x - y).norm()) * (1 + 1e-9)
    assert dense.norm(jacobian(layer, x + 0.1)) <= bound * (1 + 1e-9)
    # A single bright pixel: each window that holds it returns its value.
    steepest = 0.0
    for pixel in range(x.numel()):
        bright = torch.full_like(x, 1e-9)
        bright.view(-1)[pixel] = 1.0
        steepest = max(steepest, dense.norm(jacobian(layer, bright)))
    assert steepest == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(("size", "output"), [((8, 8), (4, 4)), ((7, 5), (3, 4)), ((3, 3), (5, 5)), ((6, 6), (1, 1))])
def test_adaptive_maxima(size, output) -> None:
    layer, bound = nn.AdaptiveMaxPool2d(output), adaptive_max_pool_bound(size, output).value
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    steepest = 0.0
    for pixel in range(image.numel()):
        peaked = image.clone()
        peaked.view(-1)[pixel] += 100
        steepest = max(steepest, dense.norm(jacobian(layer, peaked)))
    assert steepest == pytest.approx(bound, rel=1e-12)


def test_windows_that_do_not_overlap_are_exactly_one() -> None:
    for bound in (max_pool_bound((8, 8), 2), l2_pool_bound((9, 9), 3), adaptive_max_pool_bound((8, 8), 4)):
        assert (bound.value, bound.arithmetic) == (1.0, "exact")
    assert max_pool_bound((8, 8), (3, 2), 2, (1, 0)).value == pytest.approx(math.sqrt(2), rel=1e-15)
    assert max_pool_bound((8, 8), (3, 2), 2, (1, 0)).value >= math.sqrt(2)
    assert "at most 4 share a pixel" in max_pool_bound((8, 8), 3, 2, 1).method
    assert l2_pool_bound((8, 8), 3, 2).method.startswith("norms over windows")


@pytest.mark.parametrize("bound", [max_pool_bound, average_pool_bound, l2_pool_bound])
def test_windows_larger_than_the_image(bound) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        bound((2, 4), 3)
