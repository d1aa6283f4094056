"""Changes of shape and scale: the input normalisation, flattening, and the moves inside a convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import UNBOUNDED, LinearLayer, Rounding
from lipscope.records import Bound, Shape


class Normalize(LinearLayer):
    """x -> (x - mean) / std per channel: the only layer that may scale, by exactly 1 / min(std).

    Args:
        mean, std: one number per channel, for pixels in [0, 1].
    """

    gradient_norm_preserving = False

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(math.isfinite(s) and s > 0 for s in std):
            raise ValueError("std must be positive, one per channel")
        self.constants = (tuple(mean), tuple(std))
        self.kind = "normalisation"
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64).reshape(-1, 1, 1), persistent=False)

    @property
    def does_nothing(self) -> bool:
        """Whether mean is 0 and std is 1 in every channel: the network takes pixels as they are."""
        return set(self.constants[0]) == {0.0} and set(self.constants[1]) == {1.0}

    def _shaped(self, values: Tensor, x: Tensor) -> Tensor:
        return values.to(x.dtype).reshape(-1, *([1] * (x.ndim - 2)))

    def linear(self, x: Tensor) -> Tensor:
        """Divide by the standard deviations."""
        return x / self._shaped(self.std, x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) in [0, 1] to the same shape."""
        if self.does_nothing:
            return x
        return (x - self._shaped(self.mean, x)) / self._shaped(self.std, x)

    def bound(self, input_shape: Shape) -> Bound:
        """1 / min(std), rounded up."""
        if self.does_nothing:
            return Bound.exactly(1.0, "none")
        return Bound(up(1.0 / min(self.constants[1])), "1 / min(std)")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Subtraction, division, and mean and std rounded to the dtype: gamma_4 (|x| + |mean|) / std."""
        places = math.prod(self.output_shape(input_shape)[1:])
        if self.does_nothing:
            return Rounding(0.0, norm)
        smallest = min(self.constants[1])
        if smallest < 4 * arithmetic.smallest or max(self.constants[1]) > arithmetic.largest:
            return UNBOUNDED
        offset = outward(length_bound(self.mean) * math.sqrt(places))
        largest = outward((norm + offset) / smallest)
        # A flushed operand or difference is divided by std, a flushed std divides everything.
        flushed = arithmetic.smallest * (
            math.sqrt(math.prod(input_shape)) * (1 + 6 / smallest) + 2 * largest / smallest
        )
        error = arithmetic.held(outward(arithmetic.gamma(4) * largest + flushed), 2 * largest)
        return Rounding(error, arithmetic.held(outward(largest + error)))

    def pixel_norm(self, input_shape: Shape) -> float:
        """An upper bound on the norm of (x - mean) / std over all x in [0, 1]."""
        places = math.prod(self.output_shape(input_shape)[1:])
        largest = [max(abs(mean), abs(1 - mean)) / std for mean, std in zip(*self.constants, strict=True)]
        return outward(math.hypot(*largest) * math.sqrt(places))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if input_shape[0] != len(self.constants[0]):
            raise ValueError(f"expects {len(self.constants[0])} channels, got shape {input_shape}")
        return input_shape


class Flatten(LinearLayer):
    """(N, C, H, W) -> (N, C H W): an isometry."""

    kind = "flatten"
    gradient_norm_preserving = True

    def linear(self, x: Tensor) -> Tensor:
        """The same numbers in one row."""
        return x.flatten(1)

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1."""
        return Bound.exactly(1.0, "isometry")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Nothing is computed."""
        return Rounding(0.0, norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C H W,)."""
        return (math.prod(input_shape),)


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """Append zero channels up to ``channels``: an isometry on (N, C, H, W)."""
    missing = channels - x.shape[1]
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing > 0 else x


def pixel_unshuffle(x: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) to (N, C f^2, H / f, W / f), channel order (c, row, column): an isometry."""
    return F.pixel_unshuffle(x, factor) if factor > 1 else x
