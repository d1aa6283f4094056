"""The constants along a network: pixels -> normalised -> features -> logits, from the reports of its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lipscope.bounds.rounding import product_up
from lipscope.layers.heads import Head
from lipscope.records import Arrow, Bound, Chain, LayerReport, Scope


def chain_of_reports(layers: Sequence[LayerReport], head: Head | None = None) -> Chain | None:
    """The network from end to end.

    Args:
        layers: reports with bounds, in forward order.
        head: of the network, for the constants of its pairs.

    Returns:
        None where there is no body: the file does not say how its tensors are connected.
    """
    by_role = {
        role: [layer for layer in layers if layer.role == role] for role in ("normalisation", "body", "head")
    }  # fmt: skip
    first, body, last = by_role.values()
    if not body:
        return None
    middle = _arrow(Scope("normalised" if first else "input", "features" if last else "output"), body)
    arrows = [middle]
    if first:
        arrows.insert(0, _arrow(Scope("pixels", "normalised"), first))
    if last:
        pairs = Bound(head.largest_pair_bound(), "the largest of any two logits' difference") if head else None
        arrows.append(_arrow(Scope("features", "logits"), last, pairs))
    ends = Scope(arrows[0].scope.start, arrows[-1].scope.end)
    return Chain(tuple(arrows), middle, _arrow(ends, [*first, *body, *last]))


def _arrow(scope: Scope, layers: Sequence[LayerReport], pairs: Bound | None = None) -> Arrow:
    """The product of the layers' bounds; without one where a layer has none, which is named."""
    return Arrow(scope, product_of(layers), len(layers), pairs)


def product_of(layers: Sequence[LayerReport]) -> Bound:
    """The product of the layers' bounds, rounded up; not proved when one is not, which is named."""
    for layer in layers:
        if not layer.bound.proved:
            return Bound.unproved(f"layer {layer.name}: {layer.bound.reason}")
    product = product_up([layer.bound.value for layer in layers])
    if not math.isfinite(product):
        largest = max(layers, key=lambda layer: layer.bound.value)
        return Bound.unproved(f"layer {largest.name}: its bound overflows float64")
    return Bound(product, f"product of {len(layers)} layers")
