from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.layers.contract import LinearLayer
from lipscope.layers.pooling import AveragePool2d, GlobalAveragePool, L2Pool2d, MaxPool2d
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LayerContract, LinearLayerContract, noise


class TestAveragePool(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "2x2": (lambda: AveragePool2d((2, 2), (2, 2)), (2, 4, 6)),
        "overlapping": (lambda: AveragePool2d((3, 3), (2, 2), (1, 1)), (2, 5, 5)),
        "uneven": (lambda: AveragePool2d((3, 2), (1, 2)), (1, 4, 5)),
        "with gaps": (lambda: AveragePool2d((2, 2), (3, 3)), (1, 6, 6)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        kernel = np.full((1, 1, *layer.window), 1 / math.prod(layer.window))
        full = dense.zero_padded_matrix(kernel, *shape[1:], padding=layer.padding)
        rows, columns = (shape[1 + i] + 2 * layer.padding[i] - layer.window[i] + 1 for i in (0, 1))
        kept = full.reshape(rows, columns, -1)[:: layer.stride[0], :: layer.stride[1]].reshape(-1, full.shape[1])
        return np.kron(np.eye(shape[0]), kept)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(math.prod(layer.output_shape(shape)))


class TestGlobalAveragePool(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (GlobalAveragePool, (3, 4, 5)),
        "wide": (GlobalAveragePool, (2, 1, 7)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        pixels = shape[1] * shape[2]
        return np.kron(np.eye(shape[0]), np.full((1, pixels), 1 / pixels))

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(shape[0])

    def test_the_bound_is_tight(self, layer: LinearLayer, shape: Shape) -> None:
        assert layer.bound(shape).value <= dense.norm(self.dense(layer, shape)) * (1 + 1e-14)


class TestMaxPool(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "2x2": (lambda: MaxPool2d((2, 2), (2, 2)), (2, 4, 6)),
        "overlapping": (lambda: MaxPool2d((3, 3), (2, 2), (1, 1)), (1, 5, 5)),
        "with gaps": (lambda: MaxPool2d((2, 2), (3, 3)), (1, 6, 6)),
        "dense": (lambda: MaxPool2d((2, 2), (1, 1)), (1, 5, 5)),
    }


class TestL2Pool(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "2x2": (lambda: L2Pool2d((2, 2), (2, 2)), (2, 4, 6)),
        "overlapping": (lambda: L2Pool2d((3, 3), (2, 2)), (1, 5, 5)),
        "with gaps": (lambda: L2Pool2d((2, 2), (3, 3)), (1, 6, 6)),
        "uneven": (lambda: L2Pool2d((1, 3), (2, 1)), (2, 5, 6)),
    }


SETTINGS = {
    "window": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "stride": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "size": st.tuples(st.integers(4, 8), st.integers(4, 8)),
    "padded": st.booleans(),
    "seed": st.integers(0, 2**31),
}


@always(**SETTINGS)
def test_average_pooling_against_torchs_own_module(window, stride, size, padded, seed) -> None:
    padding = tuple(k // 2 for k in window) if padded else (0, 0)
    layer, module = AveragePool2d(window, stride, padding), torch.nn.AvgPool2d(window, stride, padding)
    unit = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, 1, *size)
    matrix = module(unit).flatten(1).numpy()
    assert dense.covers(layer.bound((1, *size)).value, matrix)
    x = noise(2, 1, *size, seed=seed)
    assert torch.equal(layer(x), module(x))
    assert layer.output_shape((1, *size)) == module(x).shape[1:]


@always(**SETTINGS)
def test_max_pooling_against_torchs_own_module(window, stride, size, padded, seed) -> None:
    """A spike that every window over it sees: the bound must allow for all of them."""
    padding = tuple(k // 2 for k in window) if padded else (0, 0)
    layer, module = MaxPool2d(window, stride, padding), torch.nn.MaxPool2d(window, stride, padding)
    bound = layer.bound((1, *size)).value
    x = noise(1, 1, *size, seed=seed)
    assert torch.equal(layer(x), module(x))
    assert layer.output_shape((1, *size)) == module(x).shape[1:]
    spikes = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, 1, *size)
    moved = (module(100 * spikes) - module(0 * spikes)).flatten(1).norm(dim=1) / 100
    assert float(moved.max()) <= bound
    if all(n >= 2 * k + s and p == 0 for n, k, s, p in zip(size, window, stride, padding, strict=True)):
        assert float(moved.max()) == pytest.approx(bound)  # there is room for all windows over one pixel


@always(window=SETTINGS["window"], stride=SETTINGS["stride"], size=SETTINGS["size"], seed=SETTINGS["seed"])
def test_l2_pooling_against_torchs_own_module_and_its_jacobian(window, stride, size, seed) -> None:
    layer, module = L2Pool2d(window, stride), torch.nn.LPPool2d(2, window, stride)
    bound = layer.bound((1, *size)).value
    x = noise(1, 1, *size, seed=seed).double()
    torch.testing.assert_close(layer(x), module(x), rtol=1e-12, atol=1e-12)
    assert layer.output_shape((1, *size)) == module(x).shape[1:]
    jacobian = torch.autograd.functional.jacobian(module, x).reshape(-1, x.numel()).numpy()
    assert dense.covers(bound, jacobian)
    if layer.gradient_norm_preserving:
        np.testing.assert_allclose(jacobian @ jacobian.T, np.eye(len(jacobian)), atol=1e-12)
    spikes = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, 1, *size)
    moved = module(100 * spikes).flatten(1).norm(dim=1) / 100
    assert float(moved.max()) == pytest.approx(bound)  # the pixel under most windows attains it


def test_l2_pooling_has_no_slope_where_a_window_is_zero() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(L2Pool2d((2, 2), (2, 2))(x).sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


@pytest.mark.parametrize(
    "settings", [((0, 1), (1, 1)), ((2, 2), (0, 1)), ((2, 2), (2, 2), (2, 0)), ((2, 2), (2, 2), (0, -1))]
)
@pytest.mark.parametrize("make", [AveragePool2d, MaxPool2d])
def test_impossible_windows_are_refused(make, settings) -> None:
    with pytest.raises(ValueError, match="no pooling has"):
        make(*settings)


@pytest.mark.parametrize("layer", [MaxPool2d((3, 3), (1, 1)), AveragePool2d((3, 3), (1, 1)), GlobalAveragePool()])
def test_other_shapes_are_refused(layer) -> None:
    with pytest.raises(ValueError, match="expects an image"):
        layer.output_shape((8,))


def test_a_window_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit into 2x2"):
        MaxPool2d((3, 3), (1, 1)).output_shape((1, 2, 2))
