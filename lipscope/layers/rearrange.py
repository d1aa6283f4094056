"""Layers that move numbers and compute nothing: other shapes, other orders, parts of the whole, copies."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.records import Bound, Shape


class Rearrange(LinearLayer):
    """Every output is one of the inputs, and no input occurs twice: an isometry, or less where some are left out."""

    gradient_norm_preserving = True

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1."""
        return Bound.exactly(1.0, "every number occurs at most once")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Nothing is computed."""
        return Rounding(0.0, norm)


class Reshape(Rearrange):
    """The same numbers in the same order in another shape.

    Args:
        shape: without the batch.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.kind = f"reshape to {'x'.join(map(str, shape))}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, *shape)."""
        return x.reshape(len(x), *self.shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The given shape."""
        if math.prod(input_shape) != math.prod(self.shape) or min(self.shape) < 1:
            raise ValueError(f"{input_shape} does not hold as many numbers as {self.shape}")
        return self.shape


class Permute(Rearrange):
    """Axes in another order.

    Args:
        order: of the axes without the batch, from 0.
    """

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        if sorted(order) != list(range(len(order))):
            raise ValueError(f"{order} is no order of {len(order)} axes")
        self.order = order
        self.kind = f"permute {', '.join(map(str, order))}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, ...) with its axes in the order."""
        return x.permute(0, *(axis + 1 for axis in self.order))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The sizes in the order."""
        if len(input_shape) != len(self.order):
            raise ValueError(f"orders {len(self.order)} axes, got shape {input_shape}")
        return tuple(input_shape[axis] for axis in self.order)


class PixelUnshuffle(Rearrange):
    """``torch.nn.PixelUnshuffle``.

    Args:
        factor: r.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.kind = f"pixel unshuffle {factor}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C r^2, H / r, W / r)."""
        return F.pixel_unshuffle(x, self.factor)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C r^2, H / r, W / r)."""
        if len(input_shape) != 3 or any(n % self.factor for n in input_shape[1:]):
            raise ValueError(f"sides must be divisible by {self.factor}, got shape {input_shape}")
        channels, height, width = input_shape
        return channels * self.factor**2, height // self.factor, width // self.factor


class PixelShuffle(Rearrange):
    """``torch.nn.PixelShuffle``.

    Args:
        factor: r.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.kind = f"pixel shuffle {factor}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C r^2, H, W) to (N, C, H r, W r)."""
        return F.pixel_shuffle(x, self.factor)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H r, W r)."""
        if len(input_shape) != 3 or input_shape[0] % self.factor**2:
            raise ValueError(f"channels must be divisible by {self.factor**2}, got shape {input_shape}")
        channels, height, width = input_shape
        return channels // self.factor**2, height * self.factor, width * self.factor


class ChannelShuffle(Rearrange):
    """``torch.nn.ChannelShuffle``: channel c of group j becomes channel j of group c.

    Args:
        groups: they divide the channels.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.kind = f"channel shuffle {groups}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        shuffled: Tensor = x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return shuffled

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if input_shape[0] % self.groups:
            raise ValueError(f"{input_shape[0]} channels cannot be put in {self.groups} groups")
        return input_shape


class AlongAxes(Rearrange):
    """Numbers that change their places on some axes, named without the batch, from 0."""

    axes: tuple[int, ...]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if not all(0 <= axis < len(input_shape) for axis in self.axes):
            raise ValueError(f"no axes {self.axes} in shape {input_shape}")
        return input_shape


class Flip(AlongAxes):
    """The numbers of some axes backwards.

    Args:
        axes: without the batch, from 0.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        if len(set(axes)) != len(axes):
            raise ValueError(f"an axis is named twice: {axes}")
        self.axes = axes
        self.kind = f"flip {', '.join(map(str, axes))}"

    def linear(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.flip([axis + 1 for axis in self.axes])


class Roll(AlongAxes):
    """The numbers of some axes moved around a circle.

    Args:
        shifts: for each of the axes.
        axes: without the batch, from 0.
    """

    def __init__(self, shifts: tuple[int, ...], axes: tuple[int, ...]) -> None:
        super().__init__()
        if len(shifts) != len(axes) or not axes:
            raise ValueError(f"{len(shifts)} shifts for {len(axes)} axes")
        self.shifts, self.axes = shifts, axes
        self.kind = f"roll {', '.join(map(str, shifts))}"

    def linear(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.roll(self.shifts, [axis + 1 for axis in self.axes])


class Slice(Rearrange):
    """A part of one axis: ``start:stop:step``.

    Args:
        axis: without the batch, from 0.
        start, stop, step: from 0, as of ``range``.
    """

    def __init__(self, axis: int, start: int, stop: int, step: int = 1) -> None:
        super().__init__()
        if not 0 <= start < stop or step < 1 or axis < 0:
            raise ValueError(f"no slice is {start}:{stop}:{step}")
        self.axis, self.start, self.stop, self.step = axis, start, stop, step
        self.kind = f"slice {start}:{stop}" + (f":{step}" if step > 1 else "")

    def linear(self, x: Tensor) -> Tensor:
        """(N, ...) to a part of it."""
        places = [slice(None)] * (self.axis + 1) + [slice(self.start, self.stop, self.step)]
        return x[tuple(places)]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The length of the part in the place of the axis."""
        if self.axis >= len(input_shape) or self.stop > input_shape[self.axis]:
            raise ValueError(f"no slice {self.start}:{self.stop} on axis {self.axis} of {input_shape}")
        size = len(range(self.start, self.stop, self.step))
        return (*input_shape[: self.axis], size, *input_shape[self.axis + 1 :])


class Copies(LinearLayer):
    """Every output is one of the inputs: M^T M is diagonal, how often each occurs, and ||M|| the largest root of it."""

    @abstractmethod
    def copies(self) -> int:
        """How often a number occurs, at most."""

    def bound(self, input_shape: Shape) -> Bound:
        """The root of the copies, exactly where that is a whole number."""
        copies = self.copies()
        root = math.isqrt(copies)
        exact = Bound.exactly(float(root), "root of the copies")
        return exact if root**2 == copies else Bound(up(math.sqrt(copies)), "root of the copies")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Nothing is computed."""
        return Rounding(0.0, arithmetic.held(outward(self.bound(input_shape).value * norm)))


class Take(Copies):
    """Places of one axis in any order, as often as they are named: ``x.index_select``.

    Args:
        axis: without the batch, from 0.
        places: what comes where, from 0.
    """

    index: Tensor

    def __init__(self, axis: int, places: tuple[int, ...]) -> None:
        super().__init__()
        if not places or min(places) < 0 or axis < 0:
            raise ValueError(f"these places of axis {axis} cannot be taken")
        self.axis, self.places = axis, places
        self.register_buffer("index", torch.tensor(places), persistent=False)
        self.gradient_norm_preserving = self.copies() == 1
        self.kind = f"take {len(places)} places"

    def linear(self, x: Tensor) -> Tensor:
        """(N, ...), the axis as long as the places."""
        return x.index_select(self.axis + 1, self.index)

    def copies(self) -> int:
        """Of the place named most often."""
        return max(Counter(self.places).values())

    def output_shape(self, input_shape: Shape) -> Shape:
        """The number of the places in the place of the axis."""
        if self.axis >= len(input_shape) or max(self.places) >= input_shape[self.axis]:
            raise ValueError(f"axis {self.axis} of {input_shape} has no place {max(self.places)}")
        return (*input_shape[: self.axis], len(self.places), *input_shape[self.axis + 1 :])


class NearestUpsample(Copies):
    """Every pixel as a block of copies: ``torch.nn.Upsample`` with whole factors and mode ``"nearest"``.

    Args:
        factors: (vertical, horizontal).
    """

    gradient_norm_preserving = False

    def __init__(self, factors: tuple[int, int]) -> None:
        super().__init__()
        self.factors = factors
        self.kind = f"nearest upsampling {factors[0]}x{factors[1]}"

    def linear(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, f H, g W)."""
        return x.repeat_interleave(self.factors[0], dim=2).repeat_interleave(self.factors[1], dim=3)

    def copies(self) -> int:
        """F g."""
        return math.prod(self.factors)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, f H, g W)."""
        if len(input_shape) != 3:
            raise ValueError(f"expects an image, got shape {input_shape}")
        return (input_shape[0], input_shape[1] * self.factors[0], input_shape[2] * self.factors[1])
