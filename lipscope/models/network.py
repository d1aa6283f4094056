"""What an analysis needs of a network, and the plainest network: layers one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.heads import LinearHead
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.records import Shape


class Network(Protocol):
    """A composition of layers with proofs."""

    input_shape: Shape
    """Of one image."""

    def layers(self) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer in forward order with its name and the shape that it takes."""


class LayerStack(nn.Module):
    """Named layers one after another. A linear layer at the end of others is the head.

    Args:
        stack: (name, layer) in forward order; names are unique.
        input_shape: of one input, without the batch.
    """

    def __init__(self, stack: Sequence[tuple[str, LipschitzLayer]], input_shape: Shape) -> None:
        super().__init__()
        self.input_shape = input_shape
        self._names = tuple(name for name, _ in stack)
        *before, last = (layer for _, layer in stack)
        deep = any(not isinstance(layer, Normalize | Flatten) for layer in before)
        self.stack = nn.ModuleList([*before, LinearHead.of(last) if deep and isinstance(last, Linear) else last])

    @property
    def head(self) -> LinearHead | None:
        """The last layer, where it is a head."""
        last = self.stack[-1]
        return last if isinstance(last, LinearHead) else None

    def layers(self) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer in forward order with its name and the shape that it takes."""
        shape = self.input_shape
        for name, layer in zip(self._names, self.stack, strict=True):
            assert isinstance(layer, LipschitzLayer)
            yield name, layer, shape
            shape = layer.output_shape(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, *input_shape) to the last layer's shape."""
        for layer in self.stack:
            x = layer(x)
        return x
