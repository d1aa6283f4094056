"""How the axes of a convolution kernel may be read, and a bound that holds however they are.

PyTorch stores out x in x h x w, and says ``format: pt`` in the file. MLX stores out x h x w x in, TensorFlow and Flax
h x w x in x out; a file that says something else, or nothing, may follow any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lipscope.bounds.convolution import every_size_bound, unfolding_bound
from lipscope.files.checkpoint import Header, TensorInfo
from lipscope.records import Bound

LARGEST_KERNEL = 15
"""Sides up to which a tensor with three to five axes is taken for the kernel of a convolution of 1 to 3 dimensions."""

KERNEL_AXES = {3: "k", 4: "h w", 5: "d h w"}
"""By the number of axes, what those but the channels are called."""

FREQUENCY_EFFORT = 2e9
"""out * in * min(out, in) up to which the bound over frequencies is computed; beyond it the unfoldings' bound."""

SCOPE = "for every image size, stride, dilation and grouping; zero padding, or circular padding that adds no outputs"
"""Circular padding that adds outputs repeats some: a 1x1 kernel with padding 1 has twice its norm on a 2x2 image."""


@dataclass(frozen=True)
class Reading:
    """One way to read the axes.

    Args:
        framework: whose way.
        channels: where the channels stand: out and in first, out first and in last, or in and out last.
    """

    framework: str
    channels: Literal["first", "around", "last"]

    def axes(self, count: int) -> tuple[int, ...]:
        """The stored axes in the order out, in, sides.

        >>> Reading("MLX", "around").axes(4)
        (0, 3, 1, 2)
        """
        out, into = {"first": (0, 1), "around": (0, count - 1), "last": (count - 1, count - 2)}[self.channels]
        return out, into, *(axis for axis in range(count) if axis not in (out, into))

    def sides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes of the kernel but for its channels."""
        return tuple(shape[axis] for axis in self.axes(len(shape))[2:])

    def text(self, count: int) -> str:
        """In words.

        >>> Reading("MLX", "around").text(4)
        'out x h x w x in (MLX)'
        """
        names = dict(zip(self.axes(count), ("out", "in", *KERNEL_AXES[count].split()), strict=True))
        return f"{' x '.join(names[axis] for axis in range(count))} ({self.framework})"


PYTORCH = Reading("PyTorch", "first")
READINGS = (PYTORCH, Reading("MLX", "around"), Reading("TensorFlow, Flax", "last"))


def readings_of(header: Header, info: TensorInfo) -> tuple[Reading, ...]:
    """The ways in which a tensor may be a kernel; none where no way makes it small enough."""
    possible = (PYTORCH,) if header.part_of(info.name).metadata.get("format") == "pt" else READINGS
    return tuple(reading for reading in possible if max(reading.sides(info.shape)) <= LARGEST_KERNEL)


def axes_note(readings: tuple[Reading, ...], count: int) -> str:
    """How so many axes were read, in a sentence."""
    names = ", ".join(reading.text(count) for reading in readings)
    if len(readings) == 1:
        return f"axes read as {names}"
    return f"the file does not say how its axes are read; the largest bound of {names}"


def root_of_taps(count: int) -> str:
    """The root of the number of taps of a kernel with so many axes, in words."""
    return f"sqrt({KERNEL_AXES[count]})"


def kernel_bound(kernel: Tensor, readings: tuple[Reading, ...] = (PYTORCH,)) -> Bound:
    """A bound for every use in :data:`SCOPE`, and for every one of these readings of the axes.

    A kernel (out, in, k) is the kernel (out, in, 1, k) of images of one row. A kernel (out, in, d, h, w) has at every
    frequency the matrix (I x a)^T U (I x b): U unfolds (out, d | in, h w) or (out, h w | in, d), a and b are of
    modulus 1. Its norm is at most sqrt(d h w) |U|, as of the kernel (out, in, d, h w) of two dimensions.

    Args:
        kernel: float64, with three to five axes.
        readings: of them.
    """
    bounds = [_bound(kernel.permute(reading.axes(kernel.ndim))) for reading in readings]
    return max(bounds, key=lambda bound: bound.value)


def _bound(kernel: Tensor) -> Bound:
    out_channels, in_channels = kernel.shape[:2]
    unfolded = f"{root_of_taps(max(kernel.ndim, 4))} times the smallest unfolding norm, {SCOPE}"
    if kernel.ndim == 5:
        return Bound(unfolding_bound(kernel.flatten(3)), unfolded)
    kernel = kernel.unsqueeze(2) if kernel.ndim == 3 else kernel
    if out_channels * in_channels * min(out_channels, in_channels) * 1024 <= FREQUENCY_EFFORT:
        return Bound(min(every_size_bound(kernel), unfolding_bound(kernel)), f"over all frequencies, {SCOPE}")
    return Bound(unfolding_bound(kernel), unfolded)
