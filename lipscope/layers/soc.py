"""Skew orthogonal convolution (SOC): x -> p_n(A) x + b, with A skew-symmetric and p_n the series of exp.

Singla & Feizi, *Skew Orthogonal Convolutions*, ICML 2021. The singular values of p_n(A) are exactly
|p_n(i lambda)| over the eigenvalues i lambda of A, so a proved norm of A encloses all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound, unfolding_bound, zero_padded_bound
from lipscope.bounds.frequencies import grid_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import Arithmetic, outward, printed_up, up
from lipscope.bounds.series import taylor_majorant, taylor_modulus
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.reshape import pad_channels, pixel_unshuffle
from lipscope.layers.skew import SkewKernel, is_skew
from lipscope.layers.tapwise import FEWEST_IMAGES, tapwise_exponential
from lipscope.records import Bound, Shape

TRAINING_TERMS = 5
"""Terms of the series in training mode (the paper's); it expands by up to 0.5% a layer, so it certifies nothing."""


class SOCConv2d(OrthogonalConv2d):
    """Skew orthogonal convolution with stride by pixel-unshuffle.

    (N, in, H, W) is unshuffled to in * stride^2 channels, padded with zero channels to
    C = max(in * stride^2, out), multiplied by p_n(A), cut to the first ``out`` channels, and shifted by the bias.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: 1 or 3.
        stride: 1 or 2.
        terms: n, the highest power of the series in eval mode.
    """

    composite = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, terms: int = 12) -> None:
        size = max(in_channels * stride**2, out_channels)
        kind = f"SOC {kernel_size}x{kernel_size}"
        super().__init__(kind, in_channels, out_channels, stride, (size, size, kernel_size, kernel_size))
        self.channels, self.terms = size, terms
        self.parametrization: SkewKernel | None = None

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Put a free kernel behind :class:`SkewKernel`, normal with variance 1/C."""
        with torch.no_grad():
            self.kernel.normal_(std=self.channels**-0.5, generator=generator)
        self.parametrization = SkewKernel(self.channels, self.kernel.shape[-1]).to(self.kernel.device)

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the skew kernel itself, divided by a settled estimate of its norm."""
        if self.parametrization is not None:
            self.parametrization.eval()
            self.parametrization.settle(self.kernel)
            self.kernel.copy_(self.parametrization(self.kernel))
            self.parametrization = None

    def effective_kernel(self) -> Tensor:
        """(C, C, k, k): the stored kernel, or while training the one that the free kernel stands for."""
        return self.kernel if self.parametrization is None else self.parametrization(self.kernel)

    def linear(self, x: Tensor) -> Tensor:
        """p_n(A) between the changes of shape; ``TRAINING_TERMS`` terms in training mode."""
        if torch.is_autocast_enabled(x.device.type):
            # Otherwise the sum of the series, which starts from x, would be carried on in float32.
            x = x.to(torch.get_autocast_dtype(x.device.type))
        kernel = self.effective_kernel().to(x.dtype)
        x = pad_channels(pixel_unshuffle(x, self.stride), self.channels)
        terms = TRAINING_TERMS if self.training else self.terms
        total = taylor_exponential(x, kernel, terms)
        return total[:, : self.out_channels]

    def bound(self, input_shape: Shape) -> Bound:
        """Max |p_n(i lambda)| over |lambda| <= rho, rho a proved norm of A; sum rho^k/k! when A is not skew."""
        kernel = self.effective_kernel().detach()
        if not is_skew(kernel):
            rho = min(rho for rho, _ in self._norms(kernel, input_shape))
            return Bound(
                taylor_majorant(self.terms, rho),
                f"sum rho^k/k!, k <= {self.terms}, rho <= {printed_up(rho)}: the kernel is not exactly skew-symmetric",
            )
        _, upper, rho, source = self._enclosure(kernel, input_shape)
        return Bound(upper, f"|p_{self.terms}(i lambda)|, |lambda| <= {printed_up(rho)} by {source}")

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """The error of the series, from the proved norms of A and |A|: see :func:`series_rounding`."""
        kernel = self.effective_kernel().detach()
        if is_skew(kernel):
            rho = self._enclosure(kernel, input_shape)[2]
        else:
            rho = min(rho for rho, _ in self._norms(kernel, input_shape))
        size = self.channels * math.prod(self.output_shape(input_shape)[1:])
        products = self.channels * kernel.shape[2] * kernel.shape[3]
        return series_rounding(self.terms, rho, absolute_bound(kernel), products, size, norm, arithmetic)

    def singular_value_range(self, input_shape: Shape, width: float) -> tuple[float, float] | None:
        """The range of |p_n(i lambda)| over |lambda| <= rho; rho by unfoldings, and by frequencies if that is too wide.

        Zero padding by k // 2 on n x m is a part of the circular convolution on n + k // 2 and m + k // 2 pixels.
        """
        kernel = self.effective_kernel().detach()
        if not is_skew(kernel):
            return None
        found = taylor_modulus(self.terms, unfolding_bound(kernel))
        reach = kernel.shape[-1] // 2
        if reach == 0 or found[1] - found[0] <= width:
            return found
        _, height, columns = self.output_shape(input_shape)
        return taylor_modulus(self.terms, grid_bound(kernel, height + reach, columns + reach))

    def singular_value_floor(self, input_shape: Shape) -> Bound:
        """A proved lower bound on every singular value of p_n(A), so on those of the layer over its smaller side.

        Padding keeps some columns, cutting some rows, of a square matrix whose singular values are all at least this.
        """
        kernel = self.effective_kernel().detach()
        if not is_skew(kernel):
            return Bound.unproved("the kernel is not exactly skew-symmetric")
        lower, _, rho, source = self._enclosure(kernel, input_shape)
        return Bound(lower, f"|p_{self.terms}(i lambda)|, |lambda| <= {printed_up(rho)} by {source}", direction="lower")

    def _enclosure(self, kernel: Tensor, input_shape: Shape) -> tuple[float, float, float, str]:
        """(lower, upper) of |p_n(i lambda)| with the norm that gives them, no more effort than non-expansion needs."""
        best = (0.0, math.inf, math.inf, "")
        for rho, source in self._norms(kernel, input_shape):
            lower, upper = taylor_modulus(self.terms, rho)
            if upper < best[1] or best[3] == "":
                best = (lower, upper, rho, source)
            if upper == 1.0:
                break
        return best

    def _norms(self, kernel: Tensor, input_shape: Shape) -> Iterator[tuple[float, str]]:
        """Proved bounds on ||A||, from the cheapest to the tightest, each with its method."""
        area = kernel.shape[2] * kernel.shape[3]
        widest = spectral_norm_bound(kernel.flatten(1))
        yield (up(math.sqrt(area) * widest, 2) if area > 1 else widest), "one unfolding"
        if area > 1:
            yield unfolding_bound(kernel), "four unfoldings"
            _, height, width = self.output_shape(input_shape)
            yield zero_padded_bound(kernel, height, width), "frequencies"


def series_rounding(
    terms: int, rho: float, absolute: float, products: int, size: int, norm: float, arithmetic: Arithmetic
) -> float:
    """A bound on the error of :func:`taylor_exponential` for all x with ||x||_2 <= norm.

    The computed terms t_k = fl(A t_(k-1)) err by d_k = gamma || |A| || ||t_(k-1)|| each time, so e_k = ||t_k - A^k x||
    obeys e_k <= rho e_(k-1) + d_k, and ||t_k|| <= rho ||t_(k-1)|| + d_k. In the sum t_k meets at most n additions, one
    product and the two roundings of the coefficient 1/k!:

        error <= sum_k e_k / k! + gamma_(n+4) sum_k ||t_k|| / k!.

    Args:
        terms: n.
        rho, absolute: proved bounds on ||A|| and || |A| ||.
        products: in one output of A.
        size: outputs of A.
        norm: a bound on ||x||.
    """
    error, length = 0.0, norm
    errors, lengths, undivided = 0.0, norm, norm
    for k in range(1, terms + 1):
        local = arithmetic.products(products, absolute, length, size)
        error = rho * error + local
        length = rho * length + local
        errors += error / math.factorial(k)
        lengths += length / math.factorial(k)
        undivided += length
    # Underflow: of the operations and operands of every addition, and of a coefficient that multiplies a whole term.
    flushed = arithmetic.smallest * (8 * (terms + 1) * math.sqrt(size) + undivided)
    return arithmetic.held(
        outward(errors + arithmetic.gamma(terms + 4) * lengths + 2 * flushed), outward(2 * undivided)
    )


def taylor_exponential(x: Tensor, kernel: Tensor, terms: int) -> Tensor:
    """sum_{k <= n} A^k x / k!, A the convolution with ``kernel`` and zero padding.

    Maps so small that the kernel covers them are multiplied by the matrix of A itself, several times faster there;
    larger ones in float64, when there are several images and no gradient is wanted, tap by tap.

    Args:
        x: (N, C, H, W).
        kernel: (C, C, k, k), k odd.
    """
    shape = x.shape
    reach = (kernel.shape[-1] + 1) // 2
    if max(shape[2:]) <= reach:
        matrix = convolution_matrix(kernel, shape[2], shape[3])
        total = term = x.flatten(1)
        for k in range(1, terms + 1):
            term = F.linear(term, matrix)
            total = torch.add(total, term, alpha=1 / math.factorial(k))
        return total.reshape(shape)
    if x.dtype == torch.float64 and len(x) >= FEWEST_IMAGES and not torch.is_grad_enabled():
        return tapwise_exponential(x, kernel, terms)
    padding = kernel.shape[-1] // 2
    total = term = x.contiguous(memory_format=torch.channels_last)
    for k in range(1, terms + 1):
        term = F.conv2d(term, kernel, padding=padding)
        total = torch.add(total, term, alpha=1 / math.factorial(k))
    return total


def convolution_matrix(kernel: Tensor, height: int, width: int) -> Tensor:
    """The matrix of the zero-padded convolution on height x width maps that the kernel covers, (C H W, C H W).

    Output (o, p) and input (i, q) are joined by kernel[o, i, q - p + k // 2].
    """
    channels, middle = kernel.shape[0], kernel.shape[-1] // 2
    rows = [
        kernel[:, :, middle - y : middle - y + height, middle - x : middle - x + width]
        for y in range(height)
        for x in range(width)
    ]
    size = channels * height * width
    return torch.stack(rows, dim=1).reshape(size, size)
