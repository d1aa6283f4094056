from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.bounds.rounding import FLOAT32
from lipscope.layers.bcop import BCOPConv2d, BCOPKernel, bcop_kernel, block_convolution, circular_convolution
from lipscope.layers.contract import LinearLayer
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise
from tests.layers.test_stiefel import polar
from tests.models.published.bcop_reference import evaluation_kernel


def bcop(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, side: int = 4) -> BCOPConv2d:
    layer = BCOPConv2d(in_channels, out_channels, kernel_size, stride, side)
    layer.make_trainable(torch.Generator().manual_seed(0))
    layer.freeze()
    with torch.no_grad():
        layer.bias.copy_(noise(out_channels, seed=100))
    return layer.eval()


def centred_matrix(kernel: dense.Matrix, height: int, width: int) -> dense.Matrix:
    """out[p] = sum_a K[a] in[p + a - k // 2], circular."""
    matrix = dense.circular_matrix(kernel, height, width).reshape(len(kernel), height, width, -1)
    reach = kernel.shape[-1] // 2
    return np.roll(matrix, (reach, reach), axis=(1, 2)).reshape(len(kernel) * height * width, -1)


def layer_matrix(layer: BCOPConv2d, shape: Shape) -> dense.Matrix:
    inner = centred_matrix(layer.kernel.detach().double().numpy(), shape[1] // layer.stride, shape[2] // layer.stride)
    return inner @ dense.unshuffle_matrix(*shape, layer.stride)


class TestBCOP(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "3x3": (lambda: bcop(4, 4, 3), (4, 4, 4)),
        "odd channels": (lambda: bcop(3, 3, 3, side=5), (3, 5, 5)),
        "1x1 kernel": (lambda: bcop(4, 4, 1), (4, 3, 2)),
        "widening": (lambda: bcop(2, 5, 3), (2, 3, 4)),
        "narrowing": (lambda: bcop(5, 2, 3), (5, 3, 4)),
        "stride 2": (lambda: bcop(2, 4, 3, stride=2, side=6), (2, 6, 6)),
        "stride 2, widening": (lambda: bcop(1, 6, 3, stride=2, side=8), (1, 8, 6)),
        "stride 2 to 1x1": (lambda: bcop(2, 4, 1, stride=2, side=2), (2, 2, 2)),
        "1x1 image": (lambda: bcop(4, 4, 3, side=1), (4, 1, 1)),
        "2x2 image": (lambda: bcop(3, 3, 3, side=2), (3, 2, 2)),
        "3x3 image": (lambda: bcop(3, 2, 3, side=3), (3, 3, 3)),
        "1x2 image": (lambda: bcop(3, 3, 3, side=2), (3, 1, 2)),
        "1x7 image": (lambda: bcop(3, 3, 3, side=7), (3, 1, 7)),
        "one channel": (lambda: bcop(1, 1, 3), (1, 4, 5)),
    }
    preservation = 1e-6

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        assert isinstance(layer, BCOPConv2d)
        return layer_matrix(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        assert isinstance(layer, BCOPConv2d)
        return np.repeat(layer.bias.detach().double().numpy(), shape[1] * shape[2] // layer.stride**2)

    def test_the_bound_is_close_above_the_norm_which_is_close_to_one(self, layer: BCOPConv2d, shape: Shape) -> None:
        norm = dense.norm(layer_matrix(layer, shape))
        assert norm * (1 - dense.ROUNDING) <= layer.bound(shape).value <= norm * (1 + 1e-9)
        assert norm == pytest.approx(1.0, abs=1e-6)

    def test_at_the_side_that_it_is_made_for_it_proves_non_expansive(self, layer: BCOPConv2d) -> None:
        side = layer.grid * layer.stride
        assert 1 - 1e-6 < layer.bound((layer.in_channels, side, side)).value <= 1.0

    def test_the_rounding_error_of_float32_is_covered(self, layer: BCOPConv2d, shape: Shape) -> None:
        x = noise(64, *shape, dtype=torch.float32)
        error = (layer(x).double() - layer(x.double())).flatten(1).norm(dim=1)
        norms = x.double().flatten(1).norm(dim=1)
        for measured, norm in zip(error.tolist(), norms.tolist(), strict=True):
            proved = layer.rounding(shape, norm, FLOAT32)
            assert measured <= proved.error < 1e-3 * norm + 1e-3


@always(
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 6),
    kernel_size=st.sampled_from([1, 3]),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    scale=st.floats(1e-3, 1e3),
)
def test_kernels_of_random_free_weights_are_orthogonal_and_the_bound_covers_them(
    inputs: int, outputs: int, kernel_size: int, height: int, width: int, seed: int, scale: float
) -> None:
    layer = BCOPConv2d(inputs, outputs, kernel_size, 1, height)
    layer.make_trainable()
    for index, parameter in enumerate(layer.parameters()):
        parameter.data = scale * noise(*parameter.shape, seed=seed + index)
    assert layer.parametrization is not None
    try:
        exact = layer.parametrization.exact().numpy()
    finally:
        layer.freeze()
    singular = scipy.linalg.svdvals(centred_matrix(exact, height, width))
    np.testing.assert_allclose(singular, 1.0, rtol=0, atol=1e-9)
    stored = centred_matrix(layer.kernel.detach().double().numpy(), height, width)
    assert layer.bound((inputs, height, width)).value >= dense.norm(stored) * (1 - dense.ROUNDING)
    np.testing.assert_allclose(scipy.linalg.svdvals(stored), 1.0, rtol=0, atol=1e-6)


def plain_block_convolution(rows: Tensor, bases: Tensor) -> Tensor:
    """By whole projectors, term by term."""
    one = torch.eye(rows.shape[1], dtype=rows.dtype)
    terms = {(0, 0): rows}
    for index, basis in enumerate(bases):
        projector, previous = basis @ basis.T, terms
        terms = {}
        for (a, b), block in previous.items():
            moved = (a, b + 1) if index % 2 else (a + 1, b)
            for place, factor in (((a, b), projector), (moved, one - projector)):
                terms[place] = terms.get(place, torch.zeros_like(rows)) + block @ factor
    size = len(bases) // 2 + 1
    return torch.stack([torch.stack([terms[a, b] for b in range(size)]) for a in range(size)])


@pytest.mark.parametrize("pairs", [0, 1, 2, 3])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_block_convolution_equals_the_one_of_whole_projectors(pairs: int, rank: int) -> None:
    rows, bases = noise(2, 5), noise(2 * pairs, 5, rank, seed=1)
    torch.testing.assert_close(
        block_convolution(rows, bases), plain_block_convolution(rows, bases), rtol=1e-12, atol=1e-11
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 4), (4, 2), (3, 3)])
def test_gradients_of_the_kernel_are_exact(inputs: int, outputs: int) -> None:
    larger, smaller = max(inputs, outputs), min(inputs, outputs)
    isometry = noise(larger, smaller).requires_grad_()
    bases = noise(4, larger, larger // 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda h, u: bcop_kernel(h, u, inputs, outputs), (isometry, bases))


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 5), (6, 3), (4, 4)])
def test_gradients_of_the_parametrisation_are_those_of_the_published_one(inputs: int, outputs: int) -> None:
    """Autograd through the published parametrisation: square matrices, 20 steps of Bjorck's iteration, in float64."""
    larger, smaller, half = max(inputs, outputs), min(inputs, outputs), max(inputs, outputs) // 2
    square = 1.7 * polar(noise(5, larger, larger))
    published = square.clone().requires_grad_()
    mask = (torch.arange(larger) < half).double().expand(4, 1, larger)
    weight = noise(outputs, inputs, 3, 3, seed=1)
    expected = evaluation_kernel(published, mask, inputs, outputs)
    (expected * weight).sum().backward()

    module = BCOPKernel(inputs, outputs, 3).double()
    assert module.projections is not None
    cut = (lambda first: first[:, :smaller]) if inputs > outputs else (lambda first: first.mT[:, :smaller])
    with torch.no_grad():
        module.isometry.free.copy_(cut(square[0]))
        module.projections.free.copy_(square[1:, :, :half])
    kernel = module()
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1e-12)
    (kernel * weight).sum().backward()
    assert published.grad is not None
    torch.testing.assert_close(module.isometry.free.grad, cut(published.grad[0])[None], rtol=0, atol=1e-10)
    torch.testing.assert_close(module.projections.free.grad, published.grad[1:, :, :half], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("image", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (3, 3), (3, 2), (4, 5)])
def test_circular_convolution_is_the_dense_one(kernel_size: int, image: tuple[int, int]) -> None:
    x, kernel = noise(2, 3, *image), noise(4, 3, kernel_size, kernel_size, seed=1)
    expected = x.flatten(1).numpy() @ centred_matrix(kernel.numpy(), *image).T
    np.testing.assert_allclose(circular_convolution(x, kernel).flatten(1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("arguments", [(2, 4, 3, 2, 4), (3, 8, 3, 2, 8), (4, 4, 3, 1, 2), (8, 3, 1, 1, 1)])
def test_freezing_stores_the_kernel_that_training_used(arguments: tuple[int, int, int, int, int]) -> None:
    layer = BCOPConv2d(*arguments)
    layer.make_trainable(torch.Generator().manual_seed(0))
    assert "kernel" not in layer.state_dict()
    x = noise(2, arguments[0], arguments[4], arguments[4], dtype=torch.float32)
    before = layer(x)
    layer.freeze()
    assert layer.parametrization is None
    assert set(layer.state_dict()) == {"kernel", "bias"}
    assert layer.kernel.dtype == torch.float32
    torch.testing.assert_close(layer(x), before, rtol=0, atol=1e-5)
    kernel = layer.kernel.detach().clone()
    layer.freeze()
    assert torch.equal(layer.kernel, kernel)


def test_a_step_far_off_the_manifold_is_brought_back() -> None:
    layer = BCOPConv2d(2, 8, 3, 2, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    # The bias could grow without end.
    layer.bias.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=1.0, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        layer(noise(8, 2, 4, 4, dtype=torch.float32)).pow(3).sum().backward()
        optimizer.step()
        kernel = layer.effective_kernel().detach().double().numpy()
        singular = scipy.linalg.svdvals(centred_matrix(kernel, 2, 2))
        np.testing.assert_allclose(singular, 1.0, rtol=0, atol=1e-4)


def test_kernels_stay_float32_under_autocast_and_the_map_does_not() -> None:
    layer = BCOPConv2d(2, 4, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    plain = layer.eval().effective_kernel()
    for side in (1, 4):
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer.effective_kernel(), plain)
            assert layer(noise(1, 2, side, side, dtype=torch.float32)).dtype == torch.bfloat16


def test_a_layer_in_training_is_bounded_as_the_kernel_that_it_uses() -> None:
    layer = BCOPConv2d(3, 3, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    matrix = centred_matrix(layer.eval().effective_kernel().detach().double().numpy(), 4, 4)
    assert dense.covers(layer.bound((3, 4, 4)).value, matrix)


def test_weights_that_are_not_finite_have_no_finite_bound() -> None:
    layer = BCOPConv2d(2, 2, 3, 1, 4)
    layer.make_trainable()
    next(layer.parameters()).data.fill_(math.nan)
    layer.parametrization.isometry.free.data.fill_(math.nan)
    layer.freeze()
    assert not math.isfinite(layer.bound((2, 4, 4)).value)
