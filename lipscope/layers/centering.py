"""Layer centering: each number less the mean of those that it is centred with, as orthogonium and deel-torchlip do."""

from __future__ import annotations

import math

from torch import Tensor

from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.roundings import mean_rounding
from lipscope.records import Bound, Shape


class Centering(LinearLayer):
    """x - mean(x) over some axes: I - 11^T / n is an orthogonal projection.

    Args:
        axes: that the mean is taken over, without the batch, from 0.
    """

    gradient_norm_preserving = False

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        if len(set(axes)) != len(axes) or not axes or min(axes) < 0:
            raise ValueError(f"nothing is centred over axes {axes}")
        self.axes = axes
        self.kind = f"centering over axes {', '.join(map(str, axes))}"

    def linear(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x - x.mean(dim=[axis + 1 for axis in self.axes], keepdim=True)

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1, or 0 where every mean is of one number."""
        return Bound.exactly(float(self._window(input_shape) > 1), "orthogonal projection")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The error of a mean stands in the n places that it is taken from; then one subtraction each."""
        window, outputs = self._window(input_shape), math.prod(input_shape)
        mean = mean_rounding(up(1 / math.sqrt(window), 3), window, outputs // window, norm, arithmetic)
        spread = outward(up(math.sqrt(window)) * mean.error)
        return Rounding(spread, outward(norm + spread)).shifted(0.0, outputs, arithmetic)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if max(self.axes) >= len(input_shape):
            raise ValueError(f"no axes {self.axes} in shape {input_shape}")
        return input_shape

    def _window(self, input_shape: Shape) -> int:
        return math.prod(input_shape[axis] for axis in self.axes)
