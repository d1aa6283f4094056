from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.layers.cayley import CayleyConv2d, cayley_map, cayley_symbols
from lipscope.layers.contract import LinearLayer
from lipscope.layers.frequency import free_symbols, spectrum_length
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise


def trainable(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int, size: float = 1.0, seed: int = 0
) -> CayleyConv2d:
    """A layer in training; ``size`` multiplies the length of the free weight: the map of a long one is far from I."""
    layer = CayleyConv2d(in_channels, out_channels, kernel_size, stride, side)
    layer.make_trainable(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.parametrization.alpha.mul_(size)
        layer.bias.copy_(noise(out_channels, seed=seed + 100))
    return layer


def cayley(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int, size: float = 3.0, seed: int = 0
) -> CayleyConv2d:
    layer = trainable(in_channels, out_channels, kernel_size, stride, side, size, seed).eval()
    layer.freeze()
    return layer.requires_grad_(False)


def unshuffled(layer: CayleyConv2d, shape: Shape) -> tuple[int, int]:
    return shape[1] // layer.stride, shape[2] // layer.stride


def layer_matrix(layer: CayleyConv2d, shape: Shape) -> dense.Matrix:
    inner = dense.circular_matrix(layer.kernel.double().numpy(), *unshuffled(layer, shape))
    return inner @ dense.unshuffle_matrix(*shape, layer.stride)


class TestCayley(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "3x3": (lambda: cayley(3, 3, 3, 1, 4), (3, 4, 4)),
        "3x3, more outputs": (lambda: cayley(2, 5, 3, 1, 4), (2, 4, 4)),
        "3x3, fewer outputs": (lambda: cayley(4, 3, 3, 1, 4), (4, 4, 4)),
        "3x3, odd side": (lambda: cayley(2, 2, 3, 1, 5), (2, 5, 5)),
        "3x3 on 2x2": (lambda: cayley(3, 3, 3, 1, 2), (3, 2, 2)),
        "3x3 on 1x1": (lambda: cayley(4, 4, 3, 1, 1), (4, 1, 1)),
        "stride": (lambda: cayley(2, 4, 3, 2, 4), (2, 4, 4)),
        "stride, more outputs": (lambda: cayley(1, 6, 3, 2, 4), (1, 4, 4)),
        "1x1": (lambda: cayley(5, 3, 1, 1, 3), (5, 3, 3)),
        "1x1 on another side": (lambda: cayley(3, 3, 1, 1, 4), (3, 2, 5)),
    }
    preservation: ClassVar[float] = 1e-6

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer_matrix(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.repeat(layer.bias.double().numpy(), math.prod(unshuffled(layer, shape)))

    def test_it_proves_itself(self, layer: CayleyConv2d, shape: Shape) -> None:
        assert 1 - 1e-6 < layer.bound(shape).value <= 1
        floor = layer.singular_value_floor(shape)
        singular = np.linalg.svd(layer_matrix(layer, shape), compute_uv=False)
        assert floor.proved
        assert floor.direction == "lower"
        assert 1 - 1e-6 < floor.value <= float(singular.min()) * (1 + dense.ROUNDING)

    @pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
    def test_the_rounding_error_is_covered(self, layer: CayleyConv2d, shape: Shape, arithmetic: Arithmetic) -> None:
        dtype = getattr(torch, arithmetic.name)
        x = 100 * noise(4, *shape, dtype=dtype)
        matrix, constant = layer_matrix(layer, shape), self.constant(layer, shape)
        exact = x.flatten(1).numpy().astype(np.longdouble) @ matrix.T.astype(np.longdouble) + constant
        found = layer(x).flatten(1).double().numpy()
        error = np.sqrt(np.square(found - exact).sum(axis=1))
        assert float(error.max()) > 0
        for image, result, wrong in zip(x, found, error, strict=True):
            claimed = layer.rounding(shape, float(image.double().norm()) * (1 + 1e-12), arithmetic)
            assert wrong <= claimed.error < (1e-8 if arithmetic is FLOAT64 else 10.0)
            assert float(np.linalg.norm(result)) <= claimed.norm


SHAPES = st.tuples(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([(3, 1, 1), (3, 1, 2), (3, 1, 3), (3, 2, 4), (1, 1, 2), (3, 1, 4)]),
)


@always(shape=SHAPES, size=st.floats(0, 1e4), seed=st.integers(0, 2**31))
def test_the_bound_covers_the_norm_and_is_at_most_one(
    shape: tuple[int, int, tuple[int, int, int]], size: float, seed: int
) -> None:
    inputs, outputs, (kernel_size, stride, side) = shape
    layer = cayley(inputs, outputs, kernel_size, stride, side, size, seed)
    bound = layer.bound((inputs, side, side)).value
    matrix = layer_matrix(layer, (inputs, side, side))
    assert dense.covers(bound, matrix)
    assert 1 - 1e-6 < bound <= 1
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert float(np.abs(singular - 1).max()) < 1e-6


@always(factor=st.floats(-100, 100), place=st.integers(0, 143))
def test_the_bound_is_about_the_stored_bytes(factor: float, place: int) -> None:
    """One stored number is another: no Cayley map gives this kernel, and the bound follows it."""
    layer = cayley(3, 3, 3, 1, 4)
    layer.kernel.view(-1)[place] *= factor
    matrix = layer_matrix(layer, (3, 4, 4))
    assert dense.covers(layer.bound((3, 4, 4)).value, matrix)
    assert layer.bound((3, 4, 4)).value <= dense.norm(matrix) * (1 + 1e-10)


@pytest.mark.parametrize("columns", [1, 3, 5])
@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_the_map_has_orthonormal_columns_or_rows(columns: int, kind: torch.dtype) -> None:
    free = torch.randn(4, 3, columns, dtype=kind, generator=torch.Generator().manual_seed(0))
    mapped = cayley_map(free)
    gram = mapped.mH @ mapped if columns <= 3 else mapped @ mapped.mH
    torch.testing.assert_close(gram, torch.eye(min(3, columns), dtype=kind).expand_as(gram), rtol=0, atol=1e-13)


def test_the_map_of_a_number_is_that_of_the_complex_plane() -> None:
    """(1 - (z - z*)) / (1 + (z - z*)) for z = x + i y: a turn by -2 atan(2 y)."""
    z = torch.tensor([0.3 + 0.7j, -2.0 + 0.1j, 5.0 + 0j], dtype=torch.complex128)
    expected = torch.polar(torch.ones(3, dtype=torch.float64), -2 * torch.atan(2 * z.imag))
    torch.testing.assert_close(cayley_map(z.reshape(3, 1, 1)).flatten(), expected)


@pytest.mark.parametrize(("taps", "side"), [(3, 8), (3, 4), (3, 5), (3, 2), (3, 1), (1, 4)])
def test_free_symbols_are_those_of_the_formula(taps: int, side: int) -> None:
    weight = noise(2, 3, taps, taps)
    free = free_symbols(weight, side)
    shift = -((taps - 1) // 2)
    expected = np.zeros((side, side // 2 + 1, 2, 3), dtype=complex)
    for a in range(side):
        for b in range(side // 2 + 1):
            for r in range(min(taps, side)):
                for c in range(min(taps, side)):
                    angle = 2j * math.pi * (a * (r + shift) + b * (c + shift)) / side
                    expected[a, b] += weight[:, :, r, c].numpy() * np.exp(angle)
    np.testing.assert_allclose(free.expand(expected.shape), expected, rtol=0, atol=1e-13)
    assert float(spectrum_length(free, side)) == pytest.approx(float(np.linalg.norm(expected)), rel=1e-13)


@pytest.mark.parametrize(("kernel_size", "stride", "side"), [(3, 1, 4), (3, 1, 2), (3, 2, 4), (1, 1, 3)])
def test_freezing_keeps_the_function(kernel_size: int, stride: int, side: int) -> None:
    layer = trainable(4, 6, kernel_size, stride, side, 3.0)
    x = noise(5, 4, side, side, dtype=torch.float32)
    before = layer(x)
    assert torch.equal(layer.eval()(x), before)
    assert layer.bound((4, side, side)).value <= 1
    layer.freeze()
    torch.testing.assert_close(layer(x), before, rtol=0, atol=1e-5)
    fresh = CayleyConv2d(4, 6, kernel_size, stride, side)
    assert {name: value.shape for name, value in layer.state_dict().items()} == {
        name: value.shape for name, value in fresh.state_dict().items()
    }
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))
    kernel = layer.kernel.clone()
    layer.freeze()
    assert torch.equal(layer.kernel, kernel)


@pytest.mark.parametrize(("kernel_size", "stride", "side"), [(3, 1, 4), (3, 1, 2), (3, 2, 4)])
def test_gradients_are_those_of_finite_differences(kernel_size: int, stride: int, side: int) -> None:
    layer = trainable(2, 3, kernel_size, stride, side).double()
    x = noise(2, 2, side, side)
    free = layer.parametrization

    def function(weight: Tensor, alpha: Tensor) -> Tensor:
        parameters = {"parametrization.weight": weight, "parametrization.alpha": alpha}
        return torch.func.functional_call(layer, parameters, (x,))

    inputs = (free.weight.detach().requires_grad_(), free.alpha.detach().requires_grad_())
    assert torch.autograd.gradcheck(function, inputs, atol=1e-7)


def test_the_length_of_the_free_weight_does_not_matter() -> None:
    weight, alpha = noise(3, 3, 3, 3), torch.tensor(2.0, dtype=torch.float64)
    torch.testing.assert_close(cayley_symbols(5 * weight, alpha, 4), cayley_symbols(weight, alpha, 4))


def test_the_map_stays_float32_under_autocast() -> None:
    for kernel_size in (1, 3):
        layer = trainable(4, 4, kernel_size, 1, 4)
        x = noise(2, 4, 4, 4, dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            symbols, y = layer.parametrization(), layer(x)
        assert symbols.real.dtype == torch.float32
        assert torch.equal(symbols, layer.parametrization())
        torch.testing.assert_close(y.float(), layer(x), rtol=0, atol=0.05)


def test_other_images_than_those_of_its_side_are_refused() -> None:
    with pytest.raises(ValueError, match="4x4 only"):
        cayley(2, 2, 3, 1, 4).bound((2, 8, 8))
    with pytest.raises(ValueError, match="expects 2 channels"):
        cayley(2, 2, 1, 1, 4).output_shape((3, 4, 4))
