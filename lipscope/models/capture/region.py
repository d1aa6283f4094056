"""Parts of a graph between one source and one result, and whether they compute what a layer does.

From an operation backwards a region grows, as long as its operations are of certain kinds, until it has one source. It
is evaluated on random numbers, in float64, and compared with a layer: that covers every spelling. Whether the whole
file computes what the network does is tested apart, in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipscope.models.capture.graph import Op

LARGEST_REGION = 80
"""Operations in one layer."""

SAME = 1e-6
"""Relative difference up to which two evaluations are of one function: angles and factors may be known in float32."""

SIZES = tuple(10.0**power for power in (0, 2, -3, -1, 1, 3, 4, 6, 9, 12))
"""Of the numbers on which functions are compared, each drawn anew: what is cut off at a number shows only beyond it."""


@dataclass(frozen=True)
class Region:
    """Operations between one source and one result.

    Args:
        source: outside the region.
        ops: in forward order; the last is the result.
    """

    source: Op
    ops: tuple[Op, ...]

    def compute(self, x: Tensor) -> Tensor:
        """The result for values of the source."""
        values: dict[Op, Any] = {self.source: x.clone()}  # some operations change it in place
        for op in self.ops:
            values[op] = op.compute(values)
        result: Tensor = values[self.ops[-1]]
        return result

    def tried(self, x: Tensor) -> Tensor | None:
        """The result in float64; None where the operations cannot take the values."""
        try:
            return self.compute(x.double())
        except (RuntimeError, ValueError, IndexError):
            return None

    def is_same(self, function: Callable[[Tensor], Tensor]) -> bool:
        """Whether it computes a function, as far as images of random numbers tell, from small ones to large ones."""
        generator = torch.Generator().manual_seed(0)
        for size in SIZES:
            numbers = size * torch.randn(2, *self.source.shape, generator=generator, dtype=torch.float64)
            try:
                found, wanted = self.compute(numbers), function(numbers)
            except (RuntimeError, ValueError, IndexError):
                return False
            if found.shape != wanted.shape:
                return False
            if not float((found - wanted).abs().max()) <= SAME * max(size, float(wanted.abs().max())):
                return False
        return True


def regions(op: Op, kinds: frozenset[str]) -> Iterator[Region]:
    """Regions of these kinds of operations that end in ``op``, from the smallest on."""
    inside: set[Op] = set()
    frontier = {op}
    while frontier and len(inside) < LARGEST_REGION:
        # The latest has no user left outside the region.
        latest = max(frontier, key=lambda one: one.place)
        if latest.base not in kinds:
            return
        frontier.remove(latest)
        inside.add(latest)
        frontier.update(latest.inputs)
        if len(frontier) == 1:
            (source,) = frontier
            if any(one.base == "getitem" and one.inputs == (source,) for one in inside):
                continue  # several values, not one
            yield Region(source, tuple(sorted(inside, key=lambda one: one.place)))
