"""Block convolution orthogonal parametrisation (BCOP): circular, orthogonal, with a kernel of a few taps.

Li, Haque, Anil, Lucas, Grosse & Jacobsen, *Preventing Gradient Attenuation in Lipschitz Constrained Convolutional
Networks*, NeurIPS 2019; the construction is that of Xiao et al. (ICML 2018). With symmetric projectors P_i = U_i U_i^T
of half the rank, z and w the shifts by a row and a column, and H orthogonal, the kernel of k x k taps is

    H (P_1 + z (I - P_1)) (P_2 + w (I - P_2)) ... (P_(2k-3) + z (I - P_(2k-3))) (P_(2k-2) + w (I - P_(2k-2))),

a product of operators that are orthogonal with circular padding. Only the kernel is stored: the proof is its norms at
the frequencies of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound, circular_bound
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.orthogonal import Family, OrthogonalConv2d, non_expansive, without_series
from lipscope.layers.reshape import pixel_unshuffle
from lipscope.layers.stiefel import OrthonormalColumns
from lipscope.records import Bound, Shape


class BCOPConv2d(OrthogonalConv2d):
    """Circular convolution of the pixel-unshuffled image with an orthogonal kernel.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel_size: 1 or 3.
        stride: 1 or 2.
        side: height and width of the input that the stored kernel is scaled for; others are taken too.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        kind, inputs = f"BCOP {kernel_size}x{kernel_size}", in_channels * stride**2
        super().__init__(kind, in_channels, out_channels, stride, (out_channels, inputs, kernel_size, kernel_size))
        self.grid = side // stride
        self.parametrization: BCOPKernel | None = None

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Put random orthonormal matrices behind :class:`BCOPKernel`."""
        outputs, inputs, size, _ = self.kernel.shape
        self.parametrization = BCOPKernel(inputs, outputs, size, generator).to(self.kernel.device)
        self.register_parameter("kernel", None)

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the kernel, computed in float64 and scaled so that its proved bound is at most 1."""
        if self.parametrization is not None:
            self.kernel = nn.Parameter(self.storable(self.parametrization.exact()))
            self.parametrization = None

    def storable(self, kernel: Tensor) -> Tensor:
        """The float32 kernel to store for one in float64, of proved bound at most 1 on images of the layer's side."""
        return non_expansive(kernel, lambda rounded: circular_bound(rounded, self.grid, self.grid))

    def effective_kernel(self) -> Tensor:
        """(out, in * stride^2, k, k): the stored kernel, or while training the one that its matrices stand for."""
        kernel: Tensor = self.kernel if self.parametrization is None else self.parametrization()
        return kernel

    def linear(self, x: Tensor) -> Tensor:
        """The circular convolution after the pixel-unshuffle."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return circular_convolution(pixel_unshuffle(x, self.stride), self.effective_kernel().to(x.dtype))

    def circular_kernel(self, input_shape: Shape) -> Tensor:
        """The kernel itself."""
        return self.effective_kernel().detach()

    def bound(self, input_shape: Shape) -> Bound:
        """The largest norm of the kernel's symbols at the frequencies of the input's grid."""
        _, height, width = self.output_shape(input_shape)
        kernel = self.effective_kernel().detach()
        method = "matrix norm" if kernel.shape[-1] == 1 else f"norms at {height}x{width} frequencies"
        return Bound(circular_bound(kernel, height, width), f"{method} by Cholesky")

    def linear_rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> float:
        """That of one sum of in k^2 products an output; taps that are added up first make it no longer."""
        kernel = self.effective_kernel().detach()
        outputs = math.prod(self.output_shape(input_shape))
        return arithmetic.products(kernel[0].numel(), absolute_bound(kernel), norm, outputs)


class BCOPKernel(nn.Module):
    """The training parametrisation: an isometry H and the bases U_i of the projectors, each orthonormal.

    Args:
        inputs, outputs: channels of the kernel.
        kernel_size: k.
        generator: of the initial values.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        larger, smaller = max(inputs, outputs), min(inputs, outputs)
        self.isometry = OrthonormalColumns(1, larger, smaller, generator)
        # With 1x1 kernels there are no projectors, and a parameter without numbers would only be in the way.
        count = 2 * kernel_size - 2
        self.projections = OrthonormalColumns(count, larger, larger // 2, generator) if count else None

    def forward(self) -> Tensor:
        """(outputs, inputs, k, k) in float32."""
        with torch.autocast(self.isometry.free.device.type, enabled=False):
            bases = self.projections() if self.projections is not None else ()
            return bcop_kernel(self.isometry()[0], bases, self.inputs, self.outputs)

    def exact(self) -> Tensor:
        """The same in float64, orthogonal up to rounding."""
        bases = self.projections.exact() if self.projections is not None else ()
        return bcop_kernel(self.isometry.exact()[0], bases, self.inputs, self.outputs)


def bcop_kernel(isometry: Tensor, bases: Iterable[Tensor], inputs: int, outputs: int) -> Tensor:
    """The kernel (outputs, inputs, k, k) of an isometry and the bases of 2 k - 2 projectors.

    With C = max and m = min of inputs and outputs: for more inputs than outputs the product above with H (m, C);
    otherwise its transpose. The first factor of a pair shifts along the columns, as in the published code.

    Args:
        isometry: (C, m), H^T.
        bases: 2 k - 2 of shape (C, r), the U_i.
    """
    blocks = block_convolution(isometry.mT, bases)
    return blocks.permute(2, 3, 1, 0) if inputs > outputs else blocks.permute(3, 2, 1, 0)


def block_convolution(rows: Tensor, bases: Iterable[Tensor]) -> Tensor:
    """H times the factors P_i + z (I - P_i) and P_(i+1) + w (I - P_(i+1)) in turn, as coefficients of z^a w^b.

    From the left, with H of m rows, a product with P_i = U_i U_i^T costs 4 m C r; the square blocks are never formed.

    Args:
        rows: (m, C), H.
        bases: 2 k - 2 of shape (C, r).

    Returns:
        (k, k, m, C).
    """
    blocks = rows[None, None]
    for index, basis in enumerate(bases):
        kept = (blocks @ basis) @ basis.mT
        rest = blocks - kept
        # F.pad counts axes from the last: (C, C, m, m, w, w, z, z).
        unmoved, moved = ((0, 1, 0, 0), (1, 0, 0, 0)) if index % 2 else ((0, 0, 0, 1), (0, 0, 1, 0))
        blocks = F.pad(kept, (0, 0, 0, 0, *unmoved)) + F.pad(rest, (0, 0, 0, 0, *moved))
    return blocks


def circular_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """The convolution with circular padding k // 2, (N, in, H, W) to (N, out, H, W).

    Maps with fewer pixels than half the taps are multiplied by the matrix of the convolution itself, where taps that
    meet are added up: less work there.

    Args:
        kernel: (out, in, k, k), k = 1 or 3.
    """
    height, width = x.shape[2:]
    reach = kernel.shape[-1] // 2
    if reach == 0:
        return F.conv2d(x, kernel)
    if 2 * height * width < kernel.shape[2] * kernel.shape[3]:
        return F.linear(x.flatten(1), circulant_matrix(kernel, height, width)).reshape(len(x), -1, height, width)
    padded = F.pad(x, (reach,) * 4, mode="circular")
    return F.conv2d(padded.contiguous(memory_format=torch.channels_last), kernel)


def circulant_matrix(kernel: Tensor, height: int, width: int) -> Tensor:
    """The matrix (out H W, in H W) of the circular convolution.

    Args:
        kernel: (out, in, k, k), k odd.
    """
    outputs, inputs, size, _ = kernel.shape
    rows: list[Tensor] = []
    for y in range(height):
        for x in range(width):
            places: list[list[list[Tensor]]] = [[[] for _ in range(width)] for _ in range(height)]
            for a in range(size):
                for b in range(size):
                    places[(y + a - size // 2) % height][(x + b - size // 2) % width].append(kernel[:, :, a, b])
            flat = [torch.stack(taps).sum(0) if taps else torch.zeros_like(kernel[:, :, 0, 0])
                    for line in places for taps in line]  # fmt: skip
            rows.append(torch.stack(flat, dim=-1))
    return torch.stack(rows, dim=1).reshape(outputs * height * width, inputs * height * width)


BCOP = Family("BCOP", without_series(BCOPConv2d))
