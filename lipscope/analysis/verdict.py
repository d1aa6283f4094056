"""The verdict: what the bounds prove of the network, or which layer breaks the claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lipscope.analysis.chain import chain_of_reports, parts_of
from lipscope.records import VERDICT_TOLERANCE, Arrow, LayerReport, Verdict, allowed, round_down, round_up

UNCONNECTED = "the file does not say how its tensors are connected"


def verdict(
    layers: Sequence[LayerReport],
    gains: Iterable[tuple[str, float]] = (),
    network_gain: float | None = None,
    *,
    searching: bool = False,
) -> Verdict:
    """Judge the body: the layers between the input normalisation and the head.

    Args:
        layers: reports with bounds, in forward order.
        gains: (layer, proved lower bound on ||W v|| / ||v|| of some vector), as far as measured; for networks whose
            every layer is claimed 1-Lipschitz.
        network_gain: a proved lower bound on the ratio that a pair of inputs of the whole body exhibits, where one was
            looked for.
        searching: whether such vectors are still searched for.

    Returns:
        ``violated`` when a vector exhibits an expanding layer, or a pair of inputs an expanding network; else
        ``not-proved`` when any layer lacks a bound or the product overflows; else ``proved`` or ``bounded`` with the
        product of the bounds, as that exceeds 1 or not.
    """
    chain = chain_of_reports(layers)
    if chain is None:
        return Verdict("not-proved", None, UNCONNECTED)
    scope = chain.body.scope
    for name, gain in gains:
        if gain > 1 + VERDICT_TOLERANCE:
            return Verdict(
                "violated", gain, f"a vector gives {round_down(gain)}{_all_the_same(chain.body)}", name, scope
            )
    if network_gain is not None and network_gain > 1 + VERDICT_TOLERANCE:
        return Verdict(
            "violated", network_gain, f"a pair of inputs gives {round_down(network_gain)}{_all_the_same(chain.body)}",
            scope=scope,
        )  # fmt: skip
    return replace(_by_the_bounds(chain.body, layers), searching=searching)


def _by_the_bounds(part: Arrow, layers: Sequence[LayerReport]) -> Verdict:
    """What the bounds alone say of the body."""
    _, body, _ = parts_of(layers)
    largest = max(body, key=lambda layer: layer.bound.value)
    if not part.bound.proved:
        deciding = next((layer for layer in body if not layer.bound.proved), largest)
        return Verdict("not-proved", None, part.bound.reason, deciding.name, part.scope)
    if part.bound.value <= allowed(1):
        return Verdict("proved", part.bound.value, part.bound.method, scope=part.scope)
    reason = f"{part.bound.method}; the largest is {largest.name} with {round_up(largest.bound.value)}"
    return Verdict("bounded", part.bound.value, reason, scope=part.scope)


def _all_the_same(body: Arrow) -> str:
    """What is proved of the body in spite of a violation."""
    return f"; L <= {round_up(body.bound.value)} is proved {body.scope}" if body.bound.proved else ""
