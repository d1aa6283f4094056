"""Operations on each number alone: activations, and sums and products with fixed numbers; and where branches join."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipscope.models.capture.graph import BATCH, Op
from lipscope.models.capture.moves import axis_of, broadcast, reshaped
from lipscope.models.capture.operations import matches, on_images, pair, source_of
from lipscope.models.capture.steps import Steps
from lipscope.records import Shape

PLAIN: dict[str, tuple[str, Callable[[Op], dict[str, Any]]]] = {
    **{name: (name, lambda op: {}) for name in ("relu", "sigmoid", "tanh", "silu", "hardswish", "softsign")},
    "abs": ("absolute", lambda op: {}),
    "relu6": ("clamp", lambda op: {"min": 0.0, "max": 6.0}),
    "gelu": ("gelu", lambda op: {"approximate": op.given["approximate"]}),
    "leaky_relu": ("leaky_relu", lambda op: {"negative_slope": float(op.given["negative_slope"])}),
    "rrelu": ("leaky_relu", lambda op: {"negative_slope": (float(op.given["lower"]) + float(op.given["upper"])) / 2}),
}
"""Activations by the name of their operation: kind and settings."""


@matches(*PLAIN)
def _plain(op: Op, steps: Steps) -> None:
    kind, settings = PLAIN[op.base]
    steps.add(kind, op.shape, of=(source_of(op),), keys=settings(op))


@matches("prelu", "_prelu_kernel")
def _prelu(op: Op, steps: Steps) -> None:
    weight = op.given["weight"]
    if not isinstance(weight, Tensor):
        raise op.refuse("its slopes depend on the input")
    steps.add("prelu", op.shape, of=(source_of(op),), tensors={"weight": weight.flatten()})


@matches("hardtanh", "clamp")
def _clamp(op: Op, steps: Steps) -> None:
    ends = [op.given.get(key, op.given.get(other)) for key, other in (("min", "min_val"), ("max", "max_val"))]
    if any(isinstance(end, Tensor | Op) for end in ends):
        raise op.refuse("its ends must be numbers")
    least, most = (None if end is None else float(end) for end in ends)
    if least == 0.0 and most is None:
        steps.add("relu", op.shape, of=(source_of(op),))
    else:
        steps.add("clamp", op.shape, of=(source_of(op),), min=least, max=most)


@matches("clamp_min", "clamp_max", "maximum", "minimum", "max", "min")
def _clamp_end(op: Op, steps: Steps) -> None:
    x = source_of(op)
    key = "min" if op.base in ("clamp_min", "maximum", "max") else "max"
    ends = [value for value in op.given.values() if value is not x]
    end = ends[0] if len(ends) == 1 else None
    if not isinstance(end, Tensor | float | int) or torch.as_tensor(end).numel() != 1 or op.shape != x.shape:
        raise op.refuse("only with a fixed number, or over axes that are named, is it a layer")
    if key == "min" and float(end) == 0.0:
        steps.add("relu", op.shape, of=(x,))
    else:
        steps.add("clamp", op.shape, of=(x,), keys={key: float(end)})


@matches("hardsigmoid")
def _hardsigmoid(op: Op, steps: Steps) -> None:
    third = torch.tensor([1 / 6], dtype=torch.float64)
    steps.add("scale_shift", op.shape, of=(source_of(op),), tensors={"scale": third, "shift": torch.tensor([0.5])})
    steps.add("clamp", op.shape, min=0.0, max=1.0)


@matches("elu", "celu", "selu")
def _elu(op: Op, steps: Steps) -> None:
    x = source_of(op)
    if op.base == "selu":
        steps.add("elu", op.shape, of=(x,), alpha=1.6732632423543772, scale=1.0507009873554805)
    elif op.base == "celu":
        alpha = float(op.given["alpha"])
        if alpha < 0:
            raise op.refuse("with a negative alpha it grows without bound, so no Lipschitz constant holds")
        steps.add("elu", op.shape, of=(x,), alpha=alpha, input_scale=1 / alpha)
    else:
        alpha, scale, inner = (float(op.given[key]) for key in ("alpha", "scale", "input_scale"))
        steps.add("elu", op.shape, of=(x,), alpha=alpha, scale=scale, input_scale=inner)


@matches("softplus")
def _softplus(op: Op, steps: Steps) -> None:
    threshold = float(op.given["threshold"])
    # torch leaves out log(1 + exp(-threshold)) there; from some 14 on float32 does not see it.
    if threshold < 0 or math.log1p(math.exp(-threshold)) > 2.0**-24 * threshold:
        raise op.refuse("it jumps at its threshold, so no Lipschitz constant holds")
    steps.add("softplus", op.shape, of=(source_of(op),), beta=float(op.given["beta"]))


@matches("log_sigmoid")
def _log_sigmoid(op: Op, steps: Steps) -> None:
    minus = torch.tensor([-1.0])
    steps.add("scale_shift", op.shape, of=(source_of(op),), tensors={"scale": minus})
    steps.add("softplus", op.shape, beta=1.0)
    steps.add("scale_shift", op.shape, tensors={"scale": minus})


@matches("threshold")
def _threshold(op: Op, steps: Steps) -> None:
    if float(op.given["threshold"]) != 0.0 or float(op.given["value"]) != 0.0:
        raise op.refuse("it jumps at its threshold, so no Lipschitz constant holds")
    steps.add("relu", op.shape, of=(source_of(op),))


@matches("neg")
def _neg(op: Op, steps: Steps) -> None:
    steps.add("scale_shift", op.shape, of=(source_of(op),), tensors={"scale": torch.tensor([-1.0])})


def fixed(op: Op, value: Any, x: Op) -> Tensor:
    """A fixed number or tensor as it broadcasts to x, without the batch.

    Raises:
        UsageError: it has numbers of its own for the images of a batch, or makes x larger.
    """
    tensor = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
    axes = len(x.shape) + 1
    tensor = tensor.reshape([1] * (axes - tensor.ndim) + list(tensor.shape)) if tensor.ndim < axes else tensor
    if tensor.ndim == axes and tensor.shape[0] == BATCH and torch.equal(tensor[0], tensor[1]):
        tensor = tensor[:1]  # made as long as the batch
    if tensor.ndim != axes or tensor.shape[0] != 1 or op.shape != x.shape:
        raise op.refuse("its fixed numbers do not have the shape of one image")
    if not bool(torch.isfinite(tensor.double()).all()):
        raise op.refuse("its fixed numbers are not finite")
    return tensor[0].double()


@matches("add", "sub", "rsub")
def _added(op: Op, steps: Steps) -> None:
    first, second = op.given["self"], op.given["other"]
    factors = [1.0, float(op.given.get("alpha", 1))]
    if op.base == "sub":
        factors[1] = -factors[1]
    if op.base == "rsub":
        factors = [-factors[1], 1.0]
    if isinstance(first, Op) and isinstance(second, Op):
        if first is second:
            steps.add("scale_shift", op.shape, of=(first,), tensors={"scale": torch.tensor([sum(factors)])})
            return
        branches = (broadcast(op, steps, first), broadcast(op, steps, second))
        steps.add("sum", op.shape, of=branches, factors=None if factors == [1.0, 1.0] else factors)
        return
    x, other = (first, second) if isinstance(first, Op) else (second, first)
    mine, its = factors if isinstance(first, Op) else factors[::-1]
    tensors = {
        "scale": None if mine == 1.0 else torch.tensor([mine], dtype=torch.float64),
        "shift": its * fixed(op, other, x),
    }
    steps.add("scale_shift", op.shape, of=(x,), tensors=tensors)


@matches("lerp")
def _interpolated(op: Op, steps: Steps) -> None:
    first, second, weight = op.given["self"], op.given["end"], op.given["weight"]
    if not (isinstance(first, Op) and isinstance(second, Op) and isinstance(weight, float | int)):
        raise op.refuse("only between two values that depend on the input, by a fixed number, is it a layer")
    branches = (broadcast(op, steps, first), broadcast(op, steps, second))
    steps.add("sum", op.shape, of=branches, factors=[1.0 - weight, float(weight)])


@matches("mul", "div")
def _multiplied(op: Op, steps: Steps) -> None:
    first, second = op.given["self"], op.given["other"]
    if isinstance(first, Op) and isinstance(second, Op):
        raise op.refuse("it multiplies two values that depend on the input, so no Lipschitz constant holds everywhere")
    if op.base == "div":
        if not isinstance(first, Op) or op.given.get("rounding_mode") is not None:
            raise op.refuse("only a division by a fixed number is a layer")
        steps.add("scale_shift", op.shape, of=(first,), tensors={"scale": 1 / fixed(op, second, first)})
        return
    x, other = (first, second) if isinstance(first, Op) else (second, first)
    steps.add("scale_shift", op.shape, of=(x,), tensors={"scale": fixed(op, other, x)})


@matches("cat")
def _cat(op: Op, steps: Steps) -> None:
    values = op.given["tensors"]
    if not all(isinstance(value, Op) for value in values):
        raise op.refuse("it joins fixed numbers to values that depend on the input: use F.pad for zeros")
    first: Op = values[0]
    dim = op.given["dim"]
    axis = (dim if dim >= 0 else dim + len(first.shape) + 1) - 1
    if axis < 0:
        raise op.refuse("it acts across the images of a batch")
    if len(values) == 1:
        steps.add("identity", op.shape, of=(first,))
        return
    steps.add("concatenation", op.shape, of=tuple(values), axis=axis or None)


@matches("stack")
def _stack(op: Op, steps: Steps) -> None:
    values = op.given["tensors"]
    dim = op.given["dim"]
    axis = (dim if dim >= 0 else dim + len(op.shape) + 1) - 1
    if axis < 0 or not all(isinstance(value, Op) for value in values):
        raise op.refuse("only values of the same image are stacked")
    # One behind the other along the axis before which they are stacked, then taken apart.
    shape: Shape = values[0].shape
    if axis == len(shape):
        raise op.refuse("stack along an axis before the last, or concatenate")
    joined = (*shape[:axis], shape[axis] * len(values), *shape[axis + 1 :])
    steps.add("concatenation", joined, of=tuple(values), axis=axis or None)
    steps.add("reshape", op.shape)


def _windows(op: Op, *names: str) -> dict[str, list[int]]:
    """The sizes of windows, one for each axis of the pixels; without a stride they lie side by side."""
    found = {name: pair(op.given[name], len(op.shape) - 1) for name in names}
    return {**found, "stride": pair(op.given["stride"] or op.given["kernel_size"], len(op.shape) - 1)}


@matches("avg_pool2d", "avg_pool1d")
def _average_pool(op: Op, steps: Steps) -> None:
    keys = {
        "ceil_mode": op.given["ceil_mode"] or None, "exclude_padding": None if op.given["count_include_pad"] else True,
        "divisor": op.given.get("divisor_override"),
    }  # fmt: skip
    on_images(op, steps, "average_pool", source_of(op), _windows(op, "kernel_size", "padding"), keys)


@matches("max_pool2d", "max_pool1d", "max_pool2d_with_indices")
def _max_pool(op: Op, steps: Steps) -> None:
    sizes = _windows(op, "kernel_size", "padding", "dilation")
    on_images(op, steps, "max_pool", source_of(op), sizes, {"ceil_mode": op.given["ceil_mode"] or None})


@matches("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool1d")
def _adaptive(op: Op, steps: Steps) -> None:
    kind = "adaptive_max_pool" if "max" in op.base else "adaptive_average_pool"
    if op.shape[1:] == (1, 1) and kind == "adaptive_average_pool":
        steps.add("global_average_pool", op.shape, of=(source_of(op),))
    else:
        on_images(op, steps, kind, source_of(op), {"output_size": list(op.shape[1:])})


@matches("mean", "sum", "amax", "linalg_vector_norm", "norm")
def _whole(op: Op, steps: Steps) -> None:
    """Over some axes: those that are kept are made channels, the others pixels."""
    x, dims = op.given.get("self", op.given.get("input")) or source_of(op), op.given.get("dim")
    if dims is None or dims == []:
        raise op.refuse("name the axes that it acts on")
    axes = sorted(axis_of(op, dim, x) for dim in ([dims] if isinstance(dims, int) else dims))
    power = op.given.get("ord", op.given.get("p", 2))
    if op.base in ("linalg_vector_norm", "norm") and float(2 if power is None else power) != 2.0:
        raise op.refuse("only the Euclidean norm is a layer")
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    turned = tuple(x.shape[axis] for axis in kept + axes)
    size = list(turned[1:]) if (len(kept), len(axes)) == (1, 2) else [1, math.prod(turned[len(kept) :])]
    channels = math.prod(turned[: len(kept)])
    given: dict[str, Any] = {"of": (x,)}
    if kept + axes != sorted(kept + axes):
        steps.add("permute", turned, order=kept + axes, **given)
        given = {}
    if turned != (channels, *size):
        steps.add("reshape", (channels, *size), **given)
        given = {}
    if op.base in ("mean", "sum"):
        steps.add("global_average_pool", (channels, 1, 1), **given)
    elif op.base in ("amax", "max"):
        steps.add("adaptive_max_pool", (channels, 1, 1), output_size=[1, 1], **given)
    else:
        steps.add("l2_pool", (channels, 1, 1), kernel_size=size, **given)
    if op.base == "sum":
        steps.add("scale_shift", (channels, 1, 1), tensors={"scale": torch.tensor([float(size[0] * size[1])])})
    if op.shape != (channels, 1, 1):
        steps.add("flatten" if len(op.shape) == 1 else "reshape", op.shape)


@matches("view_as", "reshape_as")
def _like(op: Op, steps: Steps) -> None:
    reshaped(op, steps, op.given["self"])
