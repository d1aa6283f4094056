"""The kinds of layers that a description may name, and how each is built from its entry and the file's tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from lipscope.bounds.strided import Sides
from lipscope.errors import CheckpointError, UsageError
from lipscope.layers import elementwise, pooling, rearrange
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.block import INPUT, Block, Node
from lipscope.layers.centering import Centering
from lipscope.layers.circular import CircularConv2d
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.conv2d import PADDING_MODES, Conv2d
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.layers.joints import Concatenation, Joint, Part, Sum
from lipscope.layers.linear import Linear
from lipscope.layers.padding import Pad
from lipscope.layers.potential_step import PotentialStep
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Named, Residual
from lipscope.layers.scale import ScaleShift
from lipscope.layers.soc import SOCConv2d
from lipscope.layers.transposed import ConvTranspose2d
from lipscope.models.description import Entry


class Tensors(Protocol):
    """The tensors of a file, by name."""

    def has(self, name: str) -> bool:
        """Whether the file holds a tensor of that name."""

    def get(self, name: str) -> Tensor:
        """The tensor; it is remembered that it was used."""


ALONE = "`lipscope inspect` without --describe bounds kernels of one and of three dimensions, for every use"

MOST_TERMS = 64
"""Of a series."""


def build_layer(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    """The layer that an entry describes.

    Raises:
        UsageError: an unknown kind, or keys or values that cannot be.
        CheckpointError: tensors that are missing or do not fit.
    """
    kind = entry.kind
    try:
        if kind in PLAIN:
            layer = PLAIN[kind]()
        elif kind in SET:
            layer = SET[kind](entry)
        elif kind in STORED:
            layer = STORED[kind](entry, tensors)
        else:
            raise UsageError(
                f"unknown kind {kind[:80]!r}", where=entry.where, why=f"known are {', '.join(sorted(KINDS))}",
                next_step="see docs/describe.md",
            )  # fmt: skip
    except ValueError as error:
        raise UsageError("cannot be built", where=entry.where, why=str(error)[:200]) from error
    entry.finish()
    return layer


def _tensor(entry: Entry, tensors: Tensors, key: str, axes: int) -> Tensor:
    """The tensor of a key: under the name that is given, else ``<name of the layer>.<key>``."""
    name = entry.text(key) if entry.has(key) else f"{entry.name}.{key}"
    value = tensors.get(name)
    if value.ndim != axes:
        raise CheckpointError(
            f"tensor {name[:80]!r} does not fit a {entry.kind}", where=entry.where,
            why=f"shape {tuple(value.shape)}, expected {axes} axes",
            next_step=ALONE if axes == 4 and value.ndim in (3, 5) else "",
        )  # fmt: skip
    return value


def _optional(entry: Entry, tensors: Tensors, key: str, length: int) -> Tensor | None:
    """A vector that may be missing: null says so; by prefix it is taken where the file has it."""
    given = entry.has(key)
    if (given and entry.values[key] is None) or (not given and not tensors.has(f"{entry.name}.{key}")):
        return None
    value = _tensor(entry, tensors, key, 1)
    if len(value) != length:
        raise CheckpointError(
            f"the {key} does not fit", where=entry.where, why=f"{len(value)} numbers for {length} outputs"
        )
    return value


def _linear(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    weight = _tensor(entry, tensors, "weight", 2)
    return Linear(weight, _optional(entry, tensors, "bias", len(weight)))


def _padding(entry: Entry) -> tuple[int, int] | Sides:
    """One number, two, or ((top, bottom), (left, right))."""
    value = entry.values.get("padding")
    if isinstance(value, list) and any(isinstance(part, list) for part in value):
        sides = entry.sides("padding")
        if len(sides) != 2:
            raise entry.wrong("padding", value, "[[top, bottom], [left, right]]")
        return sides[0], sides[1]
    return entry.pair("padding", 0, least=0)


def _conv2d(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    weight = _tensor(entry, tensors, "weight", 4)
    return Conv2d(
        weight,
        _optional(entry, tensors, "bias", len(weight)),
        stride=entry.pair("stride", 1),
        padding=_padding(entry),
        padding_mode=entry.choice("padding_mode", "zeros", PADDING_MODES),
        groups=entry.whole("groups", 1),
        dilation=entry.pair("dilation", 1),
    )


def _transposed(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    weight = _tensor(entry, tensors, "weight", 4)
    groups = entry.whole("groups", 1)
    return ConvTranspose2d(
        weight,
        _optional(entry, tensors, "bias", weight.shape[1] * groups),
        stride=entry.pair("stride", 1),
        padding=entry.pair("padding", 0, least=0),
        output_padding=entry.pair("output_padding", 0, least=0),
        groups=groups,
        dilation=entry.pair("dilation", 1),
    )


def _soc(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    kernel = _tensor(entry, tensors, "kernel", 4)
    channels, others, height, width = kernel.shape
    if channels != others or height != width or height % 2 == 0:
        raise CheckpointError("the kernel does not fit a soc", where=entry.where, why=f"shape {tuple(kernel.shape)}")
    terms = entry.whole("terms", 12)
    if terms > MOST_TERMS:
        raise entry.wrong("terms", terms, f"at most {MOST_TERMS}")
    layer = SOCConv2d(channels, channels, height, 1, terms)
    bias = _optional(entry, tensors, "bias", channels)
    layer.kernel = nn.Parameter(kernel)
    layer.bias = nn.Parameter(torch.zeros_like(kernel[:, 0, 0, 0]) if bias is None else bias)
    return layer


def _potential_step(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    name = entry.text("weight") if entry.has("weight") else f"{entry.name}.weight"
    flat = tensors.get(name).ndim == 2
    inner = _linear(entry, tensors) if flat else _conv2d(entry, tensors)
    assert isinstance(inner, Conv2d | Linear)
    return PotentialStep(inner)


def _householder(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    names = {1: ("theta",), 2: ("theta0", "theta1", "theta2")}
    order = entry.whole("order", 1)
    if order not in names:
        raise entry.wrong("order", order, "1 or 2")
    angles = [_tensor(entry, tensors, name, 1) for name in names[order]]
    if len({len(theta) for theta in angles}) > 1:
        raise CheckpointError("the angles do not fit together", where=entry.where)
    layer = (HouseHolder1, HouseHolder2)[order - 1](2 * len(angles[0]))
    for name, theta in zip(names[order], angles, strict=True):
        setattr(layer, name, nn.Parameter(theta))
    return layer


def _scale_shift(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    values = []
    for key in ("scale", "shift"):
        given = entry.has(key)
        missing = entry.values[key] is None if given else not tensors.has(f"{entry.name}.{key}")
        values.append(None if missing else tensors.get(entry.text(key) if given else f"{entry.name}.{key}"))
    if values == [None, None]:
        raise CheckpointError("neither a scale nor a shift is there", where=entry.where)
    return ScaleShift(*values)


def _batch_norm(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    mean = _tensor(entry, tensors, "running_mean", 1)
    return BatchNorm(
        mean,
        _checked(entry, _tensor(entry, tensors, "running_var", 1), len(mean)),
        _optional(entry, tensors, "weight", len(mean)),
        _optional(entry, tensors, "bias", len(mean)),
        entry.number("eps", 1e-5),
    )


def _checked(entry: Entry, value: Tensor, length: int) -> Tensor:
    if len(value) != length:
        raise CheckpointError("the running statistics do not fit together", where=entry.where)
    return value


def _windows(entry: Entry) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes and steps; windows lie side by side where no stride is given."""
    window = entry.pair("kernel_size", None)
    return window, entry.pair("stride", window)


def _average_pool(entry: Entry) -> LipschitzLayer:
    return pooling.AveragePool2d(
        *_windows(entry), entry.pair("padding", 0, least=0), ceil_mode=entry.flag("ceil_mode"),
        count_padding=not entry.flag("exclude_padding"),
        divisor=entry.whole("divisor", 1) if entry.has("divisor") else None,
    )  # fmt: skip


def _max_pool(entry: Entry) -> LipschitzLayer:
    return pooling.MaxPool2d(
        *_windows(entry), entry.pair("padding", 0, least=0), dilation=entry.pair("dilation", 1),
        ceil_mode=entry.flag("ceil_mode"),
    )  # fmt: skip


def _residual(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    branches: list[list[Named]] = [
        [(part.name, build_layer(part, tensors)) for part in entry.entries(key)] for key in ("layers", "shortcut")
    ]
    if not branches[0]:
        raise UsageError("a residual sum needs layers", where=entry.where)
    return Residual(*branches)


def _block(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    nodes: list[Node] = []
    before = INPUT
    for part in entry.entries("layers"):
        of = part.made_of(before)
        nodes.append(Node(part.name, of, _step(part, tensors, len(of))))
        before = part.name
    return Block(nodes)


def _step(entry: Entry, tensors: Tensors, values: int) -> LipschitzLayer | Joint:
    """A layer of a block, or a joint."""
    if entry.kind == "sum":
        joint: Joint = Sum(entry.numbers("factors") if entry.has("factors") else (1.0,) * values)
    elif entry.kind == "concatenation":
        joint = Concatenation(entry.whole("axis", 0, least=0))
    elif entry.kind == "part":
        joint = Part(entry.whole("start", 0, least=0), entry.whole("stop", 0))
    else:
        return build_layer(entry, tensors)
    entry.finish()
    return joint


def _clamp(entry: Entry) -> LipschitzLayer:
    least, most = (
        entry.number(key, 0.0) if entry.has(key) else end for key, end in (("min", -math.inf), ("max", math.inf))
    )
    return elementwise.clamp(least, most)


def _slice(entry: Entry) -> LipschitzLayer:
    start, stop = entry.whole("start", 0, least=0), entry.whole("stop", 0)
    return rearrange.Slice(entry.whole("axis", 0, least=0), start, stop, entry.whole("step", 1))


PLAIN: dict[str, Callable[[], LipschitzLayer]] = {
    "relu": elementwise.ReLU,
    "absolute": elementwise.absolute,
    "sigmoid": elementwise.sigmoid,
    "tanh": elementwise.tanh,
    "silu": elementwise.silu,
    "hardswish": elementwise.hardswish,
    "softsign": elementwise.softsign,
    "global_average_pool": pooling.GlobalAveragePool,
    "flatten": Flatten,
}
"""Layers without a setting."""

SET: dict[str, Callable[[Entry], LipschitzLayer]] = {
    "normalize": lambda entry: Normalize(entry.numbers("mean"), entry.numbers("std")),
    "leaky_relu": lambda entry: elementwise.LeakyReLU(entry.number("negative_slope", 0.01)),
    "clamp": _clamp,
    "softplus": lambda entry: elementwise.softplus(entry.number("beta", 1.0)),
    "elu": lambda entry: elementwise.elu(*(entry.number(key, 1.0) for key in ("alpha", "scale", "input_scale"))),
    "gelu": lambda entry: elementwise.gelu(entry.choice("approximate", "none", ("none", "tanh"))),
    "max_min": lambda entry: MaxMin(adjacent=entry.flag("adjacent"), ascending=entry.flag("ascending")),
    "group_sort": lambda entry: GroupSort(
        entry.whole("group_size", 2, least=2), adjacent=entry.flag("adjacent"), ascending=entry.flag("ascending")
    ),
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "l2_pool": lambda entry: pooling.L2Pool2d(*_windows(entry)),
    "adaptive_average_pool": lambda entry: pooling.AdaptiveAveragePool2d(entry.pair("output_size", None)),
    "adaptive_max_pool": lambda entry: pooling.AdaptiveMaxPool2d(entry.pair("output_size", None)),
    "reshape": lambda entry: rearrange.Reshape(entry.wholes("shape")),
    "permute": lambda entry: rearrange.Permute(entry.wholes("order")),
    "pixel_shuffle": lambda entry: rearrange.PixelShuffle(entry.whole("factor", 2)),
    "pixel_unshuffle": lambda entry: rearrange.PixelUnshuffle(entry.whole("factor", 2)),
    "channel_shuffle": lambda entry: rearrange.ChannelShuffle(entry.whole("groups", 2)),
    "take": lambda entry: rearrange.Take(entry.whole("axis", 0, least=0), entry.wholes("places")),
    "centering": lambda entry: Centering(entry.wholes("axes")),
    "flip": lambda entry: rearrange.Flip(entry.wholes("axes")),
    "roll": lambda entry: rearrange.Roll(entry.wholes("shifts"), entry.wholes("axes")),
    "slice": _slice,
    "pad": lambda entry: Pad(
        entry.sides("padding"), entry.choice("padding_mode", "zeros", PADDING_MODES), entry.number("value", 0.0)
    ),
    "nearest_upsample": lambda entry: rearrange.NearestUpsample(entry.pair("factors", None)),
}
"""Layers that the entry alone describes."""

STORED: dict[str, Callable[[Entry, Tensors], LipschitzLayer]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "circular": lambda entry, tensors: CircularConv2d(_tensor(entry, tensors, "kernel", 4)),
    "conv_transpose2d": _transposed,
    "soc": _soc,
    "batch_norm": _batch_norm,
    "scale_shift": _scale_shift,
    "prelu": lambda entry, tensors: elementwise.PReLU(_tensor(entry, tensors, "weight", 1)),
    "householder": _householder,
    "potential_step": _potential_step,
    "residual": _residual,
    "block": _block,
}
"""Layers with numbers in the file, and those made of layers."""

KINDS = frozenset({*PLAIN, *SET, *STORED})
"""What may stand under ``kind``."""
