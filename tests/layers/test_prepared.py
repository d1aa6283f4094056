from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32, FLOAT64
from lipscope.layers.frequency_series import FrequencySeries
from lipscope.layers.prepared import FormedMatrix, Prepared, formed_rounding
from lipscope.layers.soc import SOCConv2d
from lipscope.layers.taylor import PIECE, pieced, series_rows
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import noise
from tests.layers.test_soc import layer_matrix, soc

LAYERS: dict[str, tuple[SOCConv2d, Shape]] = {
    "3x3 on 2x2": (soc(3, 3, 3), (3, 2, 2)),
    "3x3 on 4x4": (soc(4, 2, 3), (4, 4, 4)),
    "3x3, stride 2": (soc(2, 4, 3, stride=2), (2, 6, 8)),
    "3x3, more outputs than inputs": (soc(1, 6, 3, stride=2), (1, 4, 4)),
    "1x1, stride 2": (soc(2, 4, 1, stride=2), (2, 2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("evaluations", [1, 10**6])
def test_it_computes_the_same_function(name: str, evaluations: int) -> None:
    layer, shape = LAYERS[name]
    prepared, x = layer.prepared(shape, evaluations), noise(5, *shape)
    assert (prepared.kind, prepared.output_shape(shape)) == (layer.kind, layer.output_shape(shape))
    assert prepared.bound(shape) == layer.bound(shape)
    assert prepared.rounding(shape, 3.0, FLOAT64) == layer.rounding(shape, 3.0, FLOAT64)
    truth = x.flatten(1).numpy() @ layer_matrix(layer, shape).T
    with torch.inference_mode():
        found = prepared(x) - layer.bias.double().reshape(-1, 1, 1)
    np.testing.assert_allclose(found.flatten(1).numpy(), truth, rtol=0, atol=1e-13)
    torch.testing.assert_close(prepared(x.float()), layer(x.float()), rtol=0, atol=1e-5)
    gradients = []
    for way in (prepared, layer):
        leaf = x.clone().requires_grad_(True)
        gradients += torch.autograd.grad(way(leaf).square().sum(), leaf)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_a_matrix_is_formed_only_where_it_pays() -> None:
    layer, shape = LAYERS["3x3 on 4x4"]
    few, many = layer.prepared(shape, 2), layer.prepared(shape, 1000)
    assert isinstance(few, Prepared)
    assert isinstance(few.series, FrequencySeries)
    assert isinstance(many, Prepared)
    assert isinstance(many.series, FormedMatrix)
    # On large maps the matrix has more numbers than the series takes products.
    large = soc(2, 2, 3).prepared((2, 40, 40), 10**9)
    assert isinstance(large, Prepared)
    assert isinstance(large.series, FrequencySeries)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4)])
def test_rows_are_those_of_the_series_also_in_pieces(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = 0.2 * noise(3, 3, 3, 3)
    truth = dense.series(dense.zero_padded_matrix(kernel.numpy(), *size), 12)[: 2 * math.prod(size)]
    for piece, images in ((PIECE, 256), (2, 3)):
        monkeypatch.setattr("lipscope.layers.taylor.PIECE", piece)
        monkeypatch.setattr("lipscope.layers.taylor.IMAGES_AT_A_TIME", images)
        np.testing.assert_allclose(series_rows(kernel, *size, 12, 2).numpy(), truth, rtol=0, atol=1e-13)


def test_pieces_make_the_sums_shorter() -> None:
    assert pieced(PIECE) == PIECE + 1
    assert pieced(16 * PIECE) == PIECE + 16


def test_errors_of_the_matrix_and_of_its_product_are_both_in_the_bound() -> None:
    assert formed_rounding((4, 9), 1e-10, 1.0, 5.0, FLOAT64) >= 2e-10 * 5
    assert formed_rounding((4, 9), 0.0, 1.0, 5.0, FLOAT64) >= FLOAT64.products(9, 2.0, 5.0, 4)
    assert formed_rounding((4, 9), math.inf, 1.0, 5.0, FLOAT64) == math.inf
    # Rounded to float32 the matrix itself is off by u ||M||_F.
    off = FLOAT32.unit_roundoff * 2.0 * 5.0
    assert formed_rounding((4, 9), 0.0, 1.0, 5.0, FLOAT32) >= FLOAT32.products(9, 2.0, 5.0, 4) + off
