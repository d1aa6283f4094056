"""Residual sums: x -> f(x) + g(x), f and g compositions of layers, g the identity where it is empty.

||f(x) + g(x) - f(y) - g(y)|| <= (L_f + L_g) ||x - y||, L of a composition the product of its layers'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from lipscope.bounds.composition import chain_bound, sum_bound
from lipscope.bounds.rounding import Arithmetic
from lipscope.layers.composite import Composite, Visit
from lipscope.layers.contract import LipschitzLayer, Rounding, Trainable
from lipscope.layers.joints import Sum
from lipscope.layers.roundings import chain_rounding
from lipscope.records import Bound, Shape

Branch = Literal["main", "shortcut"]
BRANCHES: tuple[Branch, ...] = ("main", "shortcut")
Named = tuple[str, LipschitzLayer]


class Residual(Composite, Trainable):
    """The sum of two branches of named layers.

    Args:
        main: f, in forward order.
        shortcut: g; empty for the identity.
    """

    kind = "residual sum"

    def __init__(self, main: Sequence[Named], shortcut: Sequence[Named] = ()) -> None:
        super().__init__()
        self.names: dict[Branch, tuple[str, ...]] = {
            "main": tuple(name for name, _ in main),
            "shortcut": tuple(name for name, _ in shortcut),
        }
        self.main = nn.ModuleList(layer for _, layer in main)
        self.shortcut = nn.ModuleList(layer for _, layer in shortcut)

    def branch(self, which: Branch) -> list[Named]:
        """The layers of a branch with their names, in forward order."""
        layers = self.main if which == "main" else self.shortcut
        found = []
        for name, layer in zip(self.names[which], layers, strict=True):
            assert isinstance(layer, LipschitzLayer)
            found.append((name, layer))
        return found

    def named_parts(self) -> list[Named]:
        """The layers of both branches."""
        return [*self.branch("main"), *self.branch("shortcut")]

    def _placed(self, which: Branch, input_shape: Shape) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """The layers of a branch with the shape that each takes."""
        shape = input_shape
        for name, layer in self.branch(which):
            yield name, layer, shape
            shape = layer.output_shape(shape)

    def parts(self, input_shape: Shape) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer of both branches with the shape that it takes."""
        yield from self._placed("main", input_shape)
        yield from self._placed("shortcut", input_shape)

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Free weights in both branches."""
        for layer in (*self.main, *self.shortcut):
            if isinstance(layer, Trainable):
                layer.make_trainable(generator)

    def freeze(self) -> None:
        """Plain weights in both branches."""
        for layer in (*self.main, *self.shortcut):
            if isinstance(layer, Trainable):
                layer.freeze()

    def visited(self, x: Tensor, visit: Visit) -> Tensor:
        """f(x) + g(x)."""
        results = []
        for which in BRANCHES:
            result = x
            for name, layer in self.branch(which):
                result = visit(name, layer, result)
            results.append(result)
        return results[0] + results[1]

    def bound_from(self, bounds: Mapping[str, Bound], input_shape: Shape) -> Bound:
        """The sum of the branches' products."""
        main, shortcut = ([bounds[name] for name in self.names[which]] for which in BRANCHES)
        return sum_of(main, shortcut)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The errors of both branches, and one addition an output."""
        ends = []
        for which in BRANCHES:
            layers = [(layer, shape) for _, layer, shape in self._placed(which, input_shape)]
            ends.append(chain_rounding(layers, norm, arithmetic))
        return Sum((1.0, 1.0)).rounded(ends, math.prod(self.output_shape(input_shape)), arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of both branches."""
        ends: dict[Branch, Shape] = {"main": input_shape, "shortcut": input_shape}
        for which in BRANCHES:
            for name, layer in self.branch(which):
                try:
                    ends[which] = layer.output_shape(ends[which])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        if ends["main"] != ends["shortcut"]:
            raise ValueError(f"the branches end in different shapes: {ends['main']} and {ends['shortcut']}")
        return ends["main"]


def sum_of(main: Sequence[Bound], shortcut: Sequence[Bound]) -> Bound:
    """The bound of a residual sum from those of its layers; not proved when any of them is not.

    >>> sum_of([Bound(0.5, "by hand")], []).value >= 1.5
    True
    """
    for bound in (*main, *shortcut):
        if not bound.proved:
            return Bound.unproved(f"inside the residual sum: {bound.reason}")
    whole = sum_bound([chain_bound(main), chain_bound(shortcut)])
    return replace(whole, method="sum of the branches' products") if whole.proved else whole
