"""Skew-symmetric convolution kernels: the projection, the norm estimate for training, and the exact check.

A kernel K (C, C, k, k), k odd, with K = -flip(K^T) (channels transposed, both spatial axes flipped) and zero
padding k // 2 is a real skew-symmetric matrix on R^(C H W) (Singla & Feizi, ICML 2021, theorem 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CORRECTION = {3: 0.7, 1: 1.0}
"""By kernel size: the paper's factor, so that ||A|| is at most about 0.7 * 3 and 1.0."""


def conjugate_kernel(kernel: Tensor) -> Tensor:
    """The kernel of the transposed convolution operator: flip(K^T)."""
    return kernel.transpose(0, 1).flip(2, 3)


def is_skew(kernel: Tensor) -> bool:
    """Whether K = -flip(K^T) holds exactly for the stored numbers (negation is exact in floating point)."""
    return bool(torch.equal(kernel, -conjugate_kernel(kernel)))


def skew_part(free: Tensor) -> Tensor:
    """(M - flip(M^T)) / 2: exactly skew in floating point, because a - b = -(b - a) holds there."""
    return (free - conjugate_kernel(free)) / 2


class SkewKernel(nn.Module):
    """The training parametrisation M -> correction * skew(M) / sigma, always in float32.

    sigma is the smallest of four unfolding norms, estimated by one power iteration a training step; it lies
    *below* the true norm, which is harmless in training and is why certification bounds the norm anew.

    Args:
        channels: C.
        kernel_size: 1 or 3.
    """

    AXES = (((0, 2), (1, 3)), ((0, 3), (1, 2)), ((0,), (1, 2, 3)), ((0, 2, 3), (1,)))
    """Which axes of (out, in, h, w) are the rows and the columns of each unfolding."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.correction = CORRECTION[kernel_size]
        sizes = (channels, channels, kernel_size, kernel_size)
        for number, (rows, columns) in enumerate(self.AXES):
            for side, axes in (("left", rows), ("right", columns)):
                vector = torch.randn([sizes[axis] if axis in axes else 1 for axis in range(4)])
                self.register_buffer(f"{side}{number}", vector / vector.norm())

    def forward(self, free: Tensor) -> Tensor:
        """(C, C, k, k) unconstrained to (C, C, k, k) skew with an operator norm of about ``correction * k``."""
        with torch.autocast(free.device.type, enabled=False):
            kernel = skew_part(free.float())
            if self.training:
                self._iterate(kernel.detach())
            norms = [(kernel * self._vector("left", i) * self._vector("right", i)).sum() for i in range(len(self.AXES))]
            # sigma is not given a floor: a kernel of zeros has no direction, and a NaN here is reported as such.
            return self.correction * kernel / torch.stack(norms).min()

    def settle(self, free: Tensor, iterations: int = 10) -> None:
        """Run more power iterations, so that sigma is close to the norm before a kernel is stored."""
        kernel = skew_part(free.detach().float())
        for _ in range(iterations):
            self._iterate(kernel)

    def _vector(self, side: str, number: int) -> Tensor:
        vector: Tensor = getattr(self, f"{side}{number}")
        return vector

    @torch.no_grad()
    def _iterate(self, kernel: Tensor) -> None:
        for number, (rows, columns) in enumerate(self.AXES):
            left, right = self._vector("left", number), self._vector("right", number)
            right.copy_(_unit((kernel * left).sum(dim=rows, keepdim=True)))
            left.copy_(_unit((kernel * right).sum(dim=columns, keepdim=True)))


def _unit(vector: Tensor) -> Tensor:
    return torch.div(vector, torch.linalg.vector_norm(vector))
