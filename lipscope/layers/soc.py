"""Skew orthogonal convolution (SOC): x -> p_n(A) x + b, with A skew-symmetric and p_n the series of exp.

Singla & Feizi, *Skew Orthogonal Convolutions*, ICML 2021. The singular values of p_n(A) are exactly
|p_n(i lambda)| over the eigenvalues i lambda of A, so a proved norm of A encloses all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lipscope.bounds.convolution import (
    padded_absolute_bound,
    unfolding_bound,
    zero_padded_bound,
)
from lipscope.bounds.frequencies import grid_bound
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import FLOAT64, Arithmetic, printed_up, up
from lipscope.bounds.series import taylor_majorant, taylor_modulus
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.frequency_series import FrequencySeries, frequency_rounding
from lipscope.layers.orthogonal import Family, OrthogonalConv2d
from lipscope.layers.padded_frequencies import half_plane
from lipscope.layers.prepared import LARGEST_MATRIX, FormedMatrix, Prepared, formed_rounding
from lipscope.layers.reshape import pad_channels, pixel_unshuffle
from lipscope.layers.skew import SkewKernel, is_skew
from lipscope.layers.taylor import by_frequencies, covered, pieced, series_rounding, series_rows, taylor_exponential
from lipscope.records import Bound, Shape

TRAINING_TERMS = 5
"""Terms of the series in training mode (the paper's); it expands by up to 0.5% a layer, so it certifies nothing."""

BY_FREQUENCIES = "frequencies"
"""The method whose norm holds for one size of the maps; the others hold for every size and padding."""


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
        return taylor_exponential(x, kernel, terms, self.out_channels)

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
        """The largest error of all ways to evaluate the series.

        They are :func:`series_rounding` of convolutions; in float64 :func:`frequency_rounding` on maps that the kernel
        does not cover; and :func:`formed_rounding` where p_n(A) may be formed as one matrix.
        """
        kernel = self.effective_kernel().detach()
        if is_skew(kernel):
            _, lipschitz, rho, source = self._enclosure(kernel, input_shape)
        else:
            rho, source = min(self._norms(kernel, input_shape))
            lipschitz = taylor_majorant(self.terms, rho)
        outputs, *sizes = self.output_shape(input_shape)
        size, products = self.channels * math.prod(sizes), kernel[0].numel()
        absolute = padded_absolute_bound(kernel, *sizes)

        def directly(norm: float, arithmetic: Arithmetic, depth: int | None = None) -> float:
            return series_rounding(self.terms, rho, absolute, products, size, norm, arithmetic, depth)

        def among_frequencies(norm: float) -> float:
            # What is proved for the map alone says nothing of the grid with walls around it.
            circular = rho if source != BY_FREQUENCIES else unfolding_bound(kernel)
            return frequency_rounding(kernel, (sizes[0], sizes[1]), self.terms, circular, lipschitz, norm)

        found = [directly(norm, arithmetic)]
        if by_frequencies(kernel, *sizes) and arithmetic == FLOAT64:
            found.append(among_frequencies(norm))
        if self._gain(input_shape) > 0:
            row = directly(1.0, FLOAT64, pieced(products)) if covered(kernel, *sizes) else among_frequencies(1.0)
            shape = (outputs * math.prod(sizes), math.prod(input_shape))
            found.append(formed_rounding(shape, row, lipschitz, norm, arithmetic))
        return max(found)

    def prepared(self, input_shape: Shape, evaluations: int) -> LipschitzLayer:
        """With the symbols computed once, or with p_n(A) as one matrix where that pays for so many images."""
        outputs, height, width = self.output_shape(input_shape)
        kernel = self.effective_kernel().detach()
        if evaluations * self._gain(input_shape) > outputs * height * width * self._products(input_shape):
            matrix = series_rows(kernel, height, width, self.terms, outputs)
            return Prepared(self, FormedMatrix(matrix, (self.in_channels * self.stride**2, height, width)))
        if by_frequencies(kernel, height, width):
            return Prepared(self, FrequencySeries(kernel, height, width, self.terms))
        return self

    def _products(self, input_shape: Shape) -> int:
        """In the series, for one image in float64."""
        _, height, width = self.output_shape(input_shape)
        if by_frequencies(self.kernel, height, width):
            reach = self.kernel.shape[-1] // 2
            once = 4 * len(half_plane(height + reach, width + reach)) * self.channels**2
        else:
            once = (self.channels * height * width) ** 2
        return self.terms * once

    def _gain(self, input_shape: Shape) -> int:
        """Products that p_n(A) as one matrix saves for each image; 0 where it is too large or saves none."""
        outputs, height, width = self.output_shape(input_shape)
        numbers = outputs * height * width * math.prod(input_shape)
        if numbers > LARGEST_MATRIX or not (
            by_frequencies(self.kernel, height, width) or covered(self.kernel, height, width)
        ):
            return 0
        return max(0, self._products(input_shape) - numbers)

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
            yield zero_padded_bound(kernel, height, width), BY_FREQUENCIES


SOC = Family("SOC", lambda inputs, outputs, k, stride, side, terms: SOCConv2d(inputs, outputs, k, stride, terms))
