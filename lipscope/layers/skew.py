"""Skew-symmetric convolution kernels: the projection, the norm estimate for training, and the exact check.

A kernel K (C, C, k, k), k odd, with K = -flip(K^T) (channels transposed, both spatial axes flipped) and zero
padding k // 2 is a real skew-symmetric matrix on R^(C H W) (Singla & Feizi, ICML 2021, theorem 2).
"""

from __future__ import annotations

from typing import Any

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


class SkewKernel(nn.Module):
    """The training parametrisation M -> correction * S / sigma with S = M - flip(M^T), always in float32.

    sigma is the smaller of two unfolding norms (the other two of the paper's four equal them, because S is skew),
    estimated by one power iteration a training step. It lies *below* the true norm, which is harmless in training
    and is why certification bounds the norm anew.

    Args:
        channels: C.
        kernel_size: 1 or 3.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.correction = CORRECTION[kernel_size]
        for name, size in (("wide", channels * kernel_size**2), ("square", channels * kernel_size)):
            self.register_buffer(name, _unit(torch.randn(size)))

    def forward(self, free: Tensor) -> Tensor:
        """(C, C, k, k) unconstrained to (C, C, k, k) skew with an operator norm of about ``correction * k``."""
        with torch.autocast(free.device.type, enabled=False):
            skew = free.float() - conjugate_kernel(free.float())
            norms: list[Tensor] = []
            vectors: list[Tensor] = []
            for name, matrix in _unfoldings(skew.detach()).items():
                right: Tensor = getattr(self, name)
                image = matrix @ right
                left = _unit(image)
                if self.training:
                    # left . (M right) of the new right is the length of M^T left.
                    image = matrix.mT @ left
                    right.copy_(_unit(image))
                norms.append(torch.linalg.vector_norm(image))
                vectors += left, right.clone()
            # A kernel of zeros has no direction: the NaN that follows is reported as a diverged training.
            kernel: Tensor = _OverNorm.apply(skew, self.correction, torch.stack(norms), *vectors)
            return kernel

    @torch.no_grad()
    def settle(self, free: Tensor, iterations: int = 10) -> None:
        """Run more power iterations, so that sigma is close to the norm before a kernel is stored."""
        with torch.autocast(free.device.type, enabled=False):
            for name, matrix in _unfoldings(free.float() - conjugate_kernel(free.float())).items():
                right: Tensor = getattr(self, name)
                for _ in range(iterations):
                    right.copy_(_unit(matrix.mT @ _unit(matrix @ right)))


class _OverNorm(torch.autograd.Function):
    """S -> c S / sigma, sigma the lesser norm of the two unfoldings, each u . (S v) for its own fixed vectors.

    The gradient is (c / sigma) (g - (<g, S> / sigma) u v^T), with u v^T shaped as the kernel.
    """

    @staticmethod
    def forward(ctx: Any, skew: Tensor, correction: float, norms: Tensor, *vectors: Tensor) -> Tensor:
        ctx.correction = correction
        ctx.save_for_backward(skew, norms, *vectors)
        return skew * (correction / norms.min())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        skew, norms, *vectors = ctx.saved_tensors
        sigma, least = norms.min(dim=0)
        scale = ctx.correction / sigma
        result = (gradient * scale).contiguous()
        along = -scale * (gradient * skew).sum() / sigma
        shares = [torch.where(least == number, along, 0.0) for number in range(len(norms))]
        wide, wide_right, square, square_right = vectors
        result.flatten(1).addr_(wide * shares[0], wide_right)
        outputs, inputs, height, width = result.shape
        outer = torch.outer(square * shares[1], square_right).reshape(outputs, height, inputs, width)
        result.add_(outer.permute(0, 2, 1, 3))
        return result, None, None, *[None] * len(vectors)


def _unfoldings(kernel: Tensor) -> dict[str, Tensor]:
    """The kernel as C x (C k k), and as (C k) x (C k) with the rows' axis of the kernel beside each channel axis."""
    channels, _, height, width = kernel.shape
    return {
        "wide": kernel.reshape(channels, -1),
        "square": kernel.permute(0, 2, 1, 3).reshape(channels * height, channels * width),
    }


def _unit(vector: Tensor) -> Tensor:
    return torch.div(vector, torch.linalg.vector_norm(vector))
