"""One axis of a convolution: which inputs each output sees, and the circles that it can be embedded in.

An output p sees the padded input at s p + a, a < k. Phase by phase, x_r[q] = x[s q + r], this is a convolution without
stride whose taps are K_r[q] = K[s q + r]: s times the channels, a kernel of ceil(k / s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MANY = 48
"""Points of a circle from which on a twist gains nothing worth the time: about 0.2%."""


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution without dilation.

    Args:
        size: of the image.
        kernel: number of taps k.
        stride: s.
        padding: (before, after); negative where pixels at the border are left out.
        circular: whether the padding repeats the image, or is zero.
    """

    size: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    circular: bool

    @property
    def outputs(self) -> int:
        """How many positions the kernel takes.

        Raises:
            ValueError: the padded image is smaller than the kernel.
        """
        room = self.size + sum(self.padding) - self.kernel
        if room < 0:
            raise ValueError(f"a kernel of {self.kernel} does not fit into {self.size} pixels with {self.padding} more")
        return room // self.stride + 1

    @property
    def used_outputs(self) -> range:
        """With zero padding, the outputs that see any pixel."""
        k, s, before = self.kernel, self.stride, self.padding[0]
        return range(max(0, -(-(before - k + 1) // s)), min(self.outputs - 1, (self.size - 1 + before) // s) + 1)

    @property
    def used_taps(self) -> range:
        """With zero padding, the taps that ever fall on a pixel."""
        outputs, before = self.used_outputs, self.padding[0]
        if not outputs:
            return range(0)
        smallest, largest = before - self.stride * outputs[-1], self.size - 1 + before - self.stride * outputs[0]
        return range(max(0, smallest), min(self.kernel - 1, largest) + 1)

    def without_unused_taps(self) -> tuple[Axis, range]:
        """The same axis for the part of the kernel that is used, and which part that is."""
        used = self.used_taps if not self.circular else range(self.kernel)
        if not used:
            return self, range(self.kernel)
        before, after = self.padding[0] - used[0], self.padding[1] - (self.kernel - 1 - used[-1])
        return Axis(self.size, len(used), self.stride, (before, after), self.circular), used

    def taps(self) -> Tensor:
        """(outputs, kernel, size): 1 where the tap of an output falls on a pixel, 0 elsewhere; float64."""
        places = self.stride * torch.arange(self.outputs).unsqueeze(1) + torch.arange(self.kernel) - self.padding[0]
        if self.circular:
            places %= self.size
        return (places.unsqueeze(-1) == torch.arange(self.size)).to(torch.float64)


@dataclass(frozen=True)
class Circle:
    """A circulant matrix, by phases, that bounds an axis: ||axis|| <= sqrt(copies) ||circulant||.

    Args:
        points: of the circle, after the stride.
        stride: of the phases.
        twisted: whether the signs alternate from turn to turn.
        copies: how often a row or a column occurs at most.
        exact: whether the axis is that circulant.
    """

    points: int
    stride: int
    twisted: bool = False
    copies: int = 1
    exact: bool = False


def circles(axis: Axis) -> list[Circle]:
    """Circles that bound the axis; the least of the bounds counts.

    Circular padding: the outputs lie at multiples of g = gcd(s, n) on the circle of n pixels. With g = s and n / s
    outputs that is the axis itself. Fewer outputs are a part of it; more repeat rows.

    Zero padding: an output and an input are joined by the tap a, the difference of their places; on the circle also by
    a + s N, a - s N, and so on. It is large enough when none of these is a tap: s N > a_max and s N >= k - a_min, a_min
    and a_max being the extremes that occur. Then signs may alternate from turn to turn as well, as nothing goes round.

    Circular padding that does not fit is also a zero-padded axis on the padded image, whose pixels are copies.
    """
    if not axis.circular:
        return _open(axis, 1)
    stride = math.gcd(axis.stride, axis.size)
    points = axis.size // stride
    copies = -(-axis.outputs // points)
    closed = Circle(points, stride, copies=copies, exact=stride == axis.stride and axis.outputs % points == 0)
    if closed.exact:
        return [closed]
    seen = (axis.outputs - 1) * axis.stride + axis.kernel
    return [closed, *_open(Axis(seen, axis.kernel, axis.stride, (0, 0), circular=False), -(-seen // axis.size))]


def _open(axis: Axis, copies: int) -> list[Circle]:
    """Circles for zero padding, without and with a twist; none where every output sees padding only."""
    k, s, before, outputs = axis.kernel, axis.stride, axis.padding[0], axis.used_outputs
    if not outputs:
        return []
    seen = min(axis.size - 1, s * outputs[-1] + k - 1 - before)
    smallest, largest = before - s * outputs[-1], seen + before - s * outputs[0]
    points = max(-(-(k - smallest) // s), largest // s + 1, 1)
    return [Circle(points, s, twisted, copies) for twisted in ((False, True) if points < MANY else (False,))]


def polyphase(kernel: Tensor, strides: tuple[int, int]) -> Tensor:
    """The kernel of the convolution without stride on the phases: (out, in s t, ceil(h / s), ceil(w / t)).

    >>> polyphase(torch.arange(3.0).reshape(1, 1, 3, 1), (2, 1)).flatten(2).tolist()
    [[[0.0, 2.0], [1.0, 0.0]]]
    """
    out_channels, in_channels, height, width = kernel.shape
    (s, t), rows, columns = strides, -(-height // strides[0]), -(-width // strides[1])
    whole = torch.nn.functional.pad(kernel, (0, columns * t - width, 0, rows * s - height))
    phases = whole.reshape(out_channels, in_channels, rows, s, columns, t).permute(0, 1, 3, 5, 2, 4)
    return phases.reshape(out_channels, in_channels * s * t, rows, columns)
