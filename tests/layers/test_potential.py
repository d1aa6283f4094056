"""CPL, SLL and Sandwich: steps that do not expand, by a proof about the stored numbers."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.cpl import CPLConv2d
from lipscope.layers.orthogonal import FamilyConv2d
from lipscope.layers.sandwich import SandwichConv2d
from lipscope.layers.sll import OverDiagonal, SLLConv2d
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LayerContract, noise
from tests.layers.test_rounding import share

FAMILIES = (CPLConv2d, SLLConv2d, SandwichConv2d)


def trainable(family: type[FamilyConv2d], *arguments: int, seed: int = 0) -> FamilyConv2d:
    layer = family(*arguments)
    layer.make_trainable(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.bias.copy_(noise(len(layer.bias), seed=seed + 100))
    return layer


def stored(family: type[FamilyConv2d], *arguments: int) -> FamilyConv2d:
    layer = trainable(family, *arguments).eval()
    layer.freeze()
    return layer.requires_grad_(False)


def truth(layer: FamilyConv2d, x: np.ndarray, shape: Shape) -> np.ndarray:
    """The layer by dense matrices, (N, inputs) to (N, outputs)."""
    height, width = (side // layer.stride for side in shape[1:])
    kernel, places = layer.kernel.double().numpy(), height * width
    bias = np.repeat(layer.bias.double().numpy(), places)
    x = x @ dense.unshuffle_matrix(*shape, layer.stride).T
    if isinstance(layer, SandwichConv2d):
        matrix = dense.circular_matrix(kernel, height, width)
        a, b = np.split(matrix, [layer.out_channels * places], axis=1)
        return 2 * np.maximum(x @ b.T + bias, 0) @ a
    x = np.pad(x, ((0, 0), (0, layer.channels * places - x.shape[1])))
    matrix = dense.zero_padded_matrix(kernel, height, width)
    return (x - 2 * np.maximum(x @ matrix.T + bias, 0) @ matrix)[:, : layer.out_channels * places]


class StepContract(LayerContract):
    def test_it_is_the_formula(self, layer: FamilyConv2d, shape: Shape) -> None:
        x = noise(3, *shape)
        np.testing.assert_allclose(layer(x).flatten(1), truth(layer, x.flatten(1).numpy(), shape), atol=1e-12)

    def test_it_does_not_expand(self, layer: FamilyConv2d, shape: Shape) -> None:
        assert layer.bound(shape).value <= 1

    @pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
    def test_the_rounding_error_is_covered(self, layer: LipschitzLayer, shape: Shape, arithmetic: Arithmetic) -> None:
        for seed, size in enumerate((1.0, 1e-3, 1e4)):
            assert share(layer, size * noise(1, *shape, seed=seed), arithmetic) <= 1


class TestCPL(StepContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(CPLConv2d, 2, 2, 3, 1, 4), (2, 4, 4)),
        "more outputs": (lambda: stored(CPLConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride, fewer outputs": (lambda: stored(CPLConv2d, 2, 3, 3, 2, 4), (2, 4, 4)),
    }


class TestSLL(StepContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(SLLConv2d, 2, 2, 3, 1, 4), (2, 4, 4)),
        "more outputs": (lambda: stored(SLLConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride, fewer outputs": (lambda: stored(SLLConv2d, 2, 3, 3, 2, 4), (2, 4, 4)),
    }


class TestSandwich(StepContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(SandwichConv2d, 2, 2, 3, 1, 4), (2, 4, 4)),
        "more outputs": (lambda: stored(SandwichConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride, fewer outputs": (lambda: stored(SandwichConv2d, 2, 3, 3, 2, 4), (2, 4, 4)),
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [1.05, 1.5, 7.0])
def test_a_kernel_that_is_too_long_is_bounded_all_the_same(family: type[FamilyConv2d], factor: float) -> None:
    layer = stored(family, 2, 2, 3, 1, 3)
    layer.kernel.mul_(factor)
    # Where everything is on, the layer is at its steepest; where the bias decides, it switches.
    steepest = 0.0
    for bias in (1e6, 0.0):
        layer.bias.fill_(bias)
        for seed in range(5):
            matrix = LayerContract.jacobian(layer, noise(2, 3, 3, seed=seed))
            steepest = max(steepest, dense.norm(matrix.numpy()))
    bound = layer.bound((2, 3, 3)).value
    assert max(1.0, steepest) * (1 - 1e-12) <= bound <= 3 * max(1.0, steepest)


@always(
    outputs=st.integers(1, 4), inputs=st.integers(1, 4), size=st.sampled_from([1, 3]), side=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_diagonal_of_sll_dominates_for_every_q(outputs: int, inputs: int, size: int, side: int, seed: int) -> None:
    scaling = OverDiagonal(outputs).double()
    with torch.no_grad():
        scaling.log_q.copy_(3 * noise(outputs, seed=seed + 1))
        kernel = scaling(noise(outputs, inputs, size, size, seed=seed))
    assert dense.norm(dense.zero_padded_matrix(kernel.numpy(), side, side)) <= 1 + 1e-12


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kernel_size", "stride", "side"), [(3, 1, 4), (3, 2, 4), (1, 1, 1), (3, 1, 2)])
def test_freezing_keeps_the_function(family: type[FamilyConv2d], kernel_size: int, stride: int, side: int) -> None:
    layer = trainable(family, 3, 3, kernel_size, stride, side)
    x = noise(2, 3, side, side).float()
    with torch.no_grad():
        for _ in range(60):
            layer(x)
        before = layer.eval()(x)
        layer.freeze()
        torch.testing.assert_close(layer(x), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_rounding_bound_is_claimed_while_it_trains(family: type[FamilyConv2d]) -> None:
    assert math.isinf(trainable(family, 3, 5, 3, 1, 4).rounding((3, 4, 4), 1.0, FLOAT64).error)


def test_a_sandwich_takes_images_of_its_side_only() -> None:
    with pytest.raises(ValueError, match="4x4 only"):
        stored(SandwichConv2d, 2, 2, 3, 1, 4).bound((2, 5, 5))
