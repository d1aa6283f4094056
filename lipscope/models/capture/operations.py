"""Single operations of torch as layers: one small function for each family."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from torch import Tensor

from lipscope.models.capture.graph import Op
from lipscope.models.capture.steps import Steps

Match = Callable[[Op, Steps], None]
MATCHES: dict[str, Match] = {}
"""By the base of the operation's kind."""


def matches(*names: str) -> Callable[[Match], Match]:
    """Register how an operation becomes layers."""

    def register(match: Match) -> Match:
        for name in names:
            MATCHES[name] = match
        return match

    return register


def pair(value: Any, axes: int = 2) -> list[int]:
    """One number for every axis, from one or several."""
    numbers = [value] if isinstance(value, int) else list(value)
    return [int(n) for n in (numbers * axes if len(numbers) == 1 else numbers)]


def source_of(op: Op) -> Op:
    """The one operation that an operation is made from.

    Raises:
        UsageError: there are several.
    """
    inputs = op.inputs
    if len(set(inputs)) != 1:
        raise op.refuse("it joins several values that depend on the input")
    return inputs[0]


def on_images(
    op: Op, steps: Steps, kind: str, x: Op, sizes: Mapping[str, list[Any]],
    keys: Mapping[str, Any] | None = None, tensors: Mapping[str, Tensor | None] | None = None,
) -> None:  # fmt: skip
    """A layer of images; a row of pixels is made an image of one line, and a row again.

    Args:
        sizes: by key, one for each axis of the pixels.
        keys, tensors: the others.
    """
    if len(op.shape) == 3:
        steps.add(kind, op.shape, of=(x,), keys={**sizes, **(keys or {})}, tensors=tensors)
        return
    across = {"padding": [0, 0] if kind == "conv2d" else 0, "output_padding": 0}
    rows = {key: [across.get(key, 1), *value] for key, value in sizes.items()}
    lines = {
        key: None if value is None else value.unsqueeze(2) if key == "weight" else value
        for key, value in (tensors or {}).items()
    }
    steps.add("reshape", (x.shape[0], 1, x.shape[1]), of=(x,))
    steps.add(kind, (op.shape[0], 1, op.shape[1]), keys={**rows, **(keys or {})}, tensors=lines)
    steps.add("reshape", op.shape)


@matches("conv1d", "conv2d")
def _convolution(op: Op, steps: Steps) -> None:
    weight, bias, x = op.given["weight"], op.given["bias"], op.given["input"]
    if not isinstance(weight, Tensor) or isinstance(bias, Op):
        raise op.refuse("its weight depends on the input")
    axes = weight.ndim - 2
    stride, dilation = pair(op.given["stride"], axes), pair(op.given["dilation"], axes)
    taps = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    padding = op.given["padding"]
    if padding == "same":
        sides = [[(k - 1) // 2, k - 1 - (k - 1) // 2] for k in taps]
    else:
        sides = [[0, 0]] * axes if padding == "valid" else [[p, p] for p in pair(padding, axes)]
    sizes: dict[str, list[Any]] = {"stride": stride, "padding": sides, "dilation": dilation}
    on_images(op, steps, "conv2d", x, sizes, {"groups": op.given["groups"]}, {"weight": weight, "bias": bias})


@matches("conv_transpose1d", "conv_transpose2d")
def _transposed(op: Op, steps: Steps) -> None:
    weight, bias, x = op.given["weight"], op.given["bias"], op.given["input"]
    if not isinstance(weight, Tensor) or isinstance(bias, Op):
        raise op.refuse("its weight depends on the input")
    sizes = {key: pair(op.given[key], weight.ndim - 2) for key in ("stride", "padding", "output_padding", "dilation")}
    tensors = {"weight": weight, "bias": bias}
    on_images(op, steps, "conv_transpose2d", x, sizes, {"groups": op.given["groups"]}, tensors)


@matches("linear")
def _linear(op: Op, steps: Steps) -> None:
    weight, bias, x = op.given["weight"], op.given["bias"], op.given["input"]
    if not isinstance(weight, Tensor) or isinstance(bias, Op):
        raise op.refuse("its weight depends on the input")
    steps.add("linear", op.shape, of=(x,), tensors={"weight": weight, "bias": bias})


@matches("matmul", "mm")
def _matmul(op: Op, steps: Steps) -> None:
    first, second = list(op.given.values())[:2]
    if isinstance(first, Op) and _is_matrix(second, first):
        steps.add("linear", op.shape, of=(first,), tensors={"weight": second.flatten(0, -2).mT.contiguous()})
    elif isinstance(second, Op) and _is_matrix(first, second) and len(second.shape) > 1:
        *others, rows, columns = range(len(op.shape))
        order = [*others, columns, rows]
        turned = (*op.shape[:-2], op.shape[-1])
        steps.add("permute", (*turned, second.shape[-2]), of=(second,), order=order)
        steps.add("linear", (*turned, op.shape[-2]), tensors={"weight": first.flatten(0, -2)})
        steps.add("permute", op.shape, order=order)
    else:
        raise op.refuse("only x @ W and W @ x with a fixed matrix W are layers")


def _is_matrix(value: Any, x: Op) -> TypeGuard[Tensor]:
    """Whether a factor is one matrix for all of x."""
    return isinstance(value, Tensor) and 2 <= value.ndim <= len(x.shape) + 1 and math.prod(value.shape[:-2]) == 1


@matches("einsum")
def _einsum(op: Op, steps: Steps) -> None:
    taken, _, result = op.given["equation"].replace(" ", "").partition("->")
    factors = list(zip(taken.split(","), op.given["tensors"], strict=False))
    if "." in taken or any(len(set(letters)) < len(letters) for letters, _ in factors):
        raise op.refuse("only one that names each axis is a layer")
    _summed(op, steps, factors, result)


@matches("tensordot")
def _tensordot(op: Op, steps: Steps) -> None:
    letters = iter(string.ascii_letters)
    first, second = ([next(letters) for _ in range(_axes(op.given[key]))] for key in ("self", "other"))
    for axis, other in zip(op.given["dims_self"], op.given["dims_other"], strict=True):
        second[other] = first[axis]
    kept = [letter for letter in first + second if (letter in first) != (letter in second)]
    _summed(op, steps, [("".join(first), op.given["self"]), ("".join(second), op.given["other"])], "".join(kept))


def _axes(value: Any) -> int:
    return len(value.shape) + isinstance(value, Op)


def _summed(op: Op, steps: Steps, factors: list[tuple[str, Any]], result: str) -> None:
    """A sum over axes of the input with a fixed tensor, each axis a letter: both are made matrices."""
    images = [(letters, value) for letters, value in factors if isinstance(value, Op)]
    fixed = [(letters, value) for letters, value in factors if isinstance(value, Tensor)]
    if len(images) != 1 or len(fixed) != 1:
        raise op.refuse("only one with a fixed tensor is a layer")
    (taken, x), (others, tensor) = images[0], fixed[0]
    batch, *inner = list(taken)
    summed = [letter for letter in inner if letter in others]
    kept, new = (
        [letter for letter in inner if letter not in others],
        [letter for letter in others if letter not in inner],
    )
    if batch in others or result[:1] != batch or not summed or sorted(result[1:]) != sorted(kept + new):
        raise op.refuse("only a sum over every axis that both have is a layer")
    sizes = dict(zip(inner, x.shape, strict=True)) | dict(zip(others, tensor.shape, strict=True))
    matrix = tensor.permute([others.index(letter) for letter in new + summed])
    rows, columns = (math.prod(sizes[letter] for letter in letters) for letters in (new, summed))
    shape = tuple(sizes[letter] for letter in kept)
    order = [inner.index(letter) for letter in kept + summed]
    steps.add("permute", tuple(x.shape[axis] for axis in order), of=(x,), order=order)
    steps.add("reshape", (*shape, columns))
    steps.add("linear", (*shape, rows), tensors={"weight": matrix.reshape(rows, columns)})
    steps.add("reshape", (*shape, *(sizes[letter] for letter in new)))
    steps.add("permute", op.shape, order=[(kept + new).index(letter) for letter in result[1:]])


@matches("addmm")
def _addmm(op: Op, steps: Steps) -> None:
    bias, x, weight = (op.given[key] for key in ("self", "mat1", "mat2"))
    if not isinstance(x, Op) or not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        raise op.refuse("only x @ W + b with a fixed matrix W is a layer")
    weight = op.given["alpha"] * weight.mT.contiguous()
    steps.add(
        "linear", op.shape, of=(x,), tensors={"weight": weight, "bias": (op.given["beta"] * bias).expand(len(weight))}
    )


@matches("batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update")
def batch_norm(op: Op, steps: Steps) -> None:
    """With its running statistics."""
    if op.given.get("training"):
        raise op.refuse("it uses the statistics of the batch: track_running_stats must be on")
    mean, variance = op.given["running_mean"], op.given["running_var"]
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        raise op.refuse("it has no running statistics")
    tensors = {"running_mean": mean, "running_var": variance, "weight": op.given["weight"], "bias": op.given["bias"]}
    steps.add("batch_norm", op.shape, of=(op.given["input"],), tensors=tensors, eps=op.given["eps"])
