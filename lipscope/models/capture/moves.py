"""Operations that move numbers and compute nothing as layers: other shapes and orders, parts, copies, padding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lipscope.models.capture.graph import BATCH, Op
from lipscope.models.capture.operations import MATCHES, batch_norm, matches, source_of
from lipscope.models.capture.steps import Step, Steps
from lipscope.records import Shape

IDENTITIES = (
    "alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "identity", "lift_fresh_copy", "positive",
    "to", "_to_copy", "alpha_dropout", "feature_alpha_dropout",
)  # fmt: skip
"""Operations that change nothing in eval mode."""


@matches(*IDENTITIES)
def _identity(op: Op, steps: Steps) -> None:
    source = source_of(op)
    if op.shape != source.shape:
        raise op.refuse("it repeats values in another shape")
    other = op.given.get("other")
    dtype = other.dtype if isinstance(other, Tensor) else op.given.get("dtype")
    if dtype not in (None, torch.float32, torch.float64):
        raise op.refuse(f"it rounds to {dtype}, in steps, so no Lipschitz constant holds")
    steps.add("identity", op.shape, of=(source,))


@matches("native_dropout")
def _dropped(op: Op, steps: Steps) -> None:
    raise op.refuse("it drops numbers at random in eval mode too: call it with training=self.training")


@matches("expand")
def _expand(op: Op, steps: Steps) -> None:
    x = source_of(op)
    if broadcast(op, steps, x) is x:
        steps.add("identity", op.shape, of=(x,))


def broadcast(op: Op, steps: Steps, x: Op) -> Op | Step:
    """A value in the shape of the operation: repeated along the axes where it has one place; itself where it has it."""
    if len(x.shape) != len(op.shape) or any(n not in (1, m) for n, m in zip(x.shape, op.shape, strict=True)):
        raise op.refuse("it repeats values in another shape")
    found: Op | Step = x
    for axis, size in enumerate(op.shape):
        if found.shape[axis] != size:
            found = steps.add("take", _with(found.shape, axis, size), of=(found,), axis=axis, places=[0] * size)
    return found


@matches("getitem")
def _getitem(op: Op, steps: Steps) -> None:
    whole, index = op.given["value"], op.given["index"]
    x = whole.given.get("self", whole.given.get("input"))
    if whole.base in ("_native_batch_norm_legit_no_training", "_batch_norm_no_update") and index == 0:
        batch_norm(whole, steps)
        return
    if whole.base in ("max_pool2d_with_indices", "adaptive_max_pool2d") and index == 0:
        MATCHES["max_pool2d" if "with" in whole.base else "adaptive_max_pool2d"](whole, steps)
        return
    if whole.base == "max" and index == 0 and "dim" in whole.given:
        MATCHES["amax"](whole, steps)
        return
    if whole.base in ("chunk", "split", "split_with_sizes", "tensor_split", "unbind"):
        axis = axis_of(whole, whole.given["dim"], x)
        sizes = [_piece(whole, place, axis) for place in range(index)]
        start = sum(sizes)
        size = 1 if whole.base == "unbind" else op.shape[axis]
        steps.add("slice", _with(x.shape, axis, size), of=(x,), axis=axis, start=start, stop=start + size)
        if whole.base == "unbind":
            steps.add("reshape", op.shape)
        return
    raise whole.refuse("its result in several parts is no layer")


def _piece(whole: Op, place: int, axis: int) -> int:
    """The length of one piece of a split."""
    x = whole.given.get("self")
    assert isinstance(x, Op)
    total = x.shape[axis]
    if whole.base == "unbind":
        return 1
    if whole.base == "chunk":
        step = -(-total // int(whole.given["chunks"]))
        return min(step, total - place * step)
    sizes: Any = whole.given.get("split_size", whole.given.get("split_sizes"))
    if sizes is None:
        raise whole.refuse("split it by sizes")
    return int(sizes[place]) if isinstance(sizes, list | tuple) else min(int(sizes), total - place * int(sizes))


def axis_of(op: Op, dim: int, x: Op) -> int:
    """An axis without the batch, from 0.

    Raises:
        UsageError: it is that of the batch.
    """
    axis = (dim if dim >= 0 else dim + len(x.shape) + 1) - 1
    if axis < 0:
        raise op.refuse("it acts across the images of a batch")
    return axis


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


@matches("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze")
def _reshape(op: Op, steps: Steps) -> None:
    if "dtype" in op.given:
        raise op.refuse("it takes the bits of numbers for others")
    reshaped(op, steps, source_of(op))


def reshaped(op: Op, steps: Steps, x: Op) -> None:
    """The same numbers in another shape."""
    if math.prod(op.shape) != math.prod(x.shape):
        raise op.refuse("it moves numbers between the images of a batch")
    if op.shape == x.shape:
        steps.add("identity", op.shape, of=(x,))
    elif len(op.shape) == 1:
        steps.add("flatten", op.shape, of=(x,))
    else:
        steps.add("reshape", op.shape, of=(x,))


@matches("permute", "transpose", "movedim", "mT", "t", "adjoint")
def _permute(op: Op, steps: Steps) -> None:
    x = source_of(op)
    # Which axis went where is asked of torch itself, with axes of different sizes.
    probe = torch.empty(list(range(2, len(x.shape) + 3)), device="meta")
    order = [size - 2 for size in op.compute({x: probe}).shape]
    if order[0] != 0:
        raise op.refuse("it moves the axis of the batch")
    steps.add("permute", op.shape, of=(x,), order=[axis - 1 for axis in order[1:]])


@matches("slice", "narrow")
def _slice(op: Op, steps: Steps) -> None:
    x = source_of(op)
    axis = axis_of(op, op.given["dim"], x) if op.given["dim"] != 0 else -1
    if axis == -1:
        if op.shape == x.shape:
            steps.add("identity", op.shape, of=(x,))
            return
        raise op.refuse("it takes some images of a batch")
    # Where a slice lies is asked of torch itself.
    found = op.compute({x: _numbered(x, axis)})[0].flatten().tolist()
    if len(found) == x.shape[axis]:
        steps.add("identity", op.shape, of=(x,))
        return
    step = found[1] - found[0] if len(found) > 1 else 1
    steps.add(
        "slice", op.shape, of=(x,), axis=axis, start=found[0], stop=found[-1] + 1, step=step if step > 1 else None
    )


def _numbered(x: Op, axis: int) -> Tensor:
    """A batch of the right number of axes whose numbers count along one of them, the others of length 1."""
    sizes = [1] * (len(x.shape) + 1)
    sizes[axis + 1] = x.shape[axis]
    return torch.arange(x.shape[axis]).reshape(sizes)


@matches("index_select", "index", "repeat", "repeat_interleave")
def _take(op: Op, steps: Steps) -> None:
    """Places of axes; which, is asked of torch itself, for one axis after another."""
    x = op.given["self"]
    if not isinstance(x, Op) or len(op.inputs) != 1:
        raise op.refuse("which places it takes depends on the input")
    found: Op | Step = x
    if len(op.shape) != len(x.shape):
        raise op.refuse("it moves places between axes: take those of one axis at a time")
    for axis, size in enumerate(op.shape):
        places = _places(op, x, axis)
        if places != list(range(x.shape[axis])):
            found = steps.add("take", _with(found.shape, axis, size), of=(found,), axis=axis, places=places)
    if found is x:
        steps.add("identity", op.shape, of=(x,))


def _places(op: Op, x: Op, axis: int) -> list[int]:
    """Which places of an axis an operation takes, its result being the product of what it takes of each."""
    numbers = torch.arange(x.shape[axis]).reshape([1] + [n if i == axis else 1 for i, n in enumerate(x.shape)])
    taken = op.compute({x: numbers.expand(BATCH, *x.shape)})
    along = taken[(0, *(slice(None) if i == axis else 0 for i in range(len(op.shape))))]
    shape = [1] + [n if i == axis else 1 for i, n in enumerate(op.shape)]
    if len(taken) != BATCH or not torch.equal(taken, along.reshape(shape).expand(BATCH, *op.shape)):
        raise op.refuse("it moves places between axes: take those of one axis at a time")
    return [int(place) for place in along.tolist()]


@matches("select")
def _select(op: Op, steps: Steps) -> None:
    x = op.given["self"]
    axis = axis_of(op, op.given["dim"], x)
    index = op.given["index"] % x.shape[axis]
    steps.add("slice", _with(x.shape, axis, 1), of=(x,), axis=axis, start=index, stop=index + 1)
    steps.add("flatten" if len(op.shape) == 1 else "reshape", op.shape)


@matches("flip")
def _flip(op: Op, steps: Steps) -> None:
    x = op.given["self"]
    steps.add("flip", op.shape, of=(x,), axes=[axis_of(op, dim, x) for dim in op.given["dims"]])


@matches("roll")
def _roll(op: Op, steps: Steps) -> None:
    x = op.given["self"]
    if not op.given["dims"]:
        raise op.refuse("name the axes that it acts on")
    axes = [axis_of(op, dim, x) for dim in op.given["dims"]]
    steps.add("roll", op.shape, of=(x,), shifts=list(op.given["shifts"]), axes=axes)


@matches("pixel_shuffle", "pixel_unshuffle")
def _pixels(op: Op, steps: Steps) -> None:
    factor = op.given.get("upscale_factor", op.given.get("downscale_factor"))
    steps.add(op.base, op.shape, of=(op.given["self"],), factor=factor)


@matches("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(op: Op, steps: Steps) -> None:
    steps.add("channel_shuffle", op.shape, of=(op.given["self"],), groups=op.given["groups"])


@matches("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def _pad(op: Op, steps: Steps) -> None:
    x = op.given["self"]
    numbers = list(op.given.get("pad", op.given.get("padding")))
    mode = op.given.get("mode") or {"r": "reflect", "c": "constant"}[op.base[0]]
    mode = "replicate" if op.base.startswith("replication") else mode
    sides = [[numbers[i], numbers[i + 1]] for i in range(0, len(numbers), 2)][::-1]
    if len(sides) > len(x.shape):
        raise op.refuse("it pads the batch")
    mode = "zeros" if mode == "constant" else mode
    steps.add("pad", op.shape, of=(x,), padding=sides, padding_mode=mode, value=op.given.get("value") or None)


@matches("upsample_nearest2d", "_upsample_nearest_exact2d")
def _upsample(op: Op, steps: Steps) -> None:
    x = source_of(op)
    factors = [after / before for before, after in zip(x.shape[1:], op.shape[1:], strict=True)]
    if any(factor != int(factor) or factor < 1 for factor in factors):
        raise op.refuse("only whole factors are a layer")
    steps.add("nearest_upsample", op.shape, of=(x,), factors=[int(factor) for factor in factors])
