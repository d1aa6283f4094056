"""Descriptions drawn at random: chains and blocks of every kind, with ordinary numbers and hard ones."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from torch import Tensor

from lipscope.errors import LipscopeError
from lipscope.layers.contract import LipschitzLayer
from lipscope.models.described import DescribedNet, HeldTensors, described_net
from lipscope.models.description import SCHEMA, parse_description
from lipscope.models.kinds import build_layer
from lipscope.records import Shape

SHAPES: tuple[Shape, ...] = ((2, 4, 4), (4, 5, 3), (3, 6, 6), (6, 3, 3), (1, 7, 5))
MOST = 200
"""Numbers in one value."""

Entry = dict[str, Any]


class Draw:
    """Draws a network.

    Args:
        seed: of everything.
    """

    def __init__(self, seed: int) -> None:
        self.random, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.hard = self.random.random() < 0.3
        self.tensors: dict[str, Tensor] = {}
        self._count = 0

    def number(self) -> float:
        """An ordinary number, or one at the ends of what float32 holds."""
        if self.hard and self.random.random() < 0.3:
            return self.random.choice([0.0, 1e-30, 1e20, -1e-38, 3e-45, 1.0, -1.0])
        return self.random.gauss(0, 1)

    def tensor(self, *shape: int) -> Tensor:
        """Normal, sparse, non-negative, or of an extreme size."""
        value = torch.randn(shape, generator=self.generator)
        way = self.random.random()
        if self.hard and way < 0.15:
            return value * 10.0 ** self.random.uniform(-40, 15)
        if way < 0.3:
            return value * (torch.rand(shape, generator=self.generator) < 0.3)
        return value.abs() if way < 0.4 else value

    def name(self) -> str:
        """A new one."""
        self._count += 1
        return f"l{self._count}"

    def layer(self, shape: Shape, *, keep: bool = False) -> tuple[Entry, Shape]:
        """An entry that takes this shape, and the shape of its result."""
        while True:
            kinds = [
                *KEEPING,
                *((*IMAGES, "linear", "take") if len(shape) == 3 else ("linear", "slice", "take", "reshape")),
            ]
            name, kind = self.name(), self.random.choice(list(KEEPING) if keep else kinds)
            entry, held = {"kind": kind, "name": name}, {}
            ends = KEYS[kind](self, shape)
            for key, value in ({} if ends is None else ends).items():
                (held if isinstance(value, Tensor) else entry)[
                    f"{name}.{key}" if isinstance(value, Tensor) else key
                ] = value
            after = _after(entry, held, shape)
            if ends is not None and after is not None and math.prod(after) <= MOST and (after == shape or not keep):
                self.tensors |= held
                return entry, after

    def block(self, shape: Shape) -> tuple[Entry, Shape]:
        """A block in which values are added, concatenated and parted; all that it makes is used."""
        values, entries = {"input": shape}, []
        for _ in range(self.random.randint(2, 6)):
            of = self.random.choice(list(values))
            like = [name for name, other in values.items() if other == values[of]]
            way, name = self.random.random(), self.name()
            if way < 0.3:
                names = [of, *self.random.choices(like, k=self.random.randint(1, 2))]
                entry: Entry = {"kind": "sum", "factors": [self.number() for _ in names]}
                after = values[of]
            elif way < 0.5 and 2 * math.prod(values[of]) <= MOST:
                names, axis = [of, self.random.choice(like)], self.random.randrange(len(values[of]))
                entry = {"kind": "concatenation", "axis": axis}
                after = tuple(2 * n if i == axis else n for i, n in enumerate(values[of]))
            elif 0.5 <= way < 0.65:
                start = self.random.randrange(values[of][0])
                stop = self.random.randint(start + 1, values[of][0])
                names, entry, after = (
                    [of],
                    {"kind": "part", "start": start, "stop": stop},
                    (stop - start, *values[of][1:]),
                )
            else:
                entry, after = self.layer(values[of], keep=self.random.random() < 0.8)
                names, name = [of], entry["name"]
            entries.append(entry | {"name": name, "of": names})
            values[name] = after
        used, kept = {entries[-1]["name"]}, []
        for entry in reversed(entries):
            if entry["name"] in used:
                used |= set(entry["of"])
                kept.append(entry)
        wanted = {entry["name"] for entry in kept} | {"input"}
        made = {entry["name"] for entry in entries} - wanted
        self.tensors = {key: value for key, value in self.tensors.items() if key.split(".")[0] not in made}
        return {"kind": "block", "name": self.name(), "layers": kept[::-1]}, values[entries[-1]["name"]]

    def network(self) -> DescribedNet:
        """A network of 4 classes."""
        shape = inputs = self.random.choice(SHAPES)
        entries: list[Entry] = []
        if self.random.random() < 0.3:
            std = [10 ** self.random.uniform(-2, 1) for _ in range(shape[0])]
            entries.append({"kind": "normalize", "mean": [self.number() for _ in std], "std": std})
        for _ in range(self.random.randint(1, 4)):
            entry, shape = self.block(shape) if self.random.random() < 0.4 else self.layer(shape)
            entries.append(entry)
        self.tensors["out.weight"] = torch.randn(4, math.prod(shape), generator=self.generator)
        entries += [{"kind": "flatten"}, {"kind": "linear", "name": "out"}]
        content = {"schema": SCHEMA, "input_shape": list(inputs), "layers": entries}
        return described_net(content, self.tensors, "drawn")


def _after(entry: Entry, held: dict[str, Tensor], shape: Shape) -> Shape | None:
    try:
        content = {"schema": SCHEMA, "input_shape": list(shape), "layers": [entry]}
        layer: LipschitzLayer = build_layer(parse_description(content, "drawn").entries[0], HeldTensors(held, "drawn"))
        return layer.output_shape(shape)
    except (LipscopeError, ValueError):
        return None


def _pair(draw: Draw, least: int, most: int) -> list[int]:
    return [draw.random.randint(least, most) for _ in range(2)]


def _sides(draw: Draw) -> list[list[int]]:
    return [_pair(draw, -1, 3) for _ in range(2)]


def _divisor(draw: Draw, channels: int) -> int:
    return draw.random.choice([n for n in range(1, channels + 1) if channels % n == 0])


def _mode(draw: Draw) -> str:
    return draw.random.choice(["zeros", "zeros", "circular", "reflect", "replicate"])


def _convolution(draw: Draw, shape: Shape) -> Entry:
    groups = _divisor(draw, shape[0])
    out = groups * draw.random.randint(1, 3)
    return {
        "weight": draw.tensor(out, shape[0] // groups, *_pair(draw, 1, 4)), "bias": draw.tensor(out), "groups": groups,
        "stride": _pair(draw, 1, 3), "padding": _sides(draw), "padding_mode": _mode(draw),
        "dilation": _pair(draw, 1, 2),
    }  # fmt: skip


def _transposed(draw: Draw, shape: Shape) -> Entry:
    groups = _divisor(draw, shape[0])
    return {
        "weight": draw.tensor(shape[0], draw.random.randint(1, 3), *_pair(draw, 1, 3)), "groups": groups,
        "stride": _pair(draw, 1, 3), "padding": _pair(draw, 0, 2), "output_padding": _pair(draw, 0, 1),
    }  # fmt: skip


def _soc(draw: Draw, shape: Shape) -> Entry | None:
    if len(shape) != 3:
        return None
    size = draw.random.choice([1, 3, 5])
    kernel = 0.2 * draw.tensor(shape[0], shape[0], size, size)
    skew = (kernel - kernel.permute(1, 0, 2, 3).flip(2, 3)).contiguous()
    return {"kernel": skew if draw.random.random() < 0.8 else kernel, "terms": draw.random.choice([1, 5, 12])}


def _batch_norm(draw: Draw, shape: Shape) -> Entry:
    channels = shape[0]
    return {
        "running_mean": draw.tensor(channels), "running_var": draw.tensor(channels).abs(), "eps": 1e-3,
        "weight": draw.tensor(channels), "bias": draw.tensor(channels),
    }  # fmt: skip


def _scale_shift(draw: Draw, shape: Shape) -> Entry:
    own = draw.random.choice([(1,) * len(shape), shape, (shape[0], *([1] * (len(shape) - 1)))])
    return {"scale": draw.tensor(*own), "shift": draw.tensor(*shape)}


def _pool(draw: Draw, _shape: Shape) -> Entry:
    return {"kernel_size": _pair(draw, 1, 4), "stride": _pair(draw, 1, 4)}


def _padded_pool(draw: Draw, shape: Shape) -> Entry:
    return {**_pool(draw, shape), "padding": _pair(draw, 0, 2), "ceil_mode": draw.random.random() < 0.5}


def _slice(draw: Draw, shape: Shape) -> Entry:
    axis = draw.random.randrange(len(shape))
    start = draw.random.randrange(shape[axis])
    stop = draw.random.randint(start + 1, shape[axis])
    return {"axis": axis, "start": start, "stop": stop, "step": draw.random.randint(1, 2)}


def _reshape(draw: Draw, shape: Shape) -> Entry:
    first = _divisor(draw, math.prod(shape))
    second = _divisor(draw, math.prod(shape) // first)
    return {"shape": [first, second, math.prod(shape) // first // second]}


def _take(draw: Draw, shape: Shape) -> Entry:
    axis = draw.random.randrange(len(shape))
    return {"axis": axis, "places": draw.random.choices(range(shape[axis]), k=draw.random.randint(1, 6))}


def _householder(draw: Draw, shape: Shape) -> Entry:
    names = draw.random.choice([("theta",), ("theta0", "theta1", "theta2")])
    return {"order": 1 if len(names) == 1 else 2} | {name: draw.tensor(shape[0] // 2) for name in names}


def _nothing(_draw: Draw, _shape: Shape) -> Entry:
    return {}


KEEPING = {
    **dict.fromkeys(("relu", "absolute", "sigmoid", "tanh", "silu", "hardswish", "softsign", "max_min"), _nothing),
    "leaky_relu": lambda draw, _: {"negative_slope": draw.number()},
    "prelu": lambda draw, shape: {"weight": draw.tensor(shape[0])},
    "clamp": lambda draw, _: dict(zip(("min", "max"), sorted([draw.number(), draw.number()]), strict=True)),
    "softplus": lambda draw, _: {"beta": abs(draw.number()) or 1.0},
    "elu": lambda draw, _: {"alpha": draw.number(), "scale": draw.number(), "input_scale": abs(draw.number())},
    "gelu": lambda draw, _: {"approximate": draw.random.choice(["none", "tanh"])},
    "scale_shift": _scale_shift,
    "batch_norm": _batch_norm,
    "group_sort": lambda draw, shape: {"group_size": draw.random.randint(2, 4), "adjacent": draw.random.random() < 0.5},
    "householder": _householder,
    "roll": lambda draw, shape: {"axes": [0, len(shape) - 1], "shifts": _pair(draw, -3, 3)},
    "centering": lambda draw, shape: {
        "axes": draw.random.sample(range(len(shape)), draw.random.randint(1, len(shape)))
    },
    "soc": _soc,
}
IMAGES = {
    "conv2d": _convolution,
    "conv_transpose2d": _transposed,
    "average_pool": lambda draw, shape: {**_padded_pool(draw, shape), "exclude_padding": draw.random.random() < 0.5},
    "max_pool": lambda draw, shape: {**_padded_pool(draw, shape), "dilation": _pair(draw, 1, 2)},
    "l2_pool": _pool,
    "adaptive_average_pool": lambda draw, _: {"output_size": _pair(draw, 1, 6)},
    "adaptive_max_pool": lambda draw, _: {"output_size": _pair(draw, 1, 6)},
    "permute": lambda draw, _: {"order": draw.random.sample(range(3), 3)},
    "pad": lambda draw, _: {"padding": _sides(draw), "padding_mode": _mode(draw)},
    "nearest_upsample": lambda draw, _: {"factors": _pair(draw, 1, 2)},
    "circular": lambda draw, shape: {"kernel": draw.tensor(draw.random.randint(1, 3), *shape)},
    "flatten": _nothing,
}
KEYS = {
    **KEEPING,
    **IMAGES,
    "linear": lambda draw, shape: {"weight": draw.tensor(draw.random.randint(1, 8), shape[-1]), "bias": None},
    "slice": _slice,
    "take": _take,
    "reshape": _reshape,
}
"""By kind, the other keys of an entry and its tensors; None where the kind does not take the shape."""
