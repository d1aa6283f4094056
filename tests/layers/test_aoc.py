"""AOC: one kernel with a true stride, groups and dilation, orthogonal on every circle."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32
from lipscope.layers.aoc import AOCConv2d
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise
from tests.layers.test_rounding import share


def trainable(*arguments: int) -> AOCConv2d:
    layer = AOCConv2d(*arguments)
    layer.make_trainable(torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.bias.copy_(noise(layer.out_channels, seed=9))
    return layer


def stored(*arguments: int) -> AOCConv2d:
    layer = trainable(*arguments).eval()
    layer.freeze()
    return layer.requires_grad_(False)


def matrix(layer: AOCConv2d, shape: Shape) -> dense.Matrix:
    before = (layer.dilation * (layer.taps - 1) + 2 - layer.stride) // 2
    kernel = layer.kernel.double().numpy()
    return dense.strided_circular_matrix(kernel, *shape[1:], before, layer.stride, layer.groups, layer.dilation)


class TestAOC(LinearLayerContract):
    preservation: ClassVar[float] = 1e-6
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(4, 4, 3, 1, 4), (4, 4, 4)),
        "more outputs": (lambda: stored(2, 5, 3, 1, 3), (2, 3, 3)),
        "stride": (lambda: stored(2, 6, 3, 2, 4), (2, 4, 4)),
        "stride, more outputs": (lambda: stored(1, 6, 3, 2, 4), (1, 4, 4)),
        "patches": (lambda: stored(2, 4, 1, 2, 4), (2, 4, 4)),
        "four taps": (lambda: stored(2, 8, 4, 2, 4), (2, 4, 4)),
        "groups": (lambda: stored(4, 6, 3, 2, 4, 2), (4, 4, 4)),
        "dilation": (lambda: stored(2, 2, 3, 1, 5, 1, 2), (2, 5, 5)),
    }

    def dense(self, layer: AOCConv2d, shape: Shape) -> dense.Matrix:
        return matrix(layer, shape)

    def constant(self, layer: AOCConv2d, shape: Shape) -> dense.Matrix:
        return np.repeat(layer.bias.double().numpy(), shape[1] * shape[2] // layer.stride**2)

    def test_it_proves_itself(self, layer: AOCConv2d, shape: Shape) -> None:
        assert 1 - 1e-6 < layer.bound(shape).value <= 1
        singular = np.linalg.svd(matrix(layer, shape), compute_uv=False)
        floor = layer.singular_value_floor(shape).value
        assert 1 - 1e-6 < floor <= float(singular.min()) * (1 + dense.ROUNDING)

    def test_its_phases_have_its_singular_values(self, layer: AOCConv2d, shape: Shape) -> None:
        phases = layer.circular_kernel(shape)
        if layer.groups > 1:
            assert phases is None
            return
        sides = layer.output_shape(shape)[1:]
        found = np.linalg.svd(dense.circular_matrix(phases.double().numpy(), *sides), compute_uv=False)
        np.testing.assert_allclose(found, np.linalg.svd(matrix(layer, shape), compute_uv=False), atol=1e-12)


@pytest.mark.parametrize("arguments", [(3, 5, 3, 1, 4), (3, 8, 3, 2, 4), (4, 4, 1, 2, 4), (3, 4, 3, 1, 2)])
def test_freezing_keeps_the_function(arguments: tuple[int, ...]) -> None:
    layer = trainable(*arguments).eval()
    x = noise(2, arguments[0], arguments[-1], arguments[-1]).float()
    with torch.no_grad():
        before = layer(x)
        layer.freeze()
    torch.testing.assert_close(layer(x), before, rtol=1e-5, atol=1e-5)


def test_the_rounding_error_of_float32_is_covered() -> None:
    assert share(stored(3, 8, 3, 2, 4), noise(1, 3, 4, 4), FLOAT32) <= 1


@pytest.mark.parametrize("arguments", [(2, 2, 3, 2, 4, 1, 2), (3, 4, 3, 1, 4, 2), (4, 3, 3, 1, 4, 2)])
def test_what_is_never_orthogonal_is_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no orthogonal kernel"):
        AOCConv2d(*arguments)
