from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.convolution import unfolding_bound
from lipscope.layers.contract import LinearLayer
from lipscope.layers.skew import conjugate_kernel, is_skew
from lipscope.layers.soc import TRAINING_TERMS, SOCConv2d
from lipscope.layers.taylor import convolution_matrix, taylor_exponential
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.bounds.test_series import exact_square
from tests.layers.contract import Case, LinearLayerContract, noise


def skew_kernel(channels: int, kernel_size: int, norm: float, seed: int = 0) -> Tensor:
    """A float32 kernel, exactly skew, whose operator has about this norm on large images."""
    free = noise(channels, channels, kernel_size, kernel_size, seed=seed, dtype=torch.float32)
    kernel = free - conjugate_kernel(free)
    if not kernel.any():
        return kernel  # a single number can only be skew as zero
    symbols = np.fft.fft2(kernel.double().numpy(), s=(64, 64)).transpose(2, 3, 0, 1)
    return kernel * torch.tensor(norm / np.linalg.norm(symbols, 2, axis=(2, 3)).max(), dtype=torch.float32)


def soc(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, terms: int = 12, norm: float = 2.1,
    edit: Callable[[Tensor], None] = lambda kernel: None, seed: int = 0,
) -> SOCConv2d:  # fmt: skip
    layer = SOCConv2d(in_channels, out_channels, kernel_size, stride, terms)
    with torch.no_grad():
        layer.kernel.copy_(skew_kernel(layer.channels, kernel_size, norm, seed))
        layer.bias.copy_(noise(out_channels, seed=seed + 100))
        edit(layer.kernel)
    return layer.eval().requires_grad_(False)


def inner_matrix(layer: SOCConv2d, shape: Shape) -> dense.Matrix:
    """A: the zero-padded convolution on the unshuffled image, before the series."""
    return dense.zero_padded_matrix(layer.kernel.double().numpy(), shape[1] // layer.stride, shape[2] // layer.stride)


def layer_matrix(layer: SOCConv2d, shape: Shape) -> dense.Matrix:
    """Unshuffle, pad channels, multiply by p_n(A), cut channels."""
    pixels = shape[1] * shape[2] // layer.stride**2
    result = dense.series(inner_matrix(layer, shape), layer.terms)
    kept = shape[0] * layer.stride**2 * pixels
    return result[: layer.out_channels * pixels, :kept] @ dense.unshuffle_matrix(*shape, layer.stride)


def one_percent(kernel: Tensor) -> None:
    kernel[0, 1, 0, 0] *= 1.01


def one_sign(kernel: Tensor) -> None:
    kernel[0, 1, 0, 0] *= -1


def one_ulp(kernel: Tensor) -> None:
    kernel[0, 1, 0, 0] = torch.nextafter(kernel[0, 1, 0, 0], torch.tensor(9.0))


EDITS = {"1 percent": one_percent, "sign": one_sign, "1 ulp": one_ulp}


class TestSOC(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "3x3": (lambda: soc(3, 3, 3), (3, 4, 4)),
        "1x1 kernel": (lambda: soc(4, 4, 1), (4, 3, 2)),
        "widening": (lambda: soc(2, 5, 3), (2, 3, 4)),
        "cutting": (lambda: soc(5, 2, 3), (5, 3, 4)),
        "stride 2": (lambda: soc(2, 4, 3, stride=2), (2, 6, 4)),
        "stride 2, widening": (lambda: soc(1, 6, 3, stride=2), (1, 6, 6)),
        "stride 2 to 1x1": (lambda: soc(2, 4, 1, stride=2), (2, 2, 2)),
        "1x1 image": (lambda: soc(4, 4, 3), (4, 1, 1)),
        "2x2 image": (lambda: soc(3, 3, 3), (3, 2, 2)),
        "1x2 image": (lambda: soc(3, 3, 3), (3, 1, 2)),
        "1x5 image": (lambda: soc(3, 3, 3), (3, 1, 5)),
        "one channel": (lambda: soc(1, 1, 3), (1, 4, 5)),
        "8 terms": (lambda: soc(3, 3, 3, terms=8), (3, 3, 3)),
        "norm over the threshold": (lambda: soc(3, 3, 3, norm=4.0), (3, 5, 5)),
        "5 terms": (lambda: soc(3, 3, 3, terms=5), (3, 4, 4)),
        **{f"edited by {name}": (lambda edit=edit: soc(3, 3, 3, edit=edit), (3, 4, 4)) for name, edit in EDITS.items()},
        "edited, stride 2": (lambda: soc(2, 4, 3, stride=2, edit=one_percent), (2, 4, 4)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer_matrix(layer, shape)

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        pixels = shape[1] * shape[2] // layer.stride**2
        return np.repeat(layer.bias.double().numpy(), pixels)

    def test_the_claim_of_gradient_norm_preservation(self, layer: SOCConv2d, shape: Shape) -> None:
        """Claimed where J J^T = I can be, with no more outputs than inputs; true as far as the series is orthogonal."""
        matrix, inner = layer_matrix(layer, shape), inner_matrix(layer, shape)
        assert layer.gradient_norm_preserving == (matrix.shape[0] <= matrix.shape[1])
        if np.array_equal(inner, -inner.T) and layer.terms == 12 and dense.norm(inner) <= 2.1:
            kept = matrix @ matrix.T if layer.gradient_norm_preserving else matrix.T @ matrix
            np.testing.assert_allclose(kept, np.eye(len(kept)), rtol=0, atol=1e-5)

    def test_the_inner_matrix_is_skew_unless_edited(self, layer: SOCConv2d, shape: Shape, case: str) -> None:
        matrix = inner_matrix(layer, shape)
        assert np.array_equal(matrix, -matrix.T) == ("edited" not in case)

    def test_singular_values_are_moduli_of_the_polynomial(self, layer: SOCConv2d, shape: Shape, case: str) -> None:
        inner = inner_matrix(layer, shape)
        frequencies = scipy.linalg.eigvals(inner).imag
        moduli = sorted((math.sqrt(exact_square(layer.terms, Fraction(f))) for f in frequencies), reverse=True)
        singular = scipy.linalg.svdvals(dense.series(inner, layer.terms))
        # Even one unit in the last place of one weight is seen: it makes the layer expand by 1e-8.
        assert np.allclose(singular, moduli, rtol=2e-9, atol=0) == ("edited" not in case)

    def test_the_floor_lies_under_every_singular_value(self, layer: SOCConv2d, shape: Shape, case: str) -> None:
        floor = layer.singular_value_floor(shape)
        assert floor.proved == ("edited" not in case)
        if floor.proved:
            assert floor.direction == "lower"
            assert floor.value <= scipy.linalg.svdvals(layer_matrix(layer, shape))[-1] * (1 + dense.ROUNDING)

    def test_the_method_says_whether_the_kernel_is_skew(self, layer: SOCConv2d, shape: Shape, case: str) -> None:
        method = layer.bound(shape).method
        assert ("not exactly skew" in method) == ("edited" in case)
        assert "edited" not in case or layer.bound(shape).value > 1.5


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("norm", [0.1, 1.0, 2.1, 3.0])
def test_moderate_norms_prove_exactly_one(kernel_size: int, norm: float) -> None:
    layer = soc(4, 4, kernel_size, norm=norm)
    assert layer.bound((4, 8, 8)).value == 1.0
    assert layer.singular_value_floor((4, 8, 8)).value > 0.99


@pytest.mark.parametrize(("terms", "expands"), [(1, True), (2, True), (5, True), (6, True), (8, False), (12, False)])
def test_too_few_terms_are_reported_as_expanding(terms: int, expands: bool) -> None:
    layer, shape = soc(3, 3, 3, terms=terms), (3, 5, 5)
    truth = dense.norm(layer_matrix(layer, shape))
    assert (layer.bound(shape).value > 1.0) == expands
    assert (truth > 1 + 1e-12) == expands
    assert layer.bound(shape).value >= truth * (1 - dense.ROUNDING)


def test_the_bound_of_an_expanding_layer_is_not_far_off() -> None:
    layer, shape = soc(3, 3, 3, norm=4.0), (3, 12, 12)
    truth = dense.norm(layer_matrix(layer, shape))
    assert 1.0 < truth <= layer.bound(shape).value <= 1.05 * truth


def test_a_norm_at_the_rounded_threshold_is_reported_as_expanding() -> None:
    """3.38 is the first expansion of 12 terms rounded up: a layer of that norm expands, if only by 1e-6."""
    kernel = torch.tensor([[0.0, -3.38], [3.38, 0.0]]).reshape(2, 2, 1, 1)
    layer = SOCConv2d(2, 2, 1).eval()
    with torch.no_grad():
        layer.kernel.copy_(kernel)
    truth = dense.norm(dense.series(kernel[:, :, 0, 0].double().numpy(), 12))
    assert 1.0 < truth <= layer.bound((2, 4, 4)).value < 1 + 1e-4


@always(
    channels=st.integers(1, 3),
    kernel_size=st.sampled_from([1, 3]),
    norm=st.floats(0.01, 6),
    terms=st.integers(1, 14),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    edited=st.sampled_from(["", *EDITS]),
)
def test_the_bounds_enclose_the_singular_values_of_any_kernel(
    channels: int, kernel_size: int, norm: float, terms: int, height: int, width: int, seed: int, edited: str
) -> None:
    edit = EDITS[edited] if edited and channels > 1 else lambda kernel: None
    layer = soc(channels, channels, kernel_size, terms=terms, norm=norm, edit=edit, seed=seed)
    shape = (channels, height, width)
    singular = scipy.linalg.svdvals(layer_matrix(layer, shape))
    assert layer.bound(shape).value >= singular[0] * (1 - dense.ROUNDING)
    floor = layer.singular_value_floor(shape)
    assert not floor.proved or floor.value <= singular[-1] * (1 + dense.ROUNDING) + 1e-14


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("edit", [None, one_percent])
def test_the_norm_that_the_method_names_is_a_bound_as_printed(seed: int, edit: Callable[[Tensor], None] | None) -> None:
    layer = soc(3, 3, 3, seed=seed, edit=edit or (lambda kernel: None))
    method = layer.bound((3, 5, 5)).method
    (printed,) = re.findall(r"(?:lambda\||rho) <= ([\d.E+-]+\d)", method)
    assert float(printed) >= dense.norm(inner_matrix(layer, (3, 5, 5)))
    assert float(printed) >= unfolding_bound(layer.kernel) or "unfolding" not in method


def test_a_kernel_of_zeros_is_the_identity() -> None:
    layer = SOCConv2d(3, 3, 3).eval()
    x = noise(2, 3, 4, 4)
    assert torch.equal(layer(x), x)
    assert layer.bound((3, 4, 4)).value == 1.0
    assert layer.singular_value_floor((3, 4, 4)).value == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("scale", [1e10, 1e30])
def test_absurd_kernels_have_an_absurd_bound(scale: float) -> None:
    layer = soc(3, 3, 3, edit=lambda kernel: kernel.mul_(scale).neg_())
    assert is_skew(layer.kernel)
    bound = layer.bound((3, 4, 4))
    assert bound.value > scale
    assert layer.singular_value_floor((3, 4, 4)).value == 0.0
    with torch.no_grad():
        one_percent(layer.kernel)
    assert layer.bound((3, 4, 4)).value > scale


@pytest.mark.parametrize("scale", [8.0, 15.0, 25.0])
def test_large_norms_do_not_break_the_enclosure(scale: float) -> None:
    layer, shape = soc(3, 3, 3, norm=scale), (3, 4, 4)
    singular = scipy.linalg.svdvals(layer_matrix(layer, shape))
    assert layer.bound(shape).value >= singular[0] * (1 - dense.ROUNDING)
    assert layer.singular_value_floor(shape).value <= singular[-1]


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("image", [(1, 1), (2, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("terms", [1, 5, 12])
def test_small_maps_equal_the_convolutions(kernel_size: int, image: tuple[int, int], terms: int) -> None:
    x, kernel = noise(3, 4, *image), skew_kernel(4, kernel_size, 2.1).double()
    total = term = x
    for k in range(1, terms + 1):
        term = F.conv2d(term, kernel, padding=kernel_size // 2) / k
        total = total + term
    torch.testing.assert_close(taylor_exponential(x, kernel, terms), total, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("kernel_size", "image"), [(1, (1, 1)), (3, (1, 1)), (3, (2, 2)), (3, (1, 2)), (3, (2, 1))])
def test_convolution_matrix_of_small_maps(kernel_size: int, image: tuple[int, int]) -> None:
    kernel = noise(3, 3, kernel_size, kernel_size)
    expected = dense.zero_padded_matrix(kernel.numpy(), *image)
    np.testing.assert_array_equal(convolution_matrix(kernel, *image), expected)


@pytest.mark.parametrize("image", [(1, 3), (3, 1), (3, 3), (2, 3), (5, 4)])
def test_larger_maps_are_convolved(image: tuple[int, int]) -> None:
    x, kernel = noise(2, 3, *image), skew_kernel(3, 3, 2.1).double()
    matrix = dense.series(dense.zero_padded_matrix(kernel.numpy(), *image), 12)
    np.testing.assert_allclose(
        taylor_exponential(x, kernel, 12).flatten(1), x.flatten(1).numpy() @ matrix.T, rtol=0, atol=1e-13
    )


def test_the_series_is_close_to_scipys_exponential() -> None:
    layer, shape = soc(3, 3, 3), (3, 4, 4)
    difference = layer.operator(shape).dense().numpy() - scipy.linalg.expm(inner_matrix(layer, shape))
    assert dense.norm(difference) <= 1.2 * 2.1**13 / math.factorial(13)


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 5, 4), (3, 4, 3)])
def test_shapes_that_do_not_fit(shape: Shape) -> None:
    with pytest.raises(ValueError, match="expects 3 channels and sides divisible by 2"):
        SOCConv2d(3, 4, 3, stride=2).output_shape(shape)


def trained(channels: int = 4, kernel_size: int = 3, steps: int = 20) -> SOCConv2d:
    torch.manual_seed(0)
    layer = SOCConv2d(channels, channels, kernel_size)
    layer.make_trainable(torch.Generator().manual_seed(1))
    layer.train()
    for _ in range(steps):
        layer(noise(1, channels, 4, 4, dtype=torch.float32))
    return layer


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_freezing_stores_an_exactly_skew_kernel_that_proves_one(kernel_size: int) -> None:
    layer = trained(kernel_size=kernel_size)
    x = noise(2, 4, 4, 4, dtype=torch.float32)
    before = layer.eval()(x)
    layer.freeze()
    assert layer.parametrization is None
    assert is_skew(layer.kernel.detach())
    assert layer.bound((4, 8, 8)).value == 1.0
    assert set(layer.state_dict()) == {"kernel", "bias"}
    torch.testing.assert_close(layer(x), before, rtol=1e-3, atol=1e-3)
    kernel = layer.kernel.detach().clone()
    layer.freeze()
    assert torch.equal(layer.kernel, kernel)


def test_a_training_layer_is_bounded_as_the_kernel_that_it_uses() -> None:
    layer, shape = trained().eval(), (4, 4, 4)
    matrix = dense.zero_padded_matrix(layer.effective_kernel().detach().double().numpy(), 4, 4)
    assert dense.covers(layer.bound(shape).value, dense.series(matrix, 12))
    assert "not exactly skew" not in layer.bound(shape).method


def test_kernels_stay_float32_under_autocast_and_the_map_does_not() -> None:
    layer = trained()
    layer.eval()
    plain = layer.effective_kernel().detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = layer.effective_kernel().detach()
        result = layer(noise(1, 4, 4, 4, dtype=torch.float32))
        layer.freeze()
    assert under.dtype == torch.float32
    assert torch.equal(under, plain)
    assert result.dtype == torch.bfloat16
    assert layer.kernel.dtype == torch.float32
    assert is_skew(layer.kernel.detach())


def test_training_sums_fewer_terms_than_evaluation() -> None:
    layer = soc(3, 3, 3)
    x = noise(1, 3, 4, 4)
    kernel = layer.kernel.double()
    torch.testing.assert_close(layer.train().linear(x), taylor_exponential(x, kernel, TRAINING_TERMS))
    torch.testing.assert_close(layer.eval().linear(x), taylor_exponential(x, kernel, 12))


def test_gradients_reach_the_free_kernel_through_both_paths() -> None:
    for image in ((2, 2), (4, 4)):
        layer = trained()
        layer.zero_grad()
        layer(noise(2, 4, *image, dtype=torch.float32)).square().sum().backward()
        assert layer.kernel.grad is not None
        assert bool(torch.isfinite(layer.kernel.grad).all())
        assert float(layer.kernel.grad.abs().max()) > 0


@pytest.mark.parametrize(("kernel_size", "norm"), [(1, 1.0), (3, 2.1)])
@pytest.mark.parametrize("steps", [0, 1])
def test_freezing_settles_the_estimate_that_few_steps_leave_low(kernel_size: int, norm: float, steps: int) -> None:
    layer = trained(channels=8, kernel_size=kernel_size, steps=steps)
    before = unfolding_bound(layer.eval().effective_kernel().detach())
    layer.freeze()
    assert norm * (1 - 1e-3) < unfolding_bound(layer.kernel.detach()) < 1.05 * norm < 1.1 * norm < before
