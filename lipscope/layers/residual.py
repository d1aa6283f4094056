"""Residual sums: x -> f(x) + g(x), f and g compositions of layers, g the identity where it is empty.

||f(x) + g(x) - f(y) - g(y)|| <= (L_f + L_g) ||x - y||, L of a composition the product of its layers'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from lipscope.bounds.composition import chain_bound, sum_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import LipschitzLayer, Rounding, Trainable
from lipscope.layers.roundings import chain_rounding
from lipscope.records import Bound, Shape

Branch = Literal["main", "shortcut"]
Named = tuple[str, LipschitzLayer]


class Residual(LipschitzLayer, Trainable):
    """The sum of two branches of named layers.

    Args:
        main: f, in forward order.
        shortcut: g; empty for the identity.
    """

    kind = "residual sum"
    gradient_norm_preserving = False

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

    def parts(self, input_shape: Shape) -> Iterator[tuple[Branch, str, LipschitzLayer, Shape]]:
        """Every layer of both branches with the shape that it takes."""
        branches: tuple[Branch, ...] = ("main", "shortcut")
        for which in branches:
            shape = input_shape
            for name, layer in self.branch(which):
                yield which, name, layer, shape
                shape = layer.output_shape(shape)

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

    def forward(self, x: Tensor) -> Tensor:
        """f(x) + g(x)."""
        results = []
        for layers in (self.main, self.shortcut):
            result = x
            for layer in layers:
                result = layer(result)
            results.append(result)
        return results[0] + results[1]

    def bound(self, input_shape: Shape) -> Bound:
        """The sum of the branches' products."""
        bounds: dict[Branch, list[Bound]] = {"main": [], "shortcut": []}
        for which, _, layer, shape in self.parts(input_shape):
            bounds[which].append(layer.bound(shape))
        return sum_of(bounds["main"], bounds["shortcut"])

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The errors of both branches, and one addition an output."""
        branches: dict[Branch, list[tuple[LipschitzLayer, Shape]]] = {"main": [], "shortcut": []}
        for which, _, layer, shape in self.parts(input_shape):
            branches[which].append((layer, shape))
        first, second = (chain_rounding(parts, norm, arithmetic) for parts in branches.values())
        largest = outward(first.norm + second.norm)
        outputs = math.sqrt(math.prod(self.output_shape(input_shape)))
        added = arithmetic.unit_roundoff * largest + 3 * arithmetic.smallest * outputs
        error = arithmetic.held(outward(first.error + second.error + added), largest)
        return Rounding(error, arithmetic.held(outward(largest + added)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of both branches."""
        ends: dict[Branch, Shape] = {"main": input_shape, "shortcut": input_shape}
        for which, name, layer, shape in self.parts(input_shape):
            try:
                ends[which] = layer.output_shape(shape)
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
