"""Layers that are spelled as several operations: found by their operations, told apart by what they compute.

From an operation backwards the region grows, as long as its operations are of the kinds of a pattern, until it has one
source. The region is then evaluated on random numbers, in float64, and the layer that computes the same is taken: that
covers every spelling. Whether the whole file computes what the network does is tested apart, in the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipscope.layers.centering import Centering
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import Elementwise, LeakyReLU, gelu, hardswish, silu, softsign
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.layers.linear import Linear
from lipscope.layers.padding import Pad
from lipscope.layers.pooling import L2Pool2d
from lipscope.layers.potential_step import PotentialStep
from lipscope.layers.rearrange import ChannelShuffle, Take
from lipscope.layers.taylor import taylor_exponential
from lipscope.models.capture.graph import Op
from lipscope.models.capture.operations import IDENTITIES
from lipscope.models.capture.steps import Step, Steps

LARGEST_REGION = 80
"""Operations in one layer."""

SAME = 1e-6
"""Relative difference up to which two evaluations are of one function: angles and factors may be known in float32."""

SIZES = tuple(10.0**power for power in (0, 2, -3, -1, 1, 3, 4, 6, 9, 12))
"""Of the numbers on which functions are compared, each drawn anew: what is cut off at a number shows only beyond it."""

MOVES = frozenset({
    "getitem", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "slice", "select", "narrow", "cat",
    "stack", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim",
    "index_select", "index", "channel_shuffle", "native_channel_shuffle", *IDENTITIES,
})  # fmt: skip
"""Operations that move numbers."""


@dataclass(frozen=True)
class Region:
    """Operations between one source and one result.

    Args:
        source: outside the region.
        ops: in forward order; the last is the result.
    """

    source: Op
    ops: tuple[Op, ...]

    def compute(self, x: Tensor) -> Tensor:
        """The result for values of the source."""
        values: dict[Op, Any] = {self.source: x.clone()}  # some operations change it in place
        for op in self.ops:
            values[op] = op.compute(values)
        result: Tensor = values[self.ops[-1]]
        return result

    def tried(self, x: Tensor) -> Tensor | None:
        """The result in float64; None where the operations cannot take the values."""
        try:
            return self.compute(x.double())
        except (RuntimeError, ValueError, IndexError):
            return None

    def is_same(self, function: Callable[[Tensor], Tensor]) -> bool:
        """Whether it computes a function, as far as images of random numbers tell, from small ones to large ones."""
        generator = torch.Generator().manual_seed(0)
        for size in SIZES:
            numbers = size * torch.randn(2, *self.source.shape, generator=generator, dtype=torch.float64)
            try:
                found, wanted = self.compute(numbers), function(numbers)
            except (RuntimeError, ValueError, IndexError):
                return False
            if found.shape != wanted.shape:
                return False
            if not float((found - wanted).abs().max()) <= SAME * max(size, float(wanted.abs().max())):
                return False
        return True


def regions(op: Op, kinds: frozenset[str]) -> Iterator[Region]:
    """Regions of these kinds of operations that end in ``op``, from the smallest on."""
    inside: set[Op] = set()
    frontier = {op}
    while frontier and len(inside) < LARGEST_REGION:
        # The latest has no user left outside the region.
        latest = max(frontier, key=lambda one: one.place)
        if latest.base not in kinds:
            return
        frontier.remove(latest)
        inside.add(latest)
        frontier.update(latest.inputs)
        if len(frontier) == 1:
            (source,) = frontier
            if any(one.base == "getitem" and one.inputs == (source,) for one in inside):
                continue  # several values, not one
            yield Region(source, tuple(sorted(inside, key=lambda one: one.place)))


@dataclass(frozen=True)
class Pattern:
    """A layer of several operations.

    Args:
        kinds: of the operations that it may be spelled with.
        needs: one of these is among them.
        ends: kinds of its last operation.
        match: adds the step and returns true where the region is the layer.
    """

    kinds: frozenset[str]
    needs: frozenset[str]
    ends: frozenset[str]
    match: Callable[[Region, Steps], bool]


def matched(op: Op) -> list[Step] | None:
    """The steps of the layer that ends in this operation; None where it is no pattern's."""
    for pattern in PATTERNS:
        if op.base not in pattern.ends:
            continue
        for region in regions(op, pattern.kinds):
            if not any(one.base in pattern.needs for one in region.ops):
                continue
            steps = Steps(op)
            if pattern.match(region, steps):
                return steps.finish()
    return None


def _sorting(region: Region, steps: Steps) -> bool:
    """MaxMin and GroupSort in any spelling."""
    source, result = region.source, region.ops[-1]
    if source.shape != result.shape:
        return False
    channels = source.shape[0]
    for size in (g for g in range(2, channels + 1) if channels % g == 0):
        for adjacent in (False, True) if size < channels else (False,):
            for ascending in (False, True):
                layer = (
                    MaxMin(adjacent=adjacent, ascending=ascending)
                    if size == 2
                    else GroupSort(size, adjacent=adjacent, ascending=ascending)
                )
                # Neighbours are often sorted and given by rank: all maxima first.
                for groups in dict.fromkeys((1, size, channels // size)):
                    if not region.is_same(torch.nn.Sequential(layer, ChannelShuffle(groups))):
                        continue
                    steps.add(
                        "max_min" if size == 2 else "group_sort", result.shape, of=(source,),
                        group_size=None if size == 2 else size, adjacent=adjacent or None, ascending=ascending or None,
                    )  # fmt: skip
                    if groups > 1:
                        steps.add("channel_shuffle", result.shape, groups=groups)
                    return True
    return False


CURVES: tuple[tuple[str, dict[str, Any], Callable[[], Elementwise]], ...] = (
    ("silu", {}, silu),
    ("softsign", {}, softsign),
    ("gelu", {"approximate": "none"}, lambda: gelu("none")),
    ("gelu", {"approximate": "tanh"}, lambda: gelu("tanh")),
    ("hardswish", {}, hardswish),
)
"""Activations that are written out as products and quotients of the input with a function of it."""


def _curve(region: Region, steps: Steps) -> bool:
    """A smooth activation written out."""
    for kind, keys, make in CURVES:
        if region.is_same(make()):
            steps.add(kind, region.ops[-1].shape, of=(region.source,), keys=keys)
            return True
    return False


def _slopes(region: Region, steps: Steps) -> bool:
    """ReLU, leaky ReLU and the absolute value written out: one slope below 0, the slope 1 above."""
    found = region.tried(-torch.ones(2, *region.source.shape))
    below = math.nan if found is None else float(found.flatten()[0])
    if not region.is_same(LeakyReLU(-below)):
        return False
    kind, keys = {0.0: ("relu", {}), 1.0: ("absolute", {})}.get(below, ("leaky_relu", {"negative_slope": -below}))
    steps.add(kind, region.ops[-1].shape, of=(region.source,), keys=keys)
    return True


def _householder(region: Region, steps: Steps) -> bool:
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


def _householder_of_order_2(region: Region, steps: Steps) -> bool:
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


def _copies(region: Region, steps: Steps) -> bool:
    """Padding by copies of pixels along one axis, put together by hand."""
    source, result = region.source, region.ops[-1]
    numbers = torch.arange(1.0, 1 + 2 * math.prod(source.shape), dtype=torch.float64).reshape(2, *source.shape)
    longer = [axis for axis, (n, m) in enumerate(zip(source.shape, result.shape, strict=False)) if m > n]
    if len(source.shape) != len(result.shape) or len(longer) != 1 or longer[0] == 0:
        return False
    more = result.shape[longer[0]] - source.shape[longer[0]]
    for before, mode in itertools.product(range(more + 1), ("circular", "reflect", "replicate")):
        sides = [[0, 0] for _ in source.shape[longer[0] :]]
        sides[0] = [before, more - before]
        layer = Pad(tuple((first, last) for first, last in sides), mode)
        try:
            same = torch.equal(layer(numbers), region.compute(numbers))
        except (RuntimeError, ValueError, IndexError):
            continue
        if same and region.is_same(layer):
            steps.add("pad", result.shape, of=(source,), padding=sides, padding_mode=mode)
            return True
    return False


def _taken(region: Region, steps: Steps) -> bool:
    """Places of one axis put together by hand, as in a shuffle of channels by strided slices."""
    source, result = region.source, region.ops[-1]
    if len(source.shape) != len(result.shape):
        return False
    numbers = torch.arange(1.0, 1 + math.prod(source.shape), dtype=torch.float64).expand(2, -1)
    numbers = numbers.reshape(2, *source.shape)
    moved = region.tried(numbers)
    if moved is None or moved.shape[1:] != result.shape:
        return False
    for axis in range(len(source.shape)):
        line = (0, *(slice(None) if other == axis else 0 for other in range(len(source.shape))))
        where = {number: place for place, number in enumerate(numbers[line].tolist())}
        places = [where.get(number, -1) for number in moved[line].tolist()]
        if min(places) >= 0 and region.is_same(Take(axis, tuple(places))):
            steps.add("take", result.shape, of=(source,), axis=axis, places=places)
            return True
    return False


def _centering(region: Region, steps: Steps) -> bool:
    """What is left of the mean over some axes."""
    axes = range(len(region.source.shape))
    for chosen in (some for count in axes for some in itertools.combinations(axes, count + 1)):
        if region.is_same(Centering(chosen)):
            steps.add("centering", region.ops[-1].shape, of=(region.source,), axes=list(chosen))
            return True
    return False


def _l2_pool(region: Region, steps: Steps) -> bool:
    """The root of an average of squares, times the numbers in a window."""
    pools = [op for op in region.ops if op.base == "avg_pool2d"]
    if len(pools) != 1 or len(region.source.shape) != 3:
        return False
    window = pools[0].given["kernel_size"]
    stride = pools[0].given["stride"] or window
    window, stride = (list(value) * (3 - len(value)) for value in (window, stride))
    layer = L2Pool2d((window[0], window[1]), (stride[0], stride[1]))
    if not region.is_same(layer):
        return False
    steps.add("l2_pool", region.ops[-1].shape, of=(region.source,), kernel_size=window, stride=stride)
    return True


def _taylor(region: Region, steps: Steps) -> bool:
    """sum_k A^k x / k! with one convolution A: a skew orthogonal convolution."""
    convolutions = [op for op in region.ops if op.base == "conv2d"]
    kernel = convolutions[0].given["weight"]
    if len(convolutions) < 2 or not isinstance(kernel, Tensor) or region.source.shape != region.ops[-1].shape:
        return False
    out, taken, height, width = kernel.shape
    if out != taken or height != width or height % 2 == 0:
        return False
    if not all(
        isinstance(op.given["weight"], Tensor) and torch.equal(op.given["weight"], kernel) for op in convolutions
    ):
        return False
    terms = len(convolutions)
    kernel = kernel.detach()
    if not region.is_same(lambda x: taylor_exponential(x, kernel.to(x.dtype), terms)):
        return False
    steps.add("soc", region.ops[-1].shape, of=(region.source,), tensors={"kernel": kernel}, terms=terms)
    return True


def _potential_step(region: Region, steps: Steps) -> bool:
    """X - K^T D relu(K x + b), D >= 0 diagonal, as SLL and CPL are: G = (D / 2)^(1/2) K, c = (D / 2)^(1/2) b."""
    first = [op for op in region.ops if op.base in ("conv2d", "linear") and op.inputs == (region.source,)]
    last = [op for op in region.ops if op.base in ("conv_transpose2d", "linear") and op not in first]
    if len(first) != 1 or len(last) != 1 or region.source.shape != region.ops[-1].shape:
        return False
    kernel, back, bias = first[0].given["weight"], last[0].given["weight"], first[0].given["bias"]
    if not isinstance(kernel, Tensor) or not isinstance(back, Tensor):
        return False
    back = back.mT if last[0].base == "linear" else back
    if back.shape != kernel.shape:
        return False
    rows = kernel.detach().double().flatten(1)
    diagonal = (back.detach().double().flatten(1) * rows).sum(1) / (rows * rows).sum(1).clamp_min(1e-300)
    offset = torch.zeros_like(diagonal) if bias is None else bias.detach().double()
    for op in region.ops:
        # Fixed factors make up D, fixed terms b; what that does not catch is found out when the two are compared.
        for value in (value for key, value in op.given.items() if key != "weight" and value is not bias):
            number = torch.as_tensor(value).double() if isinstance(value, Tensor | float | int) else None
            if number is None or isinstance(value, bool) or number.numel() not in (1, len(rows)):
                continue
            if op.base == "mul" or (op is region.ops[-1] and number.numel() == 1):
                diagonal = diagonal * number.flatten().abs()
            elif op.base == "div":
                diagonal = diagonal / number.flatten().abs()
            elif op.base == "add" and number.numel() == len(rows):
                offset = offset + number.flatten()
    root = (diagonal.clamp_min(0.0) / 2).sqrt()
    tensors = {"weight": rows.mul(root.unsqueeze(1)).reshape(kernel.shape), "bias": offset * root}
    keys: dict[str, Any] = {}
    if kernel.ndim == 4:
        padding, dilation = (list(first[0].given[key]) * 2 for key in ("padding", "dilation"))
        keys = {"padding": padding[:2], "dilation": dilation[:2], "groups": first[0].given["groups"]}
        inner: Conv2d | Linear = Conv2d(
            tensors["weight"], tensors["bias"], padding=(padding[0], padding[1]), dilation=(dilation[0], dilation[1]),
            groups=keys["groups"],
        )  # fmt: skip
    else:
        inner = Linear(tensors["weight"], tensors["bias"])
    if not region.is_same(PotentialStep(inner)):
        return False
    steps.add("potential_step", region.ops[-1].shape, of=(region.source,), tensors=tensors, keys=keys)
    return True


ELEMENTWISE = frozenset({
    "abs", "add", "sub", "mul", "div", "sigmoid", "tanh", "erf", "exp", "pow", "neg", "rsub", "reciprocal", "relu6",
    "clamp", "hardtanh", "hardsigmoid",
})  # fmt: skip

COMPARISONS = frozenset({"gt", "ge", "le", "lt"})

HALVING = frozenset({"relu", "abs", "clamp", "clamp_min", "clamp_max"})
"""Operations that tell the half plane that is reflected from the other."""

PATTERNS = (
    Pattern(
        ELEMENTWISE,
        frozenset({"abs", "sigmoid", "tanh", "erf", "exp", "relu6", "clamp", "hardtanh", "hardsigmoid"}),
        frozenset({"mul", "div"}),
        _curve,
    ),
    Pattern(
        COMPARISONS
        | {"where", "to", "_to_copy", "mul", "add", "sub", "neg", "relu", "zeros_like", "maximum", "minimum"},
        COMPARISONS | {"maximum", "minimum"},
        frozenset({"mul", "add", "sub", "where", "maximum", "minimum"}),
        _slopes,
    ),
    Pattern(
        MOVES | {"max", "min", "maximum", "minimum", "sort", "topk", "amax", "amin"},
        frozenset({"max", "min", "maximum", "minimum", "sort", "topk", "amax", "amin"}),
        frozenset({"cat", "stack", "view", "reshape", "flatten", "getitem", "permute", "transpose"}),
        _sorting,
    ),
    Pattern(
        MOVES
        | HALVING
        | COMPARISONS
        | {"mul", "div", "add", "sub", "neg", "where", "to", "rsub", "bitwise_not", "logical_not"},
        HALVING | COMPARISONS,
        frozenset({"cat", "stack", "view", "reshape", "flatten"}),
        _householder,
    ),
    Pattern(
        MOVES
        | COMPARISONS
        | {
            "atan2",
            "remainder",
            "mul",
            "add",
            "sub",
            "rsub",
            "neg",
            "where",
            "to",
            "_to_copy",
            "logical_and",
            "bitwise_and",
        },
        frozenset({"atan2"}),
        frozenset({"cat"}),
        _householder_of_order_2,
    ),
    Pattern(MOVES, frozenset({"cat"}), frozenset({"cat"}), _copies),
    Pattern(MOVES, frozenset({"cat"}), frozenset({"cat"}), _taken),
    Pattern(
        frozenset({"mean", "sum", "adaptive_avg_pool2d", "mul", "div", "neg", "add", "sub", "rsub", "expand"})
        | frozenset(IDENTITIES),
        frozenset({"mean", "sum", "adaptive_avg_pool2d"}),
        frozenset({"add", "sub", "rsub"}),
        _centering,
    ),
    Pattern(
        frozenset({"pow", "avg_pool2d", "sign", "abs", "relu", "mul", "sqrt", "square"}),
        frozenset({"avg_pool2d"}),
        frozenset({"pow", "sqrt"}),
        _l2_pool,
    ),
    Pattern(
        frozenset({"conv2d", "mul", "div", "add"}) | frozenset(IDENTITIES),
        frozenset({"conv2d"}),
        frozenset({"add"}),
        _taylor,
    ),
    Pattern(
        frozenset({"conv2d", "conv_transpose2d", "linear", "relu", "mul", "div", "add", "sub", "neg"})
        | frozenset(IDENTITIES),
        frozenset({"conv_transpose2d", "linear"}),
        frozenset({"sub", "add"}),
        _potential_step,
    ),
)
