"""Orthogonal convolutions in the frequency domain: circular, with a (semi-)unitary matrix at every frequency.

What the families share. A free weight has a matrix at each frequency, which a map of the family's own takes to the
symbol of the convolution: Cayley's (:mod:`lipscope.layers.cayley`), LOT's and BRO's. Evaluation knows nothing of that:
the stored kernel is the real circular kernel on the whole grid, and the norms of its symbols are the layer's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound, circular_bound
from lipscope.bounds.orthogonality import circular_floor
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.fourier import (
    angles,
    circular_convolution,
    circular_rounding,
    half_spectrum,
    real_blocks,
    symbol_blocks,
)
from lipscope.layers.orthogonal import OrthogonalConv2d, non_expansive
from lipscope.layers.reshape import pixel_unshuffle
from lipscope.records import Bound, Shape


class SymbolWeight(nn.Module, ABC):
    """The training parametrisation: free numbers to the symbols of an orthogonal convolution.

    Args:
        in_channels, out_channels: after the unshuffling.
        taps: height and width of the free kernel.
        grid: height and width of the map.
        generator: of the initial values.
    """

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, grid: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.grid = grid

    @abstractmethod
    def symbols(self, *free: Tensor) -> Tensor:
        """Free numbers, in the order of the parameters, to symbols (n, h, out, in).

        (1, 1, out, in) where all frequencies have the same.
        """

    def forward(self) -> Tensor:
        """The symbols, in float32."""
        free = tuple(self.parameters())
        with torch.autocast(free[0].device.type, enabled=False):
            return self.symbols(*free)

    def exact(self) -> Tensor:
        """The same in float64, on the CPU."""
        return self.symbols(*(values.detach().cpu().double() for values in self.parameters()))


class FrequencyConv2d(OrthogonalConv2d):
    """Circular convolution on the pixel-unshuffled image, orthogonal at every frequency.

    A stride of 2 halves the kernel, as in the published code: 3x3 becomes 1x1 on the unshuffled image, the same matrix
    at every frequency, which is stored as (out, in, 1, 1). A larger kernel spreads over the whole n x n grid,
    n = side / stride, and is stored as (out, in, n, n); such a layer takes images of its side only.

    Args:
        in_channels, out_channels, kernel_size: as of any convolution.
        stride: 1 or 2.
        side: height and width of the input.
    """

    family: str
    """The family's name for a person."""

    symbol_weight: type[SymbolWeight]
    """Its map."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        taps, grid = max(1, kernel_size // stride), side // stride
        extent = grid if taps > 1 else 1
        shape = (out_channels, in_channels * stride**2, extent, extent)
        super().__init__(f"{self.family} {taps}x{taps}", in_channels, out_channels, stride, shape)
        self.side, self.taps, self.grid, self.extent = side, taps, grid, extent
        self.parametrization: SymbolWeight | None = None

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Put free numbers behind the family's map."""
        outputs, inputs = self.kernel.shape[:2]
        free = self.symbol_weight(inputs, outputs, self.taps, self.grid, generator)
        self.parametrization = free.to(self.kernel.device)
        self.register_parameter("kernel", None)

    def freeze(self) -> None:
        """Store the circular kernel that the free weight stands for."""
        if self.parametrization is not None:
            device = next(self.parametrization.parameters()).device
            self.kernel = nn.Parameter(self.stored_kernel().to(device))
            self.parametrization = None

    @torch.no_grad()
    def stored_kernel(self) -> Tensor:
        """(out, in, n, n) or (out, in, 1, 1): the stored kernel, or the one that training would store now."""
        if self.parametrization is None:
            return self.kernel.detach()
        # In float64, so that only the rounding to storage takes the map away from an orthogonal one.
        return storable_kernel(self.parametrization.exact())

    def linear(self, x: Tensor) -> Tensor:
        """The product with the symbol of each frequency, or with the one matrix that all of them are."""
        x = pixel_unshuffle(x, self.stride)
        if self.parametrization is None:
            return circular_product(x, self.kernel)
        return symbol_product(x, self.parametrization())

    def singular_value_floor(self, input_shape: Shape) -> Bound:
        """A proved lower bound on the singular values of the symbols of the stored kernel."""
        self.output_shape(input_shape)
        floor = circular_floor(self.stored_kernel(), self.extent, self.extent)
        if floor == 0.0:
            return Bound.unproved("the symbols are far from orthogonal")
        return Bound(floor, "||S S* - I|| at every frequency, by Cholesky", direction="lower")

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """That of :func:`circular_product`."""
        places = math.prod(self.output_shape(input_shape)[1:])
        lipschitz = self.bound(input_shape).value
        return circular_product_rounding(self.stored_kernel(), lipschitz, norm, places, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H / stride, W / stride)."""
        if self.extent > 1 and tuple(input_shape[1:]) != (self.side, self.side):
            raise ValueError(f"takes images of {self.side}x{self.side} only: {input_shape}")
        return super().output_shape(input_shape)

    def circular_kernel(self, input_shape: Shape) -> Tensor:
        """The stored kernel, one tap or as many as there are pixels."""
        return self.stored_kernel()

    def bound(self, input_shape: Shape) -> Bound:
        """The largest norm of the symbols of the stored kernel (not of what a map should give).

        Raises:
            ValueError: the layer cannot take this shape.
        """
        self.output_shape(input_shape)
        kernel = self.stored_kernel()
        method = "of the matrix" if self.extent == 1 else f"at {self.extent}x{self.extent} frequencies"
        return Bound(circular_bound(kernel, self.extent, self.extent), f"norm {method}, by Cholesky")


def circular_product(x: Tensor, kernel: Tensor) -> Tensor:
    """The circular convolution with a kernel on the whole grid, or of one tap; float32 at least on a grid."""
    if kernel.shape[-1] == 1:
        return one_tap(x, kernel)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return circular_convolution(x, symbol_blocks(kernel.to(x.dtype)))


def symbol_product(x: Tensor, symbols: Tensor) -> Tensor:
    """The same with the symbols of a kernel, (n, h, out, in) or (1, 1, out, in)."""
    if symbols.shape[0] == 1:
        return one_tap(x, symbols[0, 0, :, :, None, None])
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        imaginary = symbols.imag if symbols.is_complex() else torch.zeros_like(symbols)
        return circular_convolution(x, real_blocks(symbols.real, imaginary).to(x.dtype))


def one_tap(x: Tensor, kernel: Tensor) -> Tensor:
    """The product with one matrix at every place, in the dtype of autocast."""
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return F.conv2d(x, kernel.to(x.dtype))


def circular_product_rounding(
    kernel: Tensor, lipschitz: float, norm: float, places: int, arithmetic: Arithmetic
) -> float:
    """A bound on the error of :func:`circular_product` for inputs of this norm.

    That of the passes to frequencies, through the symbols and back; of one product where all are the same.

    Args:
        kernel: as it is stored.
        lipschitz: a proved bound on the norm of the convolution.
        norm: of the input.
        places: of the map.
        arithmetic: that it is computed in.
    """
    if kernel.shape[-1] > 1:
        return circular_rounding(kernel, lipschitz, norm, arithmetic)
    outputs, inputs = kernel.shape[:2]
    return arithmetic.products(inputs, absolute_bound(kernel), norm, outputs * places)


def free_symbols(weight: Tensor, grid: int) -> Tensor:
    """W^[a, b] = sum_rc W[:, :, r, c] exp(2 pi i (a (r + s) + b (c + s)) / n), s = -((k - 1) // 2), b <= n / 2.

    Taps beyond the grid are cut. Real on grids up to 2, where every frequency is its own conjugate.

    Args:
        weight: (out, in, k, k).
        grid: n.

    Returns:
        (n, h, out, in); (1, 1, out, in) for a single tap, with which all frequencies are the same.
    """
    middle = (weight.shape[-1] - 1) // 2
    weight = weight[:, :, :grid, :grid]
    if weight.shape[2:] == (1, 1):
        return weight[:, :, 0, 0][None, None]
    # Multiples of the angle by 0 .. k - 1, shifted by s: the angle is periodic, so -s is n - s.
    shifted = angles(grid, grid, grid).roll(middle, dims=1)[:, : weight.shape[-1]]
    phases = torch.polar(torch.ones_like(shifted), shifted).to(weight.device)
    phases = phases.to(torch.complex128 if weight.dtype == torch.float64 else torch.complex64)
    half = phases[: half_spectrum(grid)]
    symbols = torch.einsum("oirc,ar,bc->aboi", weight.to(phases.dtype), phases, half)
    return symbols.real if grid <= 2 else symbols


def spectrum_length(symbols: Tensor, grid: int) -> Tensor:
    """||W^|| over the half spectrum that is stored, equal frequencies counted as often as they occur."""
    frequencies = grid * half_spectrum(grid)
    repeated = math.sqrt(frequencies / (symbols.shape[0] * symbols.shape[1]))
    return torch.mul(torch.linalg.vector_norm(symbols), repeated)


@torch.no_grad()
def storable_kernel(symbols: Tensor) -> Tensor:
    """The kernel with these symbols, float32, scaled so that its norm is proved to be at most 1.

    Args:
        symbols: (n, h, out, in), of a real kernel; (1, 1, out, in) where all frequencies have the same.

    Returns:
        (out, in, n, n) or (out, in, 1, 1), on the CPU.
    """
    extent = symbols.shape[0]
    spectrum = symbols.cpu().to(torch.complex128).permute(2, 3, 0, 1).conj()
    kernel: Tensor = torch.fft.irfft2(spectrum, s=(extent, extent))
    return non_expansive(kernel, lambda stored: circular_bound(stored, extent, extent))
