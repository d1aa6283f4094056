"""Absolute values and circular shifts of channel groups: what mixes neighbouring pixels without a convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.records import Bound, Shape

DIRECTIONS = ((2, 1), (2, -1), (3, 1), (3, -1))
"""(axis, step): down, up, right, left."""


class ShiftAbs(LipschitzLayer):
    """|x| on the first half of the channels; the second half moves by one pixel, a quarter of it in each direction.

    |x| turned by 45 degrees is MaxMin: (x + y, x - y) / sqrt(2) has the absolute value of its second part where (max,
    min) has both; between orthogonal matrices the two say the same, and |x| costs less. Circular shifts of channel
    groups are LipNeXt's (ICLR 2026). A piecewise isometry, whose Jacobian is a signed permutation.

    Args:
        shifting: whether anything is shifted.
    """

    gradient_norm_preserving = True

    def __init__(self, shifting: bool = True) -> None:
        super().__init__()
        self.shifting = shifting
        self.kind = "abs and shifts" if shifting else "abs"

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        result: Tensor = _ShiftAbs.apply(x, self.shifting)
        return result

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1."""
        self.output_shape(input_shape)
        return Bound.exactly(1.0, "signs and a permutation")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Signs and places change, nothing is rounded."""
        return Rounding(0.0, norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if len(input_shape) != 3:
            raise ValueError(f"expects an image, got shape {input_shape}")
        return input_shape


class _ShiftAbs(torch.autograd.Function):
    """Both at once, each number read and written once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shifting: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shifting = shifting
        result = torch.empty_like(x)
        half = x.shape[1] // 2
        torch.abs(x[:, :half], out=result[:, :half])
        for first, last, axis, step in _groups(x.shape[1], shifting):
            for source, target in _moves(x[:, first:last], result[:, first:last], axis, step):
                target.copy_(source)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        result = torch.empty_like(x)
        half = x.shape[1] // 2
        # |x| is a leaky ReLU of slope -1, whose gradient takes one pass.
        torch.ops.aten.leaky_relu_backward.grad_input(
            gradient[:, :half], x[:, :half], -1.0, False, grad_input=result[:, :half]
        )
        for first, last, axis, step in _groups(x.shape[1], ctx.shifting):
            for source, target in _moves(gradient[:, first:last], result[:, first:last], axis, -step):
                target.copy_(source)
        return result, None


def _groups(channels: int, shifting: bool) -> Iterator[tuple[int, int, int, int]]:
    """(first, last, axis, step) of the groups of the second half; step 0 stays, as do channels that are left over.

    >>> list(_groups(9, True))
    [(4, 5, 2, 1), (5, 6, 2, -1), (6, 7, 3, 1), (7, 8, 3, -1), (8, 9, 2, 0)]
    """
    place = channels // 2
    size = (channels - place) // len(DIRECTIONS) if shifting else 0
    for axis, step in DIRECTIONS if size else ():
        yield place, place + size, axis, step
        place += size
    if place < channels:
        yield place, channels, 2, 0


def _moves(source: Tensor, target: Tensor, axis: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The pieces of a circular shift, (from, to)."""
    if step == 0:
        yield source, target
        return
    rest = source.shape[axis] - 1
    ahead, behind = (0, 1) if step > 0 else (1, 0)
    yield source.narrow(axis, ahead, rest), target.narrow(axis, behind, rest)
    yield source.narrow(axis, rest if step > 0 else 0, 1), target.narrow(axis, 0 if step > 0 else rest, 1)
