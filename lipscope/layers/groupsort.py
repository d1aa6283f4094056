"""GroupSort, and what every activation on groups of channels shares.

The channels are taken in groups of g: (c, c + C/g, c + 2C/g, ...). GroupSort orders each group (Anil, Lucas & Grosse,
ICML 2019); g = 2 is MaxMin; the Householder activations act on the same pairs.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.records import Bound, Shape


class GroupActivation(LipschitzLayer):
    """An activation on groups of channels; their number must be divisible by the size of a group."""

    group_size: int = 2
    adjacent = False
    """Whether groups are neighbours, (g c, g c + 1, ...), instead."""

    gradient_norm_preserving = True

    @classmethod
    def made(cls, channels: int, group_size: int) -> GroupActivation:
        """One for so many channels, as a configuration asks for it."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if self.adjacent:
            members = x.unflatten(1, (-1, self.group_size)).unbind(2)
            return torch.stack(self.groups(members), dim=2).flatten(1, 2)
        return torch.cat(self.groups(x.chunk(self.group_size, dim=1)), dim=1)

    @abstractmethod
    def groups(self, members: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The activation of the groups, given and returned as ``group_size`` tensors (N, C/g, ...)."""

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1: continuous and an isometry on each of its pieces."""
        return Bound.exactly(1.0, "piecewise isometry")

    @abstractmethod
    def relative_error(self, arithmetic: Arithmetic) -> float:
        """A bound on ||fl(f)(v) - f(v)||_2 / ||v||_2 for every group v, underflow aside."""

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The relative error of the groups; the norm is kept but for it."""
        relative = self.relative_error(arithmetic)
        if relative == 0.0:
            return Rounding(0.0, norm)
        # Results and operands that are flushed to zero, and a piece that is chosen wrongly for it.
        flushed = 64 * arithmetic.smallest * (math.sqrt(math.prod(input_shape)) + norm)
        error = arithmetic.held(outward(relative * norm + flushed), 4 * norm)
        return Rounding(error, arithmetic.held(outward(norm + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if input_shape[0] % self.group_size:
            raise ValueError(f"{input_shape[0]} channels cannot be put in groups of {self.group_size}")
        return input_shape


class GroupSort(GroupActivation):
    """Each group in descending order.

    On the pieces where the order is fixed it permutes coordinates, and the pieces meet where coordinates are equal.

    Args:
        group_size: g >= 2.
        adjacent: whether groups are neighbours.
        ascending: the smallest first instead.
    """

    def __init__(self, group_size: int, *, adjacent: bool = False, ascending: bool = False) -> None:
        super().__init__()
        self.group_size, self.adjacent, self.ascending = group_size, adjacent, ascending
        self.kind = f"GroupSort {group_size}"

    @classmethod
    def made(cls, channels: int, group_size: int) -> GroupSort:
        """Groups of this size."""
        return cls(group_size)

    def groups(self, members: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The largest of each group first, or the smallest."""
        return torch.stack(members, dim=-1).sort(dim=-1, descending=not self.ascending).values.unbind(dim=-1)

    def relative_error(self, arithmetic: Arithmetic) -> float:
        """Exactly 0: numbers are compared, not computed."""
        return 0.0


class MaxMin(GroupSort):
    """(x, y) -> (max(x, y), min(x, y)): GroupSort of pairs, several times faster than sorting.

    Args:
        adjacent: whether pairs are neighbours.
        ascending: the minimum first instead.
    """

    def __init__(self, *, adjacent: bool = False, ascending: bool = False) -> None:
        super().__init__(2, adjacent=adjacent, ascending=ascending)
        self.kind = "MaxMin"

    @classmethod
    def made(cls, channels: int, group_size: int) -> MaxMin:
        """For any number of channels."""
        return cls()

    def groups(self, members: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Larger and smaller of each pair, or the other way round."""
        larger, smaller = torch.maximum(*members), torch.minimum(*members)
        return (smaller, larger) if self.ascending else (larger, smaller)
