"""BRO and LOT: what the families of the frequency domain have beyond the Cayley map."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.layers.bro import BROConv2d, block_reflector
from lipscope.layers.contract import LinearLayer
from lipscope.layers.frequency import FrequencyConv2d, free_symbols
from lipscope.layers.lot import EXACT_ITERATIONS, ITERATIONS, LOTConv2d, unitary_factor
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract, noise
from tests.layers.test_rounding import share

FAMILIES = (BROConv2d, LOTConv2d)


def trainable(family: type[FrequencyConv2d], *arguments: int, seed: int = 0) -> FrequencyConv2d:
    layer = family(*arguments)
    layer.make_trainable(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.bias.copy_(noise(layer.out_channels, seed=seed + 100))
    return layer


def stored(family: type[FrequencyConv2d], *arguments: int) -> FrequencyConv2d:
    layer = trainable(family, *arguments).eval()
    layer.freeze()
    return layer.requires_grad_(False)


def layer_matrix(layer: FrequencyConv2d, shape: Shape) -> dense.Matrix:
    sides = (shape[1] // layer.stride, shape[2] // layer.stride)
    inner = dense.circular_matrix(layer.kernel.double().numpy(), *sides)
    return inner @ dense.unshuffle_matrix(*shape, layer.stride)


class FamilyContract(LinearLayerContract):
    preservation: ClassVar[float] = 1e-6

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer_matrix(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.repeat(layer.bias.double().numpy(), shape[1] * shape[2] // layer.stride**2)

    def test_it_proves_itself(self, layer: FrequencyConv2d, shape: Shape) -> None:
        assert 1 - 1e-6 < layer.bound(shape).value <= 1
        floor = layer.singular_value_floor(shape)
        singular = np.linalg.svd(layer_matrix(layer, shape), compute_uv=False)
        assert 1 - 1e-6 < floor.value <= float(singular.min()) * (1 + dense.ROUNDING)

    @pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
    def test_the_rounding_error_is_covered(self, layer: FrequencyConv2d, shape: Shape, arithmetic: Arithmetic) -> None:
        assert share(layer, noise(1, *shape, seed=1), arithmetic) <= 1


class TestBRO(FamilyContract):
    cases: ClassVar[dict[str, Case]] = {
        "3x3": (lambda: stored(BROConv2d, 4, 4, 3, 1, 4), (4, 4, 4)),
        "more outputs": (lambda: stored(BROConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride": (lambda: stored(BROConv2d, 2, 4, 3, 2, 4), (2, 4, 4)),
    }


class TestLOT(FamilyContract):
    cases: ClassVar[dict[str, Case]] = {
        "3x3": (lambda: stored(LOTConv2d, 4, 4, 3, 1, 4), (4, 4, 4)),
        "more outputs": (lambda: stored(LOTConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride": (lambda: stored(LOTConv2d, 2, 4, 3, 2, 4), (2, 4, 4)),
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kernel_size", "stride", "side"), [(3, 1, 4), (3, 2, 4), (1, 1, 1), (3, 1, 2), (3, 1, 1)])
def test_freezing_keeps_the_function(family, kernel_size: int, stride: int, side: int) -> None:
    layer = trainable(family, 3, 3, kernel_size, stride, side).eval()
    x = noise(2, 3, side, side).float()
    with torch.no_grad():
        before = layer(x)
        promised = layer.stored_kernel()
        layer.freeze()
    torch.testing.assert_close(layer(x), before, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer.kernel, promised)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_finite_differences(family) -> None:
    layer = trainable(family, 2, 3, 3, 1, 3)
    weight = layer.parametrization.double()
    with torch.no_grad():
        direction = noise(*weight.weight.shape, seed=4)
    image = noise(*weight().shape, seed=5)
    (gradient,) = torch.autograd.grad((weight().real * image).sum(), weight.weight)
    step = 1e-5
    with torch.no_grad():
        weight.weight.add_(direction, alpha=step)
        above = (weight().real * image).sum()
        weight.weight.sub_(direction, alpha=2 * step)
        below = (weight().real * image).sum()
    assert float((gradient * direction).sum()) == pytest.approx(float(above - below) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_a_block_reflector_reflects_the_span_and_keeps_the_rest(kind: torch.dtype) -> None:
    free = torch.randn(3, 6, 2, dtype=kind, generator=torch.Generator().manual_seed(0))
    reflector = block_reflector(free)
    torch.testing.assert_close(reflector @ free, -free, rtol=0, atol=1e-12)
    torch.testing.assert_close(reflector, reflector.mH, rtol=0, atol=1e-12)
    basis = torch.linalg.qr(free, mode="complete").Q[..., 2:]
    torch.testing.assert_close(reflector @ basis, basis, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_the_unitary_factor_is_that_of_the_singular_value_decomposition(shape, kind: torch.dtype) -> None:
    free = torch.randn(7, *shape, dtype=kind, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(free, full_matrices=False)
    torch.testing.assert_close(unitary_factor(free, EXACT_ITERATIONS), left @ right, rtol=0, atol=1e-9)


def test_the_first_weights_of_lot_are_ones_that_training_iterations_reach() -> None:
    layer = trainable(LOTConv2d, 8, 8, 3, 1, 8)
    symbols = free_symbols(layer.parametrization.weight.detach(), 8)
    product = unitary_factor(symbols, ITERATIONS)
    unit = torch.eye(8).expand_as(product)
    assert float((product @ product.mH - unit).abs().max()) < 1e-4
    assert math.isfinite(float(symbols.abs().max()))
