"""Where the branches of a block meet or part: sums with factors, concatenations, parts of the channels.

For each value v of a block the constants of its dependence on the input are kept as a matrix M: the channels of v in
consecutive pieces v_r, those of the input in pieces x_j, and

    ||v_r(x) - v_r(y)|| <= sum_j M_rj ||x_j - y_j||,

so that v has the constant ||M||_2, the entries being non-negative and rounded up. A layer with the constant L after v
gives one piece with L (sum_r M_rj^2)^(1/2), a sum of values the sum of their matrices, a concatenation all rows, a part
some of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.bounds.composition import sum_up
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import Arithmetic, outward, product_up, up
from lipscope.layers.contract import Rounding
from lipscope.records import Shape

Row = tuple[float, ...]


@dataclass(frozen=True)
class Dependence:
    """A matrix of constants.

    Args:
        sizes: channels of each piece of the value.
        rows: of the matrix, one a piece.
    """

    sizes: tuple[int, ...]
    rows: tuple[Row, ...]

    def whole(self) -> Dependence:
        """The value as one piece."""
        if len(self.rows) == 1:
            return self
        row = tuple(_length_up(column) for column in zip(*self.rows, strict=True))
        return Dependence((sum(self.sizes),), (row,))

    def times(self, constant: float, channels: int, *, separately: bool) -> Dependence:
        """Behind a layer with this constant and so many channels.

        Args:
            constant: of the layer.
            channels: of its result.
            separately: whether every number of its result depends on the number in the same place alone.
        """
        before = self if separately else self.whole()
        sizes = self.sizes if separately else (channels,)
        return Dependence(sizes, tuple(tuple(_product_up(constant, entry) for entry in row) for row in before.rows))

    def norm(self) -> float:
        """A proved bound on ||M||; exact where no two entries share a row or a column."""
        lines = [*self.rows, *zip(*self.rows, strict=True)]
        if all(sum(entry != 0 for entry in line) <= 1 for line in lines):
            return max(entry for row in self.rows for entry in row)
        if not all(math.isfinite(entry) for row in self.rows for entry in row):
            return math.inf
        return spectral_norm_bound(torch.tensor(self.rows, dtype=torch.float64))


def _product_up(first: float, second: float) -> float:
    """An upper bound of the product; 0 only where a factor is."""
    return product_up([first, second]) if first and second else 0.0


def _length_up(numbers: Sequence[float]) -> float:
    """An upper bound of the Euclidean length; exact for one number. ``math.hypot`` is off by less than one step."""
    return math.hypot(*numbers) if sum(number != 0 for number in numbers) <= 1 else up(math.hypot(*numbers), 2)


class Joint(ABC):
    """What a block does with several values, or with a part of one."""

    @abstractmethod
    def value(self, inputs: Sequence[Tensor]) -> Tensor:
        """(N, ...) each."""

    @abstractmethod
    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Of the result, without the batch.

        Raises:
            ValueError: these do not go together.
        """

    @abstractmethod
    def dependence(self, inputs: Sequence[Dependence]) -> Dependence:
        """On the input of the block."""

    @abstractmethod
    def rounded(self, inputs: Sequence[Rounding], size: int, arithmetic: Arithmetic) -> Rounding:
        """What floating point makes of it; ``size`` numbers result."""


@dataclass(frozen=True)
class Sum(Joint):
    """sum_i f_i v_i.

    Args:
        factors: f, one for each value.
    """

    factors: tuple[float, ...]

    def value(self, inputs: Sequence[Tensor]) -> Tensor:
        """One after another."""
        first, *others = (
            tensor if factor == 1 else tensor * factor for factor, tensor in zip(self.factors, inputs, strict=True)
        )
        for other in others:
            first = first + other
        return first

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of all."""
        if len(inputs) != len(self.factors):
            raise ValueError(f"{len(self.factors)} factors for {len(inputs)} values")
        if len(set(inputs)) > 1:
            raise ValueError(f"the branches end in different shapes: {' and '.join(map(str, inputs))}")
        return inputs[0]

    def dependence(self, inputs: Sequence[Dependence]) -> Dependence:
        """The weighted sum of the matrices."""
        same = len({found.sizes for found in inputs}) == 1
        parts = list(inputs) if same else [found.whole() for found in inputs]
        weights = [abs(factor) for factor in self.factors]
        rows = tuple(
            tuple(sum_up(list(map(_product_up, weights, entries))) for entries in zip(*rows, strict=True))
            for rows in zip(*(part.rows for part in parts), strict=True)
        )
        return Dependence(parts[0].sizes, rows)

    def rounded(self, inputs: Sequence[Rounding], size: int, arithmetic: Arithmetic) -> Rounding:
        """A product and an addition for each value, the factor rounded to the arithmetic."""
        weights = [abs(factor) for factor in self.factors]
        reach = outward(sum_up([w * part.norm for w, part in zip(weights, inputs, strict=True)]))
        carried = outward(sum_up([w * part.error for w, part in zip(weights, inputs, strict=True)]))
        lifted = max(1.0, *weights) * math.sqrt(size) + max(part.norm for part in inputs)
        flushed = 4 * len(inputs) * arithmetic.smallest * lifted
        own = outward(arithmetic.gamma(len(inputs) + 2) * reach + flushed)
        error = arithmetic.held(outward(carried + own), max(2 * reach, *weights))
        return Rounding(error, arithmetic.held(outward(reach + own)))


@dataclass(frozen=True)
class Concatenation(Joint):
    """One value behind another.

    Args:
        axis: without the batch, from 0.
    """

    axis: int = 0

    def value(self, inputs: Sequence[Tensor]) -> Tensor:
        """Along the axis."""
        return torch.cat(list(inputs), dim=self.axis + 1)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """The sizes along the axis added."""
        others = {(*shape[: self.axis], *shape[self.axis + 1 :]) for shape in inputs}
        if len(others) > 1 or self.axis >= len(inputs[0]):
            raise ValueError(f"these cannot be concatenated: {' and '.join(map(str, inputs))}")
        return tuple(sum(shape[i] for shape in inputs) if i == self.axis else n for i, n in enumerate(inputs[0]))

    def dependence(self, inputs: Sequence[Dependence]) -> Dependence:
        """All rows."""
        stacked = Dependence(
            tuple(n for found in inputs for n in found.sizes), tuple(row for found in inputs for row in found.rows)
        )
        if self.axis == 0:
            return stacked
        # The pieces are no longer consecutive channels: the whole value has the channels of each.
        return Dependence((sum(inputs[0].sizes),), stacked.whole().rows)

    def rounded(self, inputs: Sequence[Rounding], size: int, arithmetic: Arithmetic) -> Rounding:
        """Squares add up."""
        error, norm = (math.hypot(*numbers) for numbers in zip(*((k.error, k.norm) for k in inputs), strict=True))
        return Rounding(outward(error), arithmetic.held(outward(norm)))


@dataclass(frozen=True)
class Part(Joint):
    """The channels from ``start`` up to ``stop``."""

    start: int
    stop: int

    def value(self, inputs: Sequence[Tensor]) -> Tensor:
        """A view."""
        return inputs[0][:, self.start : self.stop]

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """So many channels."""
        if len(inputs) != 1 or not 0 <= self.start < self.stop <= inputs[0][0]:
            raise ValueError(f"no channels {self.start}:{self.stop} of {inputs[0]}")
        return (self.stop - self.start, *inputs[0][1:])

    def dependence(self, inputs: Sequence[Dependence]) -> Dependence:
        """The rows of the pieces that it touches."""
        sizes, rows, place = [], [], 0
        for size, row in zip(inputs[0].sizes, inputs[0].rows, strict=True):
            overlap = min(self.stop, place + size) - max(self.start, place)
            if overlap > 0:
                sizes.append(overlap)
                rows.append(row)
            place += size
        return Dependence(tuple(sizes), tuple(rows))

    def rounded(self, inputs: Sequence[Rounding], size: int, arithmetic: Arithmetic) -> Rounding:
        """At most the whole."""
        return inputs[0]
