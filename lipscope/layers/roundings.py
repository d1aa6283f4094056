"""Rounding errors that several layers share: of a sum of products with a bias, of a mean, of layers in a chain."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.contract import UNBOUNDED, LipschitzLayer, Rounding
from lipscope.records import Shape


def affine_rounding(
    lipschitz: float,
    absolute: float,
    terms: int,
    bias: Tensor | None,
    places: int,
    outputs: int,
    norm: float,
    arithmetic: Arithmetic,
) -> Rounding:
    """Of M x + b, every output a sum of products and its b in some order: gamma_(m+3) |M| |x| + gamma_(m+3) |b|.

    One operation more than those of the sum covers weights that are stored in float64 and rounded to the arithmetic.

    Args:
        lipschitz: a bound on ||M||.
        absolute: a bound on || |M| ||, the matrix of absolute values.
        terms: products in one output at most, m.
        bias: (channels,), or None.
        places: outputs that share one number of the bias.
        outputs: their number in all.
        norm: of the input.
        arithmetic: that it is computed in.
    """
    offset = 0.0 if bias is None else outward(length_bound(bias) * math.sqrt(places))
    error = arithmetic.products(terms + 2, absolute, norm, outputs) + arithmetic.gamma(terms + 3) * offset
    error = arithmetic.held(outward(error), outward(2 * (absolute * norm + offset)))
    return Rounding(error, arithmetic.held(outward(lipschitz * norm + offset + error)))


def mean_rounding(lipschitz: float, window: int, outputs: int, norm: float, arithmetic: Arithmetic) -> Rounding:
    """Of means over ``window`` numbers, summed in some order and then divided: gamma_(k+1) mean(|x|).

    Args:
        lipschitz: a bound on the norm of the means, whose matrix has no negative entries.
        window: k.
        outputs: their number.
        norm: of the input.
        arithmetic: that it is computed in.
    """
    flushed = arithmetic.smallest * (window + 2) * 2 * math.sqrt(outputs)
    error = arithmetic.held(outward(arithmetic.gamma(window + 1) * lipschitz * norm + flushed), window * norm)
    return Rounding(error, arithmetic.held(outward(lipschitz * norm + error)))


def chain_rounding(parts: Iterable[tuple[LipschitzLayer, Shape]], norm: float, arithmetic: Arithmetic) -> Rounding:
    """Of layers one after the other, none for the identity: E <- L E + error (docs/soundness.md, theorem 2).

    Args:
        parts: each layer with the shape that it takes.
        norm: of the input.
        arithmetic: that it is computed in.
    """
    total = 0.0
    for layer, shape in parts:
        bound, rounding = layer.bound(shape), layer.rounding(shape, norm, arithmetic)
        if not bound.proved:
            return UNBOUNDED
        if total:
            total = outward(bound.value * total)
        total = outward(total + rounding.error) if rounding.error else total
        norm = rounding.norm
    return Rounding(total, norm)
