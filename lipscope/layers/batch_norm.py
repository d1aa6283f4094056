"""Batch normalisation: an affine map of each channel in eval mode, by the statistics of the batch in training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import UNBOUNDED, LinearLayer, Rounding
from lipscope.records import Bound, Shape

NORMAL = 2.0**-1000
"""Below this, sums, roots and quotients in float64 are not trusted to a relative error."""


class BatchNorm(LinearLayer):
    """x -> gamma (x - mean) / sqrt(variance + eps) + beta per channel, on (N, C, ...).

    Args:
        mean, variance: (C,) the running statistics; variance + eps > 0.
        gamma, beta: (C,), or None for 1 and 0.
        eps: as of the module that was trained.

    Raises:
        ValueError: a channel whose variance + eps is not positive.
    """

    gradient_norm_preserving = False

    mean: Tensor
    variance: Tensor
    gamma: Tensor
    beta: Tensor

    def __init__(
        self, mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float = 1e-5
    ) -> None:
        super().__init__()
        # A model that is only sized up, on the meta device, has no values yet.
        if not variance.is_meta and not bool((variance.to(torch.float64) + eps > 0).all()):
            raise ValueError("the running variance plus eps must be positive in every channel")
        self.eps = eps
        self.kind = "batch norm, eval"
        for name, value in (
            ("mean", mean),
            ("variance", variance),
            ("gamma", torch.ones_like(variance) if gamma is None else gamma),
            ("beta", torch.zeros_like(variance) if beta is None else beta),
        ):
            self.register_parameter(name, nn.Parameter(value, requires_grad=name in ("gamma", "beta")))

    def scales(self) -> Tensor:
        """(C,) float64: gamma / sqrt(variance + eps)."""
        return self.gamma.detach().double() / torch.sqrt(self.variance.detach().double() + self.eps)

    def linear(self, x: Tensor) -> Tensor:
        """Each channel times its scale."""
        return x * self._shaped(self.scales(), x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape; in training mode the running statistics follow the batch's by a tenth."""
        if self.training:
            return F.batch_norm(x, self.mean, self.variance, self.gamma, self.beta, training=True, eps=self.eps)
        centred = x - self._shaped(self.mean, x)
        return centred * self._shaped(self.scales(), x) + self._shaped(self.beta, x)

    @staticmethod
    def _shaped(values: Tensor, x: Tensor) -> Tensor:
        return values.to(x.dtype).reshape(-1, *([1] * (x.ndim - 2)))

    def bound(self, input_shape: Shape) -> Bound:
        """The largest |gamma| / sqrt(variance + eps), rounded up over its four operations."""
        largest = float(self.scales().abs().max())
        if not math.isfinite(largest):
            return Bound.unproved("batch norm: the variance plus eps of a channel is not positive")
        return Bound(up(largest, 8), "max |gamma| / sqrt(variance + eps)")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """(x - mean) s + beta with s = gamma / sqrt(variance + eps): gamma_9 s (|x| + |mean|) + gamma_2 |beta|.

        Four roundings make s in float64, and every stored number is rounded to the dtype.
        """
        variance, scales = self.variance.detach().double() + self.eps, self.scales().abs()
        largest = float(scales.max())
        if float(variance.min()) < NORMAL or bool(((scales > 0) & (scales < NORMAL)).any()):
            return UNBOUNDED
        places = math.sqrt(math.prod(input_shape[1:]))
        mean, beta = (outward(length_bound(values) * places) for values in (self.mean, self.beta))
        centred = outward(norm + mean)
        # What is flushed on the way in is multiplied by s, a flushed s by what came in.
        flushed = 8 * arithmetic.smallest * (math.sqrt(math.prod(input_shape)) * (1 + largest) + centred)
        error = outward(arithmetic.gamma(9) * largest * centred + arithmetic.gamma(2) * beta + flushed)
        error = arithmetic.held(error, max(2 * centred, 2 * largest, outward(2 * largest * centred)))
        result = outward(self.bound(input_shape).value * centred + beta + error)
        return Rounding(error, arithmetic.held(result))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if input_shape[0] != len(self.mean):
            raise ValueError(f"expects {len(self.mean)} channels, got shape {input_shape}")
        return input_shape
