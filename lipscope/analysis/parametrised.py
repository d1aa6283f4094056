"""Weights that a layer computes from several stored tensors: what it computes in eval mode, with a bound on rounding.

- weight norm: w = g v / ||v||, the length over all axes but one (``weight_g``, ``weight_v``; since torch 2.0
  ``parametrizations.weight.original0`` and ``original1``);
- spectral norm: w = v / (a^T V b), V being v as a matrix and a, b the stored vectors (``weight_orig``, ``weight_u``,
  ``weight_v``; ``parametrizations.weight.original``, ``0._u``, ``0._v``);
- pruning: w = v m, the mask m of zeros and ones (``weight_orig``, ``weight_mask``);
- scaling: w = v s, v in eight bits (:mod:`lipscope.models.scales`).

Other parametrisations have no name in a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.bounds.matrix import normalized
from lipscope.bounds.rounding import down, gamma, up
from lipscope.files.checkpoint import TensorInfo
from lipscope.models.scales import Scales, scales_of

MODERN = re.compile(r"((?:.*\.)?parametrizations\.[^.]+)\.(.+)", re.DOTALL)
"""The parametrised weight, and what belongs to it."""

OLDER = re.compile(r"(.+?)((?:_(?:orig|mask|[guv]))+)", re.DOTALL)
"""The same before torch 2.0: two ways on one weight leave one ending behind the other."""

UNKNOWN = "the layer computes its weight from this tensor by a parametrisation that the file does not name"

TINY = 2.0**-1000
"""More than everything that underflows beside numbers of size 1."""


@dataclass(frozen=True)
class Effective:
    """What a layer computes from its stored tensors.

    Args:
        weight: float64, up to rounding; before it is divided.
        error: a bound on the l2 norm of what rounding changed in it, all numbers together.
        divisor: that all of it is divided by, a lower bound; 1 where nothing is.
    """

    weight: Tensor
    error: float
    divisor: float


@dataclass(frozen=True)
class Parametrised:
    """Tensors that make up one weight.

    Args:
        how: in words, ``"weight norm"``.
        carrier: the tensor with the shape of the weight, whose row speaks of the weight.
        others: the names of the other tensors.
        compute: from the carrier and the others, in float64; a reason where there is no such weight.
        scales: of a scaled weight, which need not be read whole.
    """

    how: str
    carrier: str
    others: tuple[str, ...]
    compute: Callable[..., Effective | str]
    scales: Scales | None = None


def parametrised(tensors: Mapping[str, TensorInfo]) -> dict[str, Parametrised | str]:
    """By the names of all tensors that are no weights themselves: what they make up, or why that cannot be told."""
    inside: dict[str, set[str]] = {}
    for name in tensors:
        if part := MODERN.fullmatch(name) or OLDER.fullmatch(name):
            inside.setdefault(part[1], set()).add(part[2])
    found: dict[str, Parametrised | str] = {}
    for name in tensors:
        whole = _whole_of(name, tensors, inside)
        if isinstance(whole, Parametrised):
            found.update(dict.fromkeys((whole.carrier, *whole.others), whole))
        elif whole is not None:
            found.setdefault(name, whole)
    return found


def _whole_of(
    name: str, tensors: Mapping[str, TensorInfo], inside: Mapping[str, set[str]]
) -> Parametrised | str | None:
    """What the tensor is the carrier of; why nothing is known of it; None for a weight by itself."""
    if modern := MODERN.fullmatch(name):
        base, parts = modern[1], inside[modern[1]]
        if parts == {"original0", "original1"} and _is_length(tensors, f"{base}.original0", f"{base}.original1"):
            return Parametrised("weight norm", f"{base}.original1", (f"{base}.original0",), weight_norm)
        if parts == {"original", "0._u", "0._v"}:
            return Parametrised("spectral norm", f"{base}.original", (f"{base}.0._u", f"{base}.0._v"), spectral_norm)
        return UNKNOWN
    if (older := OLDER.fullmatch(name)) and _twice(inside[older[1]]):
        return UNKNOWN
    if name.endswith("_v") and (lengths := name[:-2] + "_g") in tensors:
        fits = _is_length(tensors, lengths, name)
        return Parametrised("weight norm", name, (lengths,), weight_norm) if fits else UNKNOWN
    if name.endswith("_orig"):
        base = name.removesuffix("_orig")
        if {f"{base}_u", f"{base}_v"} <= tensors.keys():
            return Parametrised("spectral norm", name, (f"{base}_u", f"{base}_v"), spectral_norm)
        if f"{base}_mask" in tensors:
            return Parametrised("pruning", name, (f"{base}_mask",), pruned)
        return UNKNOWN
    scales = scales_of(tensors, tensors[name])
    if not isinstance(scales, Scales):
        return scales
    return Parametrised(
        "scaling",
        name,
        (scales.name,),
        lambda weight, values: Effective(scales.applied(weight, values), 0.0, 1.0),
        scales,
    )


def _twice(endings: set[str]) -> bool:
    """Whether a weight is computed from tensors of which one is computed itself, as a pruned ``weight_v`` is."""
    before = {ending.rpartition("_")[0] for ending in endings}
    return len(before) > 1 and any(ending.rfind("_orig") > 0 for ending in endings)


def _is_length(tensors: Mapping[str, TensorInfo], lengths: str, directions: str) -> bool:
    """Whether there is one length for each slice of the directions along one axis, or one for all of them."""
    if lengths not in tensors or directions not in tensors:
        return False
    small, large = tensors[lengths].shape, tensors[directions].shape
    if len(large) < 2:
        return False
    return small == () or _axis(small, large) is not None


def _axis(small: tuple[int, ...], large: tuple[int, ...]) -> int | None:
    """The axis that is kept; the first, as is usual, where every axis could be it."""
    if len(small) != len(large):
        return None
    fits = [
        axis
        for axis in range(len(large))
        if small[axis] == large[axis] and all(n == 1 for k, n in enumerate(small) if k != axis)
    ]
    return fits[0] if fits else None


def weight_norm(directions: Tensor, lengths: Tensor) -> Effective | str:
    """G v / ||v||: each row divided by a power of two first, so that no square over- or underflows."""
    axis = _axis(tuple(lengths.shape), tuple(directions.shape))
    rows = directions.reshape(1, -1) if axis is None else directions.movedim(axis, 0).flatten(1)
    largest = rows.abs().amax(dim=1)
    if not bool((largest > 0).all()):
        return "a row of the directions is 0, and the layer divides by its length"
    exponents = torch.frexp(largest).exponent.to(torch.float64)
    # In two steps: 2^-e itself may lie outside float64.
    half = torch.floor(-exponents / 2)
    scaled = rows * torch.exp2(half).unsqueeze(1) * torch.exp2(-exponents - half).unsqueeze(1)
    norms = torch.linalg.vector_norm(scaled, dim=1)
    weight = scaled * (lengths.reshape(-1) / norms).unsqueeze(1)
    if not bool(torch.isfinite(weight).all()):
        return "the weight overflows float64"
    # A root of a sum of squares, a quotient and a product; and what underflowed.
    lost = TINY * math.sqrt(weight.numel()) * (1 + float(lengths.abs().max()))
    error = up(_length(weight) * 2 * gamma(rows.shape[1] + 16) + lost, 4)
    if axis is not None:
        weight = weight.reshape(directions.movedim(axis, 0).shape).movedim(0, axis)
    return Effective(weight.reshape(directions.shape), error, 1.0)


def spectral_norm(weight: Tensor, left: Tensor, right: Tensor) -> Effective | str:
    """V / (a^T V b), with the axis in front that the vectors fit; the least divisor where several fit."""
    divisors = []
    for axis in range(weight.ndim):
        matrix = weight.movedim(axis, 0).flatten(1)
        if (tuple(left.shape), tuple(right.shape)) == (matrix.shape[:1], matrix.shape[1:]):
            divisors.append(_bilinear(matrix, left, right))
    if not divisors:
        return "its vectors do not fit its weight"
    divisor = min(divisors)
    return Effective(weight, 0.0, divisor) if divisor > 0 else "the layer divides by 0, up to rounding"


def _bilinear(matrix: Tensor, left: Tensor, right: Tensor) -> float:
    """A lower bound on |a^T V b|."""
    parts = [normalized(values) for values in (matrix, left, right)]
    exponents = [exponent for _, exponent in parts if exponent is not None]
    if len(exponents) < len(parts):
        return 0.0
    (v, _), (a, _), (b, _) = parts
    absolute = float(a.abs() @ (v.abs() @ b.abs()))
    error = up(absolute * 2 * gamma(v.numel() + 16) + TINY * v.numel(), 4)
    left_over = down(abs(float(a @ (v @ b))) - error)
    try:
        return down(math.ldexp(left_over, sum(exponents))) if left_over > 0 else 0.0
    except OverflowError:
        return 0.0


def pruned(weight: Tensor, mask: Tensor) -> Effective | str:
    """V m, which is exact for a mask of zeros and ones."""
    if mask.shape != weight.shape or not bool(((mask == 0) | (mask == 1)).all()):
        return "its mask does not fit, or does not consist of zeros and ones"
    return Effective(weight * mask, 0.0, 1.0)


def _length(values: Tensor) -> float:
    """An upper bound on the l2 norm of numbers that are finite."""
    scaled, exponent = normalized(values)
    assert exponent is not None
    length = float(torch.linalg.vector_norm(scaled)) * (1 + gamma(values.numel() + 8))
    return up(math.ldexp(up(length), exponent)) + TINY
