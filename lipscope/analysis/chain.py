"""The constants along a network: pixels -> normalised -> features -> logits, from the reports of its layers."""

from __future__ import annotations

from collections.abc import Sequence

from lipscope.layers.heads import Head, Outputs
from lipscope.layers.reshape import Flatten
from lipscope.models.composition import chain_of
from lipscope.records import Arrow, Bound, Chain, LayerReport, Place, Scope


def chain_of_reports(layers: Sequence[LayerReport], head: Head | None = None) -> Chain | None:
    """The network from end to end.

    Args:
        layers: reports with bounds, in forward order.
        head: of the network, for the constants of its pairs.

    Returns:
        None where there is no body: the file does not say how its tensors are connected.
    """
    first, body, last = parts_of(layers)
    if not body:
        return None
    end: Place = "features" if last else "logits" if any(layer.role == "head" for layer in body) else "output"
    middle = _arrow(Scope("normalised" if first else "input", end), body)
    arrows = [middle]
    if first:
        arrows.insert(0, _arrow(Scope("pixels", "normalised"), first))
    if last:
        pairs = Bound(head.largest_pair_bound(), "the largest of any two logits' difference") if head else None
        arrows.append(_arrow(Scope("features", "logits"), last, pairs))
    ends = Scope(arrows[0].scope.start, arrows[-1].scope.end)
    return Chain(tuple(arrows), middle, _arrow(ends, [*first, *body, *last]))


def parts_of(layers: Sequence[LayerReport]) -> tuple[list[LayerReport], list[LayerReport], list[LayerReport]]:
    """Normalisation, body and head.

    A head that only names the outputs is none; and behind nothing but a change of shape, a linear layer is the body: a
    constant of no layer at all would be a proof of nothing.
    """
    first = [layer for layer in layers if layer.role == "normalisation"]
    body = [layer for layer in layers if layer.role == "body"]
    last = [layer for layer in layers if layer.role == "head" and layer.kind != Outputs.kind]
    return (first, body, last) if any(layer.kind != Flatten.kind for layer in body) else (first, [*body, *last], [])


def _arrow(scope: Scope, layers: Sequence[LayerReport], pairs: Bound | None = None) -> Arrow:
    """The product of the layers' bounds; without one where a layer has none, which is named."""
    return Arrow(scope, chain_of((layer.name, layer.bound) for layer in layers), len(layers), pairs)
