"""What layers made of other layers share: their parts, and their bound from the bounds of these."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from lipscope.layers.contract import LipschitzLayer
from lipscope.records import Bound, Shape

Visit = Callable[[str, LipschitzLayer, Tensor], Tensor]
"""(name, layer, input) to the layer's result."""


class Composite(LipschitzLayer):
    """A layer made of named layers."""

    gradient_norm_preserving = False

    @abstractmethod
    def named_parts(self) -> list[tuple[str, LipschitzLayer]]:
        """Every layer with its name, in forward order."""

    @abstractmethod
    def parts(self, input_shape: Shape) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer with its name and the shape that it takes, in forward order."""

    @abstractmethod
    def visited(self, x: Tensor, visit: Visit) -> Tensor:
        """The result for x, each part evaluated by ``visit``."""

    @abstractmethod
    def bound_from(self, bounds: Mapping[str, Bound], input_shape: Shape) -> Bound:
        """The bound of the whole from those of its parts; not proved when any of them is not."""

    def forward(self, x: Tensor) -> Tensor:
        """The result for x."""
        return self.visited(x, lambda _name, layer, value: layer(value))

    def bound(self, input_shape: Shape) -> Bound:
        """From the bounds of the parts."""
        bounds = {name: layer.bound(shape) for name, layer, shape in self.parts(input_shape)}
        return self.bound_from(bounds, input_shape)
