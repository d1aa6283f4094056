"""AOL and LiResNet: kernels that are scaled, and only the stored ones trusted."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.bounds.rounding import FLOAT64
from lipscope.layers.aol import AOLConv2d, Rescaled
from lipscope.layers.liresnet import LiResNetConv2d
from lipscope.layers.scaled import OverNorm, ScaledConv2d, ScaledLinearConv2d
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise


def stored(family: type[ScaledConv2d], *arguments: int, seed: int = 0) -> ScaledConv2d:
    """A layer as a checkpoint stores it, with a bias."""
    layer = family(*arguments)
    layer.make_trainable(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.kernel.copy_(noise(*layer.kernel.shape, seed=seed))
        layer.bias.copy_(noise(len(layer.bias), seed=seed + 100))
    layer.freeze()
    return layer.eval().requires_grad_(False)


class ScaledContract(LinearLayerContract):
    def dense(self, layer: ScaledLinearConv2d, shape: Shape) -> dense.Matrix:
        inner = dense.zero_padded_matrix(
            layer.kernel.double().numpy(), shape[1] // layer.stride, shape[2] // layer.stride
        )
        return inner @ dense.unshuffle_matrix(*shape, layer.stride)

    def constant(self, layer: ScaledLinearConv2d, shape: Shape) -> dense.Matrix:
        return np.repeat(layer.bias.double().numpy(), shape[1] * shape[2] // layer.stride**2)

    def test_it_does_not_expand(self, layer: ScaledLinearConv2d, shape: Shape) -> None:
        assert layer.bound(shape).value <= 1


class TestAOL(ScaledContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(AOLConv2d, 2, 2, 3, 1, 4), (2, 4, 4)),
        "more outputs": (lambda: stored(AOLConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride": (lambda: stored(AOLConv2d, 1, 2, 3, 2, 4), (1, 4, 4)),
    }


class TestLiResNet(ScaledContract):
    cases: ClassVar[dict[str, Case]] = {
        "square": (lambda: stored(LiResNetConv2d, 2, 2, 3, 1, 4), (2, 4, 4)),
        "more outputs": (lambda: stored(LiResNetConv2d, 2, 5, 3, 1, 3), (2, 3, 3)),
        "stride": (lambda: stored(LiResNetConv2d, 1, 2, 3, 2, 4), (1, 4, 4)),
    }


@always(
    outputs=st.integers(1, 4), inputs=st.integers(1, 4), size=st.sampled_from([1, 3]), side=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_rescaled_kernel_of_aol_never_expands(outputs: int, inputs: int, size: int, side: int, seed: int) -> None:
    kernel = Rescaled()(noise(outputs, inputs, size, size, seed=seed))
    assert dense.norm(dense.zero_padded_matrix(kernel.numpy(), side, side)) <= 1 + 1e-12


def test_an_orthogonal_matrix_passes_through_aol_and_an_empty_channel_stays_empty() -> None:
    matrix = torch.linalg.qr(noise(3, 3)).Q
    kernel = torch.cat([matrix, torch.zeros(3, 1, dtype=torch.float64)], dim=1)[:, :, None, None]
    torch.testing.assert_close(Rescaled()(3.7 * matrix[:, :, None, None])[:, :, 0, 0].mT @ matrix, _diagonal(matrix))
    assert not bool(Rescaled()(kernel)[:, 3].any())


def _diagonal(matrix: torch.Tensor) -> torch.Tensor:
    """What AOL leaves of Q on Q itself: Q^T Q is 1, so that every column is divided by its own length."""
    return torch.eye(len(matrix), dtype=matrix.dtype)


def test_the_estimate_of_the_norm_comes_up_to_it_in_training() -> None:
    kernel = noise(3, 3, 3, 3, seed=1).float()
    scaling = OverNorm(kernel, 4, torch.Generator().manual_seed(0)).train()
    for _ in range(60):
        scaled = scaling(kernel)
    whole = kernel.double().numpy()
    np.testing.assert_allclose(scaled, whole / dense.norm(dense.circular_matrix(whole, 6, 6)), rtol=0, atol=1e-5)


def test_evaluation_leaves_the_estimate_as_it_is() -> None:
    layer = LiResNetConv2d(2, 2, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    before = layer.eval().scaling.direction.clone()
    layer(noise(1, 2, 4, 4).float())
    assert torch.equal(layer.scaling.direction, before)


@pytest.mark.parametrize("family", [AOLConv2d, LiResNetConv2d])
def test_no_rounding_bound_is_claimed_while_it_trains(family: type[ScaledConv2d]) -> None:
    layer = family(3, 5, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    assert math.isinf(layer.rounding((3, 4, 4), 1.0, FLOAT64).error)


@pytest.mark.parametrize(("family", "close"), [(AOLConv2d, 1e-5), (LiResNetConv2d, 1e-3)])
def test_freezing_keeps_the_function(family: type[ScaledConv2d], close: float) -> None:
    layer = family(3, 5, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    x = noise(2, 3, 4, 4).float()
    with torch.no_grad():
        for _ in range(60):
            layer(x)
        before = layer.eval()(x)
        layer.freeze()
        torch.testing.assert_close(layer(x), before, rtol=close, atol=close)
