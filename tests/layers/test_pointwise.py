from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.layers.contract import LinearLayer
from lipscope.layers.pointwise import PointwiseConv2d, nearest_orthogonal
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise
from tests.layers.test_rounding import share


def trainable(in_channels: int, out_channels: int, stride: int, seed: int = 0) -> PointwiseConv2d:
    layer = PointwiseConv2d(in_channels, out_channels, stride)
    layer.make_trainable(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.bias.copy_(noise(out_channels, seed=seed + 100))
    return layer


def pointwise(in_channels: int, out_channels: int, stride: int, seed: int = 0) -> PointwiseConv2d:
    layer = trainable(in_channels, out_channels, stride, seed).eval()
    layer.freeze()
    return layer.requires_grad_(False)


def matrix_of(layer: PointwiseConv2d, shape: Shape) -> dense.Matrix:
    inner = dense.circular_matrix(layer.kernel.double().numpy(), shape[1] // layer.stride, shape[2] // layer.stride)
    return inner @ dense.unshuffle_matrix(*shape, layer.stride)


class TestPointwise(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: pointwise(4, 4, 1), (4, 2, 3)),
        "fewer outputs": (lambda: pointwise(5, 3, 1), (5, 2, 2)),
        "more outputs": (lambda: pointwise(3, 5, 1), (3, 2, 2)),
        "patches of 2x2": (lambda: pointwise(2, 6, 2), (2, 4, 2)),
        "patches of 4x4": (lambda: pointwise(1, 20, 4), (1, 8, 4)),
    }
    preservation: ClassVar[float] = 1e-6

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return matrix_of(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.repeat(layer.bias.double().numpy(), shape[1] * shape[2] // layer.stride**2)

    def test_it_proves_itself(self, layer: PointwiseConv2d, shape: Shape) -> None:
        assert 1 - 1e-6 < layer.bound(shape).value <= 1
        floor = layer.singular_value_floor(shape)
        singular = np.linalg.svd(matrix_of(layer, shape), compute_uv=False)
        assert floor.proved
        assert 1 - 1e-6 < floor.value <= float(singular.min()) * (1 + dense.ROUNDING)

    @pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
    def test_the_rounding_error_is_covered(self, layer: PointwiseConv2d, shape: Shape, arithmetic: Arithmetic) -> None:
        shares = [share(layer, noise(1, *shape, seed=seed), arithmetic) for seed in range(3)]
        assert 1e-4 < max(shares) <= 1


@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
def test_products_that_vanish_beside_the_bias_one_by_one_are_covered(arithmetic: Arithmetic) -> None:
    """A sum that starts from the bias 1 and adds 64 times 0.4 units in its last place errs by 26 of them."""
    layer = PointwiseConv2d(64, 8, 1).eval().requires_grad_(False)
    layer.kernel.fill_(2.0**-10)
    layer.bias.fill_(1.0)
    small = torch.full((1, 64, 3, 3), 0.4 * 2 * arithmetic.unit_roundoff, dtype=torch.float64)
    x = (small * 2**10).to(getattr(torch, arithmetic.name))
    exact = 1 + 64 * Fraction(1, 2**10) * Fraction(float(x[0, 0, 0, 0]))
    error = max(abs(Fraction(value) - exact) for value in layer(x).unique().tolist())
    rounding = layer.rounding((64, 3, 3), float(x.double().norm()) * (1 + 1e-12), arithmetic)
    assert float(error) * math.sqrt(8 * 9) <= rounding.error <= 1000 * arithmetic.unit_roundoff


def test_a_stored_matrix_that_expands_is_found_out() -> None:
    layer = pointwise(4, 4, 1)
    layer.kernel[0, 0] += 0.5
    assert layer.bound((4, 2, 2)).value > 1.01
    assert dense.covers(layer.bound((4, 2, 2)).value, matrix_of(layer, (4, 2, 2)))
    assert layer.singular_value_floor((4, 2, 2)).value < 0.9


def test_freezing_stores_the_nearest_orthogonal_matrix() -> None:
    layer = trainable(6, 4, 1)
    with torch.no_grad():
        layer.kernel.add_(noise(4, 6, 1, 1, seed=3), alpha=0.01)
    free = layer.kernel.detach()[:, :, 0, 0].double()
    values, vectors = torch.linalg.eigh(free @ free.mT)
    # (W W^T)^(-1/2) W, by another way than the singular value decomposition.
    expected = vectors @ (vectors.mT / values.sqrt()[:, None]) @ free
    torch.testing.assert_close(nearest_orthogonal(free), expected, rtol=0, atol=1e-12)
    promised = layer.stored_kernel()
    layer.freeze()
    assert torch.equal(layer.kernel, promised)
    torch.testing.assert_close(layer.kernel[:, :, 0, 0].double(), expected, rtol=0, atol=1e-6)


def test_shapes_that_do_not_fit_are_refused() -> None:
    layer = pointwise(2, 3, 2)
    for shape in ((3, 4, 4), (2, 3, 4)):
        for ask in (layer.output_shape, layer.bound, layer.singular_value_floor):
            with pytest.raises(ValueError, match="expects 2 channels"):
                ask(shape)
    assert math.isfinite(layer.bound((2, 4, 4)).value)
