"""Sandwich layers (Wang & Manchester, *Direct Parameterization of Lipschitz-Bounded Deep Networks*, ICML 2023).

x -> sqrt(2) A^T Psi relu(sqrt(2) Psi^-1 B x + b) with A A^T + B B^T = I and a positive diagonal Psi is
2 A^T relu(B x + c), c = Psi b / sqrt(2), because relu is positively homogeneous: Psi can be left out.

What is proved is about A and B as they are stored. With s >= ||[A B]|| and S diagonal with entries 0 and 1, the matrix
G = [A B]^T S [A B] obeys 0 <= G <= s^2, so ||2 G - s^2|| <= s^2, and 2 A^T S B is a block of 2 G - s^2 beside its
diagonal: L = s^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipscope.bounds.convolution import circular_bound
from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.cayley import CayleyWeight
from lipscope.layers.contract import UNBOUNDED, Rounding
from lipscope.layers.frequency import circular_product, circular_product_rounding, storable_kernel, symbol_product
from lipscope.layers.orthogonal import Family, FamilyConv2d, without_series
from lipscope.layers.reshape import pixel_unshuffle
from lipscope.records import Bound, Shape


class SandwichConv2d(FamilyConv2d):
    """2 A^T relu(B x + c), [A B] a circular convolution whose symbols are Cayley maps, on the unshuffled image.

    A stride of 2 halves the kernel, as of :class:`lipscope.layers.frequency.FrequencyConv2d`.

    Args:
        in_channels, out_channels, kernel_size: as of any convolution.
        stride: 1 or 2.
        side: height and width of the input.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        inputs, taps, grid = in_channels * stride**2, max(1, kernel_size // stride), side // stride
        extent, hidden = grid if taps > 1 else 1, max(inputs, out_channels)
        shape = (hidden, out_channels + inputs, extent, extent)
        super().__init__(f"Sandwich {taps}x{taps}", in_channels, out_channels, stride, shape, hidden)
        self.side, self.taps, self.grid = side, taps, grid
        self.parametrization: CayleyWeight | None = None

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Put free numbers behind the Cayley map."""
        hidden, both = self.kernel.shape[:2]
        self.parametrization = CayleyWeight(both, hidden, self.taps, self.grid, generator).to(self.kernel.device)
        self.register_parameter("kernel", None)

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the circular kernel that the free weight stands for, of proved norm at most 1."""
        if self.parametrization is not None:
            self.kernel = nn.Parameter(storable_kernel(self.parametrization.exact()).to(self.bias.device))
            self.parametrization = None

    @torch.no_grad()
    def stored_kernel(self) -> Tensor:
        """(hidden, out + in, n, n), or of one tap: [A B] as it is stored, or would be now."""
        return self.kernel if self.parametrization is None else storable_kernel(self.parametrization.exact())

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        x = pixel_unshuffle(x, self.stride)
        product: Callable[[Tensor, Tensor], Tensor] = circular_product
        if self.parametrization is None:
            a, b = self.kernel.tensor_split([self.out_channels], dim=1)
            a = adjoint(a)
        else:
            a, b = self.parametrization().tensor_split([self.out_channels], dim=-1)
            a, product = a.mH, symbol_product
        inner = product(x, b)
        return 2 * product(torch.relu(inner + self.bias.to(inner.dtype).reshape(-1, 1, 1)), a)

    def kernel_norm(self) -> float:
        """A proved bound on ||[A B]||."""
        kernel = self.stored_kernel()
        return circular_bound(kernel, kernel.shape[-1], kernel.shape[-1])

    def bound(self, input_shape: Shape) -> Bound:
        """||[A B]||^2 of the stored numbers."""
        self.output_shape(input_shape)
        norm = self.kernel_norm()
        if norm == 1:
            return Bound.exactly(1.0, "||[A B]|| <= 1 by frequencies")
        return Bound(up(norm * norm), f"||[A B]||^2 at {self.kernel.shape[-1]}x{self.kernel.shape[-1]} frequencies")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """That of B x + c, carried through A^T, and that of A^T; the factor 2 is exact. None while it is trained."""
        if self.parametrization is not None:
            return UNBOUNDED
        places = math.prod(self.output_shape(input_shape)[1:])
        a, b = self.kernel.detach().tensor_split([self.out_channels], dim=1)
        largest = self.kernel_norm()
        through = circular_product_rounding(b, largest, norm, places, arithmetic)
        offset = outward(length_bound(self.bias) * math.sqrt(places))
        inner = Rounding(through, outward(largest * norm + through)).shifted(offset, len(b) * places, arithmetic)
        back = circular_product_rounding(adjoint(a), largest, inner.norm, places, arithmetic)
        error = arithmetic.held(outward(2 * (largest * inner.error + back)))
        zero = outward(2 * largest * offset)
        return Rounding(error, arithmetic.held(outward(largest * largest * norm + zero + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H / stride, W / stride)."""
        if self.taps > 1 and tuple(input_shape[1:]) != (self.side, self.side):
            raise ValueError(f"takes images of {self.side}x{self.side} only: {input_shape}")
        return super().output_shape(input_shape)


def adjoint(kernel: Tensor) -> Tensor:
    """The kernel of the transposed circular convolution: K'[-a] = K[a]^T, offsets modulo the grid.

    Args:
        kernel: (out, in, n, n), the whole grid, its first tap the pixel itself.
    """
    return kernel.transpose(0, 1).flip(2, 3).roll((1, 1), dims=(2, 3))


SANDWICH = Family("Sandwich", without_series(SandwichConv2d), head="cayley")
