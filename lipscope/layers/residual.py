"""Residual sums: x -> f(x) + g(x), f and g compositions of layers, g the identity where it is empty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lipscope.layers.block import INPUT, Block, Node
from lipscope.layers.contract import LipschitzLayer, Trainable
from lipscope.layers.joints import Sum

Named = tuple[str, LipschitzLayer]


class Residual(Block, Trainable):
    """The block that adds two branches of named layers: its constant is L_f + L_g, each the product of its layers'.

    Args:
        main: f, in forward order.
        shortcut: g; empty for the identity.
    """

    def __init__(self, main: Sequence[Named], shortcut: Sequence[Named] = ()) -> None:
        nodes, ends = [], []
        for branch in (main, shortcut):
            before = INPUT
            for name, layer in branch:
                nodes.append(Node(name, (before,), layer))
                before = name
            ends.append(before)
        super().__init__([*nodes, Node("", tuple(ends), Sum((1.0, 1.0)))])
        # Checkpoints name the numbers of the branches so.
        del self.layers
        self.main = nn.ModuleList(layer for _, layer in main)
        self.shortcut = nn.ModuleList(layer for _, layer in shortcut)

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Free weights in both branches."""
        for _, layer in self.named_parts():
            if isinstance(layer, Trainable):
                layer.make_trainable(generator)

    def freeze(self) -> None:
        """Plain weights in both branches."""
        for _, layer in self.named_parts():
            if isinstance(layer, Trainable):
                layer.freeze()
