"""A plain composition of layers: the network that bounds and certificates speak of."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from lipscope.bounds.rounding import product_up
from lipscope.layers.contract import LipschitzLayer, Trainable, check_provable
from lipscope.layers.heads import Head
from lipscope.layers.reshape import Normalize
from lipscope.records import Bound, Shape
from lipscope.visible import counted


class LipschitzNet(nn.Module):
    """head(body(normalize(x))): every part a :class:`LipschitzLayer`, composed without branches.

    Args:
        normalize: from [0, 1] pixels.
        body: (dotted name, layer) in forward order; the names are those of the checkpoint.
        head: features to logits.
        input_shape: (C, H, W) of one image.
        one_lipschitz: whether every layer of the body is built to be 1-Lipschitz.
    """

    ends = ("normalize", "head")
    """The names of the first and the last layer; no other layer has one of them."""

    def __init__(
        self,
        normalize: Normalize,
        body: list[tuple[str, LipschitzLayer]],
        head: Head,
        input_shape: Shape,
        one_lipschitz: bool = True,
    ) -> None:
        super().__init__()
        self.input_shape, self.one_lipschitz = input_shape, one_lipschitz
        self.normalize = normalize
        self._names: list[str] = []
        for name, layer in body:
            parent: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(last, layer)
            self._names.append(name)
        self.head = head

    def body(self) -> Iterator[tuple[str, LipschitzLayer]]:
        """The layers between normalisation and head, in forward order, by name."""
        for name in self._names:
            layer = self.get_submodule(name)
            assert isinstance(layer, LipschitzLayer)
            yield name, layer

    def layers(self) -> Iterator[tuple[str, LipschitzLayer, Shape]]:
        """Every layer in forward order with its name and the shape that it takes."""
        shape = self.input_shape
        first, last = self.ends
        for name, layer in [(first, self.normalize), *self.body(), (last, self.head)]:
            yield name, layer, shape
            shape = layer.output_shape(shape)

    def features(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] (N, C, H, W) to features (N, F)."""
        x = self.normalize(x)
        for _, layer in self.body():
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] (N, C, H, W) to logits (N, classes)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def make_trainable(self) -> None:
        """Put free weights behind every parametrisation, at random from torch's generator."""
        for _, layer, _ in self.layers():
            if isinstance(layer, Trainable):
                layer.make_trainable()

    def frozen(self) -> LipschitzNet:
        """A copy in eval mode whose weights are plain numbers: what a checkpoint stores and a certificate is about."""
        net = copy.deepcopy(self).eval()
        for _, layer, _ in net.layers():
            if isinstance(layer, Trainable):
                layer.freeze()
        return net.requires_grad_(False)

    def prepared(self, evaluations: int) -> LipschitzNet:
        """The same network in eval mode, made ready to evaluate so many images; it shares the weights."""
        # The author of a file may call a layer of the body "head", so names do not tell layers apart here.
        body = [
            (name, layer.prepared(shape, evaluations))
            for name, layer, shape in self.layers()
            if layer is not self.normalize and layer is not self.head
        ]
        return type(self)(self.normalize, body, self.head, self.input_shape, self.one_lipschitz).eval()

    def bounds(self) -> Iterator[tuple[str, Bound]]:
        """By name, the bounds of normalisation and body in forward order.

        Raises:
            UsageError: the network is in training mode.
            CheckFailedError: the arithmetic is not IEEE's.
        """
        check_provable((name, layer) for name, layer, _ in self.layers())
        for name, layer, shape in self.layers():
            if layer is not self.head:
                yield name, layer.bound(shape)

    def lipschitz_bound(self) -> Bound:
        """The product of the bounds of normalisation and body: from pixels to features.

        Not proved when any layer is not, naming the first such layer.

        Raises:
            UsageError, CheckFailedError: as of :meth:`bounds`.
        """
        return chain_of(self.bounds())


def chain_of(bounds: Iterable[tuple[str, Bound]]) -> Bound:
    """The product of the bounds of named layers, rounded up; not proved when one is not, which is named."""
    found = list(bounds)
    for name, bound in found:
        if not bound.proved:
            return Bound.unproved(f"layer {name}: {bound.reason}")
    product = product_up([bound.value for _, bound in found])
    if not math.isfinite(product):
        largest, _ = max(found, key=lambda one: one[1].value)
        return Bound.unproved(f"layer {largest}: its bound overflows float64")
    return Bound(product, f"product of {counted(len(found), 'layer')}")
