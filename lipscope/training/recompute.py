"""Features that keep only what enters each block: the rest is computed again while gradients go back.

Chen et al., *Training deep nets with sublinear memory cost*, 2016, by ``torch.utils.checkpoint``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lipscope.layers.contract import Trainable
from lipscope.models.composition import LipschitzNet


def recomputed_features(net: LipschitzNet, x: Tensor) -> Tensor:
    """``net.features(x)``, in parts that each begin with a layer that has a parametrisation."""
    parts: list[list[nn.Module]] = []
    for _, layer in net.body():
        if isinstance(layer, Trainable) or not parts:
            parts.append([])
        parts[-1].append(layer)
    x = net.normalize(x)
    for part in parts:
        x = _recomputed(nn.Sequential(*part), x)
    return x


def _recomputed(part: nn.Module, x: Tensor) -> Tensor:
    """part(x), of which the gradients need x alone."""
    state = [*part.buffers(), *(each for each in part.parameters() if not each.requires_grad)]
    before = [each.clone() for each in state]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _held_at(state, before)

    result: Tensor = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return result


@contextmanager
def _held_at(state: list[Tensor], before: list[Tensor]) -> Iterator[None]:
    """Power iterations and running statistics go on with every pass: the second starts where the first did."""
    after = [each.clone() for each in state]
    _copy(before, state)
    try:
        yield
    finally:
        _copy(after, state)


def _copy(values: list[Tensor], state: list[Tensor]) -> None:
    for each, value in zip(state, values, strict=True):
        each.detach().copy_(value)
