"""A network evaluated with fifty digits: what its stored numbers mean, independently of torch and of its layers' code.

Arrays of mpmath numbers (C, H, W) go in and out; stored float32 and float64 numbers are taken exactly.
"""

from __future__ import annotations

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray
from torch import Tensor

from lipscope.layers.aoc import AOCConv2d
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.bcop import BCOPConv2d
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import LeakyReLU, ReLU
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.heads import LinearHead, OrthogonalHead
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.layers.linear import Linear
from lipscope.layers.orthogonal import FamilyConv2d
from lipscope.layers.pooling import AveragePool2d, GlobalAveragePool, L2Pool2d, MaxPool2d
from lipscope.layers.potential import PotentialConv2d
from lipscope.layers.prepared import Prepared
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Residual
from lipscope.layers.sandwich import SandwichConv2d
from lipscope.layers.scaled import ScaledLinearConv2d
from lipscope.layers.soc import SOCConv2d
from lipscope.models.composition import LipschitzNet
from tests import dense

DIGITS = 50

Numbers = NDArray[np.object_]


def exactly(values: Tensor | NDArray[np.float64]) -> Numbers:
    """The same numbers without rounding."""
    array = values.detach().double().numpy() if isinstance(values, Tensor) else np.asarray(values, dtype=np.float64)
    result = np.empty(array.shape, dtype=object)
    result.flat = [mpf(number) for number in array.ravel().tolist()]
    return result


def pixels(image: NDArray[np.uint8]) -> Numbers:
    """Whole pixels over 255, which no float64 can say."""
    with mp.workdps(DIGITS):
        result = np.empty(image.shape, dtype=object)
        result.flat = [mpf(int(number)) / 255 for number in image.ravel()]
        return result


def logits(net: LipschitzNet, x: Numbers) -> Numbers:
    """head(body(normalize(x)))."""
    for _, layer, _ in net.layers():
        x = apply(layer, x)
    return x


def apply(layer: LipschitzLayer, x: Numbers) -> Numbers:
    """One layer on one input without the batch."""
    with mp.workdps(DIGITS):
        if isinstance(layer, Prepared):
            return apply(layer.source, x)
        if isinstance(layer, Normalize):
            mean, std = (exactly(np.array(values)).reshape(-1, 1, 1) for values in layer.constants)
            return (x - mean) / std
        if isinstance(layer, FamilyConv2d):
            return _of_a_family(layer, x)
        if isinstance(layer, MaxMin | HouseHolder1 | HouseHolder2):
            return _pairs(layer, x)
        if isinstance(layer, GroupSort):
            return _sorted_groups(x, layer.group_size)
        if isinstance(layer, Flatten):
            return x.ravel()
        if isinstance(layer, LinearHead | Linear):
            result = _product(layer.weight.detach().double().numpy(), x)
            return result if layer.bias is None else result + exactly(layer.bias)
        if isinstance(layer, OrthogonalHead):
            return _of_a_family(layer.conv, x.reshape(-1, 1, 1)).ravel()
        if isinstance(layer, ReLU):
            return np.maximum(x, mpf(0))
        if isinstance(layer, LeakyReLU):
            return np.where(x < 0, x * mpf(layer.slope), x)
        if isinstance(layer, Conv2d):
            return _plain_convolution(layer, x)
        if isinstance(layer, BatchNorm):
            mean, variance, gamma, beta = (
                exactly(values).reshape(-1, 1, 1) for values in (layer.mean, layer.variance, layer.gamma, layer.beta)
            )
            root = np.vectorize(mp.sqrt, otypes=[object])(variance + mpf(layer.eps))
            return (x - mean) / root * gamma + beta
        if isinstance(layer, AveragePool2d | GlobalAveragePool | MaxPool2d | L2Pool2d):
            return _pooled(layer, x)
        if isinstance(layer, Residual):
            first = second = x
            for part in layer.main:
                first = apply(part, first)
            for part in layer.shortcut:
                second = apply(part, second)
            return first + second
    raise NotImplementedError(type(layer))


def _plain_convolution(layer: Conv2d, x: Numbers) -> Numbers:
    """Output by output, from the definition."""
    (channels, height, width), (down, right) = x.shape, layer.padding
    padded = np.full((channels, height + 2 * down, width + 2 * right), mpf(0), dtype=object)
    if layer.padding_mode == "circular":
        for place in np.ndindex(*padded.shape):
            padded[place] = x[place[0], (place[1] - down) % height, (place[2] - right) % width]
    else:
        padded[:, down : down + height, right : right + width] = x
    kernel = exactly(layer.weight)
    outputs, inputs, *taps = kernel.shape
    shape = layer.output_shape(x.shape)
    result = np.empty(shape, dtype=object)
    for out, i, j in np.ndindex(*shape):
        first = out // (outputs // layer.groups) * inputs
        top, left = i * layer.stride[0], j * layer.stride[1]
        window = padded[first : first + inputs, top : top + taps[0], left : left + taps[1]]
        result[out, i, j] = (window * kernel[out]).sum()
    return result if layer.bias is None else result + exactly(layer.bias).reshape(-1, 1, 1)


def _pooled(layer: AveragePool2d | GlobalAveragePool | MaxPool2d | L2Pool2d, x: Numbers) -> Numbers:
    channels, height, width = x.shape
    if isinstance(layer, GlobalAveragePool):
        return (x.reshape(channels, -1).sum(axis=1) / mpf(height * width)).reshape(channels, 1, 1)
    down, right = getattr(layer, "padding", (0, 0))
    outside = mpf("-inf") if isinstance(layer, MaxPool2d) else mpf(0)
    padded = np.full((channels, height + 2 * down, width + 2 * right), outside, dtype=object)
    padded[:, down : down + height, right : right + width] = x
    shape = layer.output_shape(x.shape)
    result = np.empty(shape, dtype=object)
    for c, i, j in np.ndindex(*shape):
        top, left = i * layer.stride[0], j * layer.stride[1]
        window = padded[c, top : top + layer.window[0], left : left + layer.window[1]].ravel()
        if isinstance(layer, MaxPool2d):
            result[c, i, j] = max(window)
        elif isinstance(layer, L2Pool2d):
            result[c, i, j] = mp.norm(window.tolist())
        else:
            result[c, i, j] = window.sum() / mpf(len(window))
    return result


def length(values: Numbers) -> mpf:
    """The l2 norm."""
    with mp.workdps(DIGITS):
        return mp.norm(values.ravel().tolist())


def _of_a_family(layer: FamilyConv2d, x: Numbers) -> Numbers:
    channels, height, width, f = *x.shape, layer.stride
    kernel, bias = layer.kernel.detach().double().numpy(), exactly(layer.bias).reshape(-1, 1, 1)
    if isinstance(layer, AOCConv2d):
        matrix = dense.strided_circular_matrix(kernel, height, width, (layer.taps - layer.stride + 1) // 2, f)
        return _product(matrix, x.ravel()).reshape(-1, height // f, width // f) + bias
    x = x.reshape(channels, height // f, f, width // f, f).transpose(0, 2, 4, 1, 3)
    height, width = height // f, width // f
    x = x.reshape(channels * f * f, height, width)
    if isinstance(layer, SandwichConv2d):
        matrix = dense.circular_matrix(kernel, height, width)
        a, b = np.split(matrix, [layer.out_channels * height * width], axis=1)
        inner = _product(b, x.ravel()).reshape(-1, height, width) + bias
        return 2 * _product(a.T, np.maximum(inner, mpf(0)).ravel()).reshape(-1, height, width)
    if isinstance(layer, PotentialConv2d):
        x = np.concatenate([x, exactly(np.zeros((layer.channels - len(x), height, width)))])
        matrix = dense.zero_padded_matrix(kernel, height, width)
        inner = _product(matrix, x.ravel()).reshape(x.shape) + bias
        back = _product(matrix.T, np.maximum(inner, mpf(0)).ravel()).reshape(x.shape)
        return (x - 2 * back)[: layer.out_channels]
    if isinstance(layer, ScaledLinearConv2d):
        total = _product(dense.zero_padded_matrix(kernel, height, width), x.ravel())
    elif isinstance(layer, SOCConv2d):
        x = np.concatenate([x, exactly(np.zeros((layer.channels - len(x), height, width)))])
        total = series(kernel, x, layer.terms).ravel()
    else:
        # Cayley's kernels start at their pixel; BCOP's have it in the middle.
        shift = kernel.shape[2] // 2 if isinstance(layer, BCOPConv2d) else 0
        rows = dense.circular_matrix(kernel, height, width).reshape(len(kernel), height, width, -1)
        matrix = np.roll(rows, (shift, shift), (1, 2)).reshape(len(kernel) * height * width, -1)
        total = _product(matrix, x.ravel())
    result = total.reshape(-1, height, width)[: layer.out_channels]
    return result + bias


def series(kernel: NDArray[np.float64], x: Numbers, terms: int) -> Numbers:
    """sum_{k <= n} A^k x / k!, A the convolution with zero padding, (C, H, W) to the same shape."""
    with mp.workdps(DIGITS):
        rows = _rows(dense.zero_padded_matrix(kernel, *x.shape[1:]))
        total = term = x.ravel()
        factorial = 1
        for k in range(1, terms + 1):
            factorial *= k
            term = _times(rows, term)
            total = total + term / factorial
        return total.reshape(x.shape)


Rows = list[tuple[NDArray[np.intp], list[mpf]]]


def _rows(matrix: NDArray[np.float64]) -> Rows:
    """Of each row the places that are not zero, and what stands there."""
    places = [np.flatnonzero(row) for row in matrix]
    return [(at, [mpf(number) for number in row[at].tolist()]) for row, at in zip(matrix, places, strict=True)]


def _times(rows: Rows, x: Numbers) -> Numbers:
    return np.array([mp.fdot(numbers, x[at]) for at, numbers in rows], dtype=object)


def _product(matrix: NDArray[np.float64], x: Numbers) -> Numbers:
    """Matrix times vector; zeros are skipped."""
    return _times(_rows(matrix), x)


def _sorted_groups(x: Numbers, size: int) -> Numbers:
    groups = x.reshape(size, len(x) // size, *x.shape[1:])
    return np.sort(groups, axis=0)[::-1].reshape(x.shape)


def _pairs(layer: MaxMin | HouseHolder1 | HouseHolder2, x: Numbers) -> Numbers:
    half = len(x) // 2
    result = np.empty(x.shape, dtype=object)
    angles = [exactly(theta) for theta in layer.parameters()]
    for place in np.ndindex(half, *x.shape[1:]):
        other = (place[0] + half, *place[1:])
        result[place], result[other] = _pair(layer, x[place], x[other], [theta[place[0]] for theta in angles])
    return result


def _pair(layer: LipschitzLayer, x: mpf, y: mpf, theta: list[mpf]) -> tuple[mpf, mpf]:
    if isinstance(layer, MaxMin):
        return max(x, y), min(x, y)
    if isinstance(layer, HouseHolder1):
        (angle,) = theta
        below = x * mp.sin(angle / 2) - y * mp.cos(angle / 2) > 0
        return _mirrored(x, y, angle) if below else (x, y)
    turn = 2 * mp.pi
    first, second, third = (min(max(angle, mpf(0)), turn) for angle in theta)
    phi = mp.atan2(y, x) - first / 2
    phi -= turn * mp.floor(phi / turn)
    if phi < second / 2:
        return x, y
    if phi < (second + third) / 2:
        return _mirrored(x, y, first + second)
    if phi < mp.pi + third / 2:
        cosine, sine = mp.cos(third), mp.sin(third)
        return x * cosine + y * sine, y * cosine - x * sine
    return _mirrored(x, y, first)


def _mirrored(x: mpf, y: mpf, angle: mpf) -> tuple[mpf, mpf]:
    cosine, sine = mp.cos(angle), mp.sin(angle)
    return x * cosine + y * sine, x * sine - y * cosine
