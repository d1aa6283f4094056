"""The verdict: what the bounds prove of the network, or which layer breaks the claim."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lipscope.bounds.rounding import product_up
from lipscope.records import VERDICT_TOLERANCE, LayerReport, Verdict, round_up


def verdict(
    layers: Sequence[LayerReport], gains: Iterable[tuple[str, float]] = (), network_gain: float | None = None
) -> Verdict:
    """Judge the body: the layers between the input normalisation and the head.

    Args:
        layers: reports with bounds, in forward order.
        gains: (layer, ratio ||W v|| / ||v|| exhibited by a vector), as far as measured; for networks whose every
            layer is claimed 1-Lipschitz.
        network_gain: the ratio that a pair of inputs of the whole body exhibits, where one was looked for; one beyond
            the proved product is rounding alone (a huge bias that the next one cancels), and refutes nothing.

    Returns:
        ``violated`` when a vector exhibits an expanding layer, or a pair of inputs an expanding network; else
        ``not-proved`` when any layer lacks a bound or the product overflows; else ``proved`` with the product of the
        bounds, which may exceed 1.
    """
    body = [layer for layer in layers if layer.role == "body"]
    if not body:
        return Verdict("not-proved", None, "the file does not say how its tensors are connected")
    for name, gain in gains:
        if gain > 1 + VERDICT_TOLERANCE:
            return Verdict("violated", gain, f"layer {name}: a vector gives {gain:.6g}", name)
    if network_gain is not None and 1 + NETWORK_TOLERANCE < network_gain <= _possible(body):
        return Verdict("violated", network_gain, _network_reason(body, network_gain))
    for layer in body:
        if not layer.bound.proved:
            return Verdict("not-proved", None, f"layer {layer.name}: {layer.bound.reason}", layer.name)
    product = product_up([layer.bound.value for layer in body])
    loosest = max(body, key=lambda layer: layer.bound.value)
    if not math.isfinite(product):
        return Verdict("not-proved", None, f"layer {loosest.name}: its bound overflows float64", loosest.name)
    reason = f"product of {len(body)} layers"
    if product > 1 + VERDICT_TOLERANCE:
        reason += f"; the largest is {loosest.name} with {round_up(loosest.bound.value)}"
    return Verdict("proved", product, reason)


NETWORK_TOLERANCE = 1e-6
"""How far above 1 the ratio of two inputs of a network must lie: a difference of rounded outputs shows less."""


def _possible(body: Sequence[LayerReport]) -> float:
    """The largest ratio that rounded outputs of two inputs can show while the proved bounds hold."""
    if not all(layer.bound.proved for layer in body):
        return math.inf
    return product_up([layer.bound.value for layer in body]) * (1 + NETWORK_TOLERANCE)


def _network_reason(body: Sequence[LayerReport], gain: float) -> str:
    """What the pair shows, and what is proved all the same."""
    reason = f"the whole network: a pair of inputs gives {gain:.6g}"
    if all(layer.bound.proved for layer in body):
        product = product_up([layer.bound.value for layer in body])
        if math.isfinite(product):
            reason += f"; L <= {round_up(product)} is proved"
    return reason
