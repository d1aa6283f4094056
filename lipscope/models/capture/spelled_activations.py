"""Activations that are spelled as several operations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from lipscope.layers.elementwise import Elementwise, LeakyReLU, gelu, hardswish, silu, softsign
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.layers.rearrange import ChannelShuffle, Permute
from lipscope.models.capture.graph import Op
from lipscope.models.capture.region import Region
from lipscope.models.capture.steps import Steps


def sorting(region: Region, steps: Steps) -> bool:
    """MaxMin and GroupSort in any spelling, among the channels or along another axis."""
    source, result = region.source, region.ops[-1]
    if source.shape != result.shape:
        return False
    return any(_sorting_along(axis, region, steps) for axis in range(len(source.shape)))


def _sorting_along(axis: int, region: Region, steps: Steps) -> bool:
    source, shape = region.source, region.source.shape
    order = [axis, *(other for other in range(len(shape)) if other != axis)]
    turned, back = tuple(shape[place] for place in order), [order.index(place) for place in range(len(order))]
    places = shape[axis]
    for size in (g for g in range(2, places + 1) if places % g == 0):
        for adjacent, ascending in itertools.product((False, True) if size < places else (False,), (False, True)):
            layer = (
                MaxMin(adjacent=adjacent, ascending=ascending)
                if size == 2
                else GroupSort(size, adjacent=adjacent, ascending=ascending)
            )
            # Neighbours are often sorted and given by rank: all maxima first.
            for groups in dict.fromkeys((1, size, places // size)):
                if not region.is_same(
                    torch.nn.Sequential(Permute(tuple(order)), layer, ChannelShuffle(groups), Permute(tuple(back)))
                ):
                    continue
                steps.add("permute", turned, of=(source,), order=order)
                steps.add(
                    "max_min" if size == 2 else "group_sort", turned, group_size=None if size == 2 else size,
                    adjacent=adjacent or None, ascending=ascending or None,
                )  # fmt: skip
                if groups > 1:
                    steps.add("channel_shuffle", turned, groups=groups)
                steps.add("permute", shape, order=back)
                return True
    return False


def concatenated_relu(region: Region, steps: Steps) -> bool:
    """(relu(x), relu(-x)) = (max(x, 0), -min(x, 0)): MaxMin of each number with a zero."""
    source, result = region.source, region.ops[-1]
    if result.shape != (2 * source.shape[0], *source.shape[1:]):
        return False
    if not region.is_same(lambda x: torch.cat([x.relu(), (-x).relu()], 1)):
        return False
    sides = [[0, source.shape[0]], *([0, 0] for _ in source.shape[1:])]
    signs = torch.ones(result.shape[0], *([1] * (len(source.shape) - 1)), dtype=torch.float64)
    signs[source.shape[0] :] = -1.0
    steps.add("pad", result.shape, of=(source,), padding=sides, padding_mode="zeros")
    steps.add("max_min", result.shape)
    steps.add("scale_shift", result.shape, tensors={"scale": signs})
    return True


CURVES: tuple[tuple[str, dict[str, Any], Callable[[], Elementwise]], ...] = (
    ("silu", {}, silu),
    ("softsign", {}, softsign),
    ("gelu", {"approximate": "none"}, lambda: gelu("none")),
    ("gelu", {"approximate": "tanh"}, lambda: gelu("tanh")),
    ("hardswish", {}, hardswish),
)
"""Activations that are written out as products and quotients of the input with a function of it."""


def curve(region: Region, steps: Steps) -> bool:
    """A smooth activation written out."""
    for kind, keys, make in CURVES:
        if region.is_same(make()):
            steps.add(kind, region.ops[-1].shape, of=(region.source,), keys=keys)
            return True
    return False


def slopes(region: Region, steps: Steps) -> bool:
    """ReLU, leaky ReLU and the absolute value written out: one slope below 0, the slope 1 above."""
    found = region.tried(-torch.ones(2, *region.source.shape))
    below = math.nan if found is None else float(found.flatten()[0])
    if not region.is_same(LeakyReLU(-below)):
        return False
    kind, keys = {0.0: ("relu", {}), 1.0: ("absolute", {})}.get(below, ("leaky_relu", {"negative_slope": -below}))
    steps.add(kind, region.ops[-1].shape, of=(region.source,), keys=keys)
    return True


def householder(region: Region, steps: Steps) -> bool:
    """The Householder activation of order 1: its angles by where it moves four vectors, then compared."""
    source, result = region.source, region.ops[-1]
    if source.shape != result.shape or source.shape[0] % 2:
        return False
    pairs = source.shape[0] // 2
    normal = torch.zeros(2, pairs, dtype=torch.float64)
    for vector in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)):
        # Where p is reflected in the line with the unit normal n, p - f(p) = 2 (n.p) n, and n.p > 0.
        probe = torch.tensor(vector, dtype=torch.float64).repeat_interleave(pairs)
        probe = probe.reshape(1, -1, *([1] * (len(source.shape) - 1))).expand(2, *source.shape)
        image = region.tried(probe)
        if image is None or image.shape != probe.shape:
            return False
        moved = (probe - image)[0].reshape(2, pairs, -1)[:, :, 0]
        normal = torch.where(moved.norm(dim=0) > normal.norm(dim=0), moved, normal)
    layer = HouseHolder1(2 * pairs)
    angles = 2 * torch.atan2(normal[0], -normal[1])  # n = (sin(theta / 2), -cos(theta / 2))
    layer.theta = torch.nn.Parameter(angles, requires_grad=False)
    if not region.is_same(layer):
        return False
    steps.add("householder", result.shape, of=(source,), tensors={"theta": angles})
    return True


def householder_of_order_2(region: Region, steps: Steps) -> bool:
    """The Householder activation of order 2: its angles stand in the graph, as the turn and the ends of the sectors."""
    source, result = region.source, region.ops[-1]
    turns = [op for op in region.ops if op.base == "sub" and any(one.base == "atan2" for one in op.inputs)]
    ends = [op.given["other"] for op in region.ops if op.base == "lt"]
    if source.shape != result.shape or source.shape[0] % 2 or len(turns) != 1 or len(ends) < 2:
        return False
    pairs = source.shape[0] // 2
    fixed = [torch.as_tensor(value).double().flatten() for value in (turns[0].given["other"], *ends)
             if not isinstance(value, Op)]  # fmt: skip
    if len(fixed) != 1 + len(ends) or any(value.numel() not in (1, pairs) for value in fixed):
        return False
    turn, *sectors = (value.expand(pairs) for value in fixed)
    first, second = torch.stack(sectors).sort(dim=0).values[:2]
    angles = {"theta0": 2 * turn, "theta1": 2 * first, "theta2": 2 * (second - first)}
    layer = HouseHolder2(2 * pairs)
    for name, value in angles.items():
        setattr(layer, name, torch.nn.Parameter(value, requires_grad=False))
    if not region.is_same(layer):
        return False
    steps.add("householder", result.shape, of=(source,), tensors=angles, order=2)
    return True
