"""The kinds of layers that a description may name, and how each is built from its entry and the file's tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from lipscope.errors import CheckpointError, UsageError
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.conv2d import PADDING_MODES, Conv2d
from lipscope.layers.elementwise import LeakyReLU, ReLU
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.linear import Linear
from lipscope.layers.pooling import AveragePool2d, GlobalAveragePool, L2Pool2d, MaxPool2d
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Named, Residual
from lipscope.models.description import Entry


class Tensors(Protocol):
    """The tensors of a file, by name."""

    def has(self, name: str) -> bool:
        """Whether the file holds a tensor of that name."""

    def get(self, name: str) -> Tensor:
        """The tensor; it is remembered that it was used."""


Build = Callable[[Entry, Tensors], LipschitzLayer]


def build_layer(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    """The layer that an entry describes.

    Raises:
        UsageError: an unknown kind, or keys or values that cannot be.
        CheckpointError: tensors that are missing or do not fit.
    """
    build = KINDS.get(entry.kind)
    if build is None:
        raise UsageError(
            f"unknown kind {entry.kind[:80]!r}", where=entry.where, why=f"known are {', '.join(sorted(KINDS))}",
            next_step="see docs/describe.md",
        )  # fmt: skip
    try:
        layer = build(entry, tensors)
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


def _conv2d(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    weight = _tensor(entry, tensors, "weight", 4)
    if entry.pair("dilation", 1) != (1, 1):
        raise entry.wrong("dilation", entry.values["dilation"], "1: no other has a layer here")
    return Conv2d(
        weight,
        _optional(entry, tensors, "bias", len(weight)),
        stride=entry.pair("stride", 1),
        padding=entry.pair("padding", 0, least=0),
        padding_mode=entry.choice("padding_mode", "zeros", PADDING_MODES),
        groups=entry.whole("groups", 1),
    )


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


def _normalize(entry: Entry, _tensors: Tensors) -> LipschitzLayer:
    return Normalize(entry.numbers("mean"), entry.numbers("std"))


def _pool(make: type[AveragePool2d] | type[MaxPool2d]) -> Build:
    def build(entry: Entry, _tensors: Tensors) -> LipschitzLayer:
        window = entry.pair("kernel_size", None)
        return make(window, entry.pair("stride", window), entry.pair("padding", 0, least=0))

    return build


def _l2_pool(entry: Entry, _tensors: Tensors) -> LipschitzLayer:
    window = entry.pair("kernel_size", None)
    return L2Pool2d(window, entry.pair("stride", window))


def _residual(entry: Entry, tensors: Tensors) -> LipschitzLayer:
    branches: list[list[Named]] = [
        [(part.name, build_layer(part, tensors)) for part in entry.entries(key)] for key in ("layers", "shortcut")
    ]
    if not branches[0]:
        raise UsageError("a residual sum needs layers", where=entry.where)
    return Residual(*branches)


KINDS: dict[str, Build] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "batch_norm": _batch_norm,
    "normalize": _normalize,
    "relu": lambda _entry, _tensors: ReLU(),
    "leaky_relu": lambda entry, _tensors: LeakyReLU(entry.number("negative_slope", 0.01)),
    "max_min": lambda _entry, _tensors: MaxMin(),
    "group_sort": lambda entry, _tensors: GroupSort(entry.whole("group_size", 2, least=2)),
    "average_pool": _pool(AveragePool2d),
    "max_pool": _pool(MaxPool2d),
    "l2_pool": _l2_pool,
    "global_average_pool": lambda _entry, _tensors: GlobalAveragePool(),
    "flatten": lambda _entry, _tensors: Flatten(),
    "residual": _residual,
}
"""By the name that stands under ``kind``."""
