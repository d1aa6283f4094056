"""Convolutions, pools, steps down a potential and moves of numbers that are spelled as several operations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from lipscope.layers.centering import Centering
from lipscope.layers.circular import CircularConv2d
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.linear import Linear
from lipscope.layers.padding import Pad
from lipscope.layers.pooling import L2Pool2d
from lipscope.layers.potential_step import PotentialStep
from lipscope.layers.rearrange import Take
from lipscope.layers.taylor import taylor_exponential
from lipscope.models.capture.region import Region
from lipscope.models.capture.steps import Steps


def copies(region: Region, steps: Steps) -> bool:
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


def taken(region: Region, steps: Steps) -> bool:
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
            if places == list(range(source.shape[axis])):
                steps.add("identity", result.shape, of=(source,))
            else:
                steps.add("take", result.shape, of=(source,), axis=axis, places=places)
            return True
    return False


def centering(region: Region, steps: Steps) -> bool:
    """What is left of the mean over some axes."""
    axes = range(len(region.source.shape))
    for chosen in (some for count in axes for some in itertools.combinations(axes, count + 1)):
        if region.is_same(Centering(chosen)):
            steps.add("centering", region.ops[-1].shape, of=(region.source,), axes=list(chosen))
            return True
    return False


def circular(region: Region, steps: Steps) -> bool:
    """A circular convolution by way of Fourier transforms: its kernel is what becomes of a single pixel."""
    source, result = region.source, region.ops[-1]
    if not (len(source.shape) == len(result.shape) == 3) or len({*source.shape[1:], *result.shape[1:]}) > 1:
        return False
    channels = source.shape[0]
    pixels = torch.zeros(channels + channels % 2, *source.shape, dtype=torch.float64)
    pixels[range(channels), range(channels), 0, 0] = 1.0
    columns = [region.tried(images) for images in pixels.split(2)]
    if any(column is None or column.shape[1:] != result.shape for column in columns):
        return False
    answers = torch.cat([column for column in columns if column is not None])[:channels].transpose(0, 1)
    kernel = answers.flip(2, 3).roll((1, 1), (2, 3)).contiguous()  # what a pixel q away receives, by -q
    if not region.is_same(CircularConv2d(kernel)):
        return False
    steps.add("circular", result.shape, of=(source,), tensors={"kernel": kernel})
    return True


def l2_pool(region: Region, steps: Steps) -> bool:
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


def taylor(region: Region, steps: Steps) -> bool:
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


def potential_step(region: Region, steps: Steps) -> bool:
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
