"""Blocks with branches: layers whose results are added, concatenated or parted, in any order without a circle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.layers.elementwise import Elementwise, PReLU
from lipscope.layers.joints import Concatenation, Dependence, Joint, Part, Sum
from lipscope.layers.scale import ScaleShift
from lipscope.records import Bound, Shape

INPUT = "input"
"""The name of what the block is given."""

T = TypeVar("T")

Visit = Callable[[str, LipschitzLayer, Tensor], Tensor]
"""(name, layer, input) to the layer's result."""


@dataclass(frozen=True)
class Node:
    """One step of a block.

    Args:
        name: of its result; unique in the network for layers, in the block for joints.
        of: the names of what it is made from.
        step: a layer, which takes one value, or a joint.
    """

    name: str
    of: tuple[str, ...]
    step: LipschitzLayer | Joint


class Block(LipschitzLayer):
    """A directed graph of layers and joints without a circle.

    Its bound is that of :mod:`lipscope.layers.joints`: 1 + L for x + f(x), (1 + L^2)^(1/2) for (x, f(x)), and the norm
    of [[1, 0], [L, 1]] for (x_1, x_2 + f(x_1)).

    Args:
        nodes: in an order in which each is made from earlier ones or the input; the last is the result.

    Raises:
        ValueError: a name that is not there, or there twice.
    """

    gradient_norm_preserving = False

    def __init__(self, nodes: Sequence[Node]) -> None:
        super().__init__()
        self.nodes = tuple(nodes)
        seen = {INPUT}
        for node in self.nodes:
            missing = [name for name in node.of if name not in seen]
            if missing or not node.of or node.name in seen:
                what = f"{missing[0]!r} comes before it is made" if missing else f"{node.name!r} cannot be made so"
                raise ValueError(what)
            if isinstance(node.step, LipschitzLayer) and len(node.of) != 1:
                raise ValueError(f"{node.name!r} takes one value")
            seen.add(node.name)
        if not self.nodes:
            raise ValueError("a block needs layers")
        unused = seen - {INPUT, self.nodes[-1].name} - {name for node in self.nodes for name in node.of}
        if unused:
            raise ValueError(f"{min(unused)!r} is made and not used")
        self.layers = nn.ModuleList(node.step for node in self.nodes if isinstance(node.step, LipschitzLayer))
        last = self.nodes[-1].step
        self.kind = {Sum: "residual sum", Concatenation: "concatenation"}.get(type(last), "block")

    def _through(
        self, start: T, of_layer: Callable[[Node, LipschitzLayer, T], T], of_joint: Callable[[Node, Joint, list[T]], T]
    ) -> dict[str, T]:
        """What becomes of the input, by the name of every node."""
        found = {INPUT: start}
        for node in self.nodes:
            given = [found[name] for name in node.of]
            if isinstance(node.step, Joint):
                found[node.name] = of_joint(node, node.step, given)
            else:
                found[node.name] = of_layer(node, node.step, given[0])
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The last value."""
        return self.visited(x, lambda _name, layer, value: layer(value))

    def visited(self, x: Tensor, visit: Visit) -> Tensor:
        """Each layer evaluated by ``visit``, joints as they are."""
        found = self._through(
            x,
            lambda node, layer, value: visit(node.name, layer, value),
            lambda _node, joint, values: joint.value(values),
        )
        return found[self.nodes[-1].name]

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Of every value by name.

        Raises:
            ValueError: a step that cannot take what it is given.
        """

        def of_layer(node: Node, layer: LipschitzLayer, shape: Shape) -> Shape:
            try:
                return layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"{node.name}: {error}") from error

        return self._through(input_shape, of_layer, lambda _node, joint, shapes: joint.shape(shapes))

    def named_parts(self) -> list[tuple[str, LipschitzLayer]]:
        """The layers; joints are none."""
        return [(node.name, node.step) for node in self.nodes if isinstance(node.step, LipschitzLayer)]

    def parts(self, input_shape: Shape) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer with the shape that it takes; joints are none."""
        shapes = self.shapes(input_shape)
        for node in self.nodes:
            if isinstance(node.step, LipschitzLayer):
                yield node.name, node.step, shapes[node.of[0]]

    def bound(self, input_shape: Shape) -> Bound:
        """From the bounds of the layers."""
        return self.bound_from({name: part.bound(shape) for name, part, shape in self.parts(input_shape)}, input_shape)

    def bound_from(self, bounds: Mapping[str, Bound], input_shape: Shape) -> Bound:
        """The norm of the matrix of constants, with the input in pieces and as a whole, from the layers' bounds."""
        for name, _, _ in self.parts(input_shape):
            if not bounds[name].proved:
                return Bound.unproved(f"inside the {self.kind}: {bounds[name].reason}")
        shapes = self.shapes(input_shape)

        def of_layer(node: Node, layer: LipschitzLayer, before: Dependence) -> Dependence:
            separately = isinstance(layer, Elementwise | PReLU | ScaleShift | BatchNorm)
            return before.times(bounds[node.name].value, shapes[node.name][0], separately=separately)

        def constant(start: Dependence) -> float:
            found = self._through(start, of_layer, lambda _node, joint, given: joint.dependence(given))
            return found[self.nodes[-1].name].norm()

        value = min(constant(start) for start in self._starts(input_shape[0]))
        if not math.isfinite(value):
            return Bound.unproved("the bound overflows float64")
        return Bound(value, "norm of the matrix of the branches' constants")

    def _starts(self, channels: int) -> list[Dependence]:
        """The input as a whole, and in the pieces that parts cut it into."""
        whole = Dependence((channels,), ((1.0,),))
        cuts = {end for node in self.nodes if isinstance(node.step, Part) and node.of == (INPUT,)
                for end in (node.step.start, node.step.stop)}  # fmt: skip
        ends = sorted(cuts | {0, channels})
        if len(ends) == 2:
            return [whole]
        sizes = tuple(end - start for start, end in itertools.pairwise(ends))
        identity = tuple(tuple(float(i == j) for j in range(len(sizes))) for i in range(len(sizes)))
        return [whole, Dependence(sizes, identity)]

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """E <- L E + error through every layer, sums and concatenations as in :mod:`lipscope.layers.joints`."""
        shapes = self.shapes(input_shape)

        def of_layer(node: Node, layer: LipschitzLayer, before: Rounding) -> Rounding:
            shape = shapes[node.of[0]]
            own = layer.rounding(shape, before.norm, arithmetic)
            carried = layer.bound(shape).value * before.error if before.error else 0.0
            return Rounding(outward(carried + own.error), own.norm)

        def of_joint(node: Node, joint: Joint, before: list[Rounding]) -> Rounding:
            return joint.rounded(before, math.prod(shapes[node.name]), arithmetic)

        return self._through(Rounding(0.0, norm), of_layer, of_joint)[self.nodes[-1].name]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the last value."""
        return self.shapes(input_shape)[self.nodes[-1].name]
