"""A proved bound on any convolution layer as it is used: its image size, stride, padding, groups and dilation.

The tightest of three proofs that the effort allows, and the method says which:

- **the matrix itself**, where it is small: exact up to rounding;
- **frequencies**: stride by phases, padding by a circle that is large enough, with and without a twist
  (:mod:`lipscope.bounds.axes`). Exact for circular padding where the stride divides the image. For zero padding on
  n x n loose by a factor 1 + O(1 / n^2): with random 3x3 and 4x4 kernels up to 8% at 8 x 8, 1.6% at 16 x 16 and 0.5%
  at 32 x 32. Circular padding that does not fit the image (even kernels padded on both sides, strides that do not
  divide it) repeats pixels, which costs at most a factor of sqrt(2) an axis;
- **unfoldings**, for the largest kernels: typically 1.5 to 1.7 times loose for 3x3.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor

from lipscope.bounds.axes import Axis, Circle, circles, polyphase
from lipscope.bounds.convolution import unfolding_bound
from lipscope.bounds.frequencies import grid_bound
from lipscope.bounds.matrix import normalized, spectral_norm_bound
from lipscope.bounds.padding import copies_of, padding_bound
from lipscope.bounds.rounding import gamma, scaled, up
from lipscope.records import Bound

Pair = int | tuple[int, int]
Sides = tuple[tuple[int, int], tuple[int, int]]
"""(before, after) of the vertical and the horizontal axis."""

QUICK, MATRIX_EFFORT, FINE = 2.0**30, 2.0**36, 2.5
"""Multiplications up to which the matrix of the layer is formed and its norm proved: always (a tenth of a second), and
where frequencies are loose (two or three seconds), which they are with fewer than so many of them a tap."""

MATRIX_ENTRIES = 2**24
"""Entries that such a matrix may have: 128 MB."""

GRID_EFFORT, LEISURE = 2.0**38, 2.0**35
"""Operations that one embedding's frequencies may take (some ten seconds), and that all of them may."""


def convolution_bound(
    kernel: Tensor,
    input_size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair | Sides | Literal["same", "valid"] = 0,
    padding_mode: str = "zeros",
    groups: int = 1,
    dilation: Pair = 1,
) -> Bound:
    """A proved upper bound on the operator norm of a convolution, as ``torch.nn.Conv2d`` computes it.

    Args:
        kernel: (out, in / groups, h, w), the stored weight.
        input_size: height and width of the image, before padding.
        stride, padding, padding_mode, groups, dilation: as of ``torch.nn.Conv2d``; the padding may also be given as
            (before, after) for each axis.

    Returns:
        the bound with its method; not proved, with the reason, for padding modes without a proof and for kernels that
        are not finite.

    Raises:
        ValueError: the kernel does not fit into the padded image, or the groups do not divide the channels.

    >>> convolution_bound(torch.tensor([[[[1.0, 0.0, -1.0]]]]), (1, 2), padding=(0, 1)).value >= 1.0
    True
    """
    if kernel.ndim != 4 or groups < 1 or kernel.shape[0] % groups:
        raise ValueError(f"no convolution in {groups} groups has a kernel of shape {tuple(kernel.shape)}")
    if padding_mode not in ("zeros", "circular", "reflect", "replicate"):
        return Bound.unproved(f"no proof for padding mode {padding_mode!r}")
    if not bool(torch.isfinite(kernel).all()):
        return Bound.unproved("the kernel holds NaN or infinite values")
    kernel = dilated(kernel.detach().to(torch.float64), _pair(dilation))
    pads = _paddings(padding, kernel.shape[2:], _pair(stride))
    if padding_mode in ("reflect", "replicate"):
        return _copied_bound(kernel, input_size, _pair(stride), pads, padding_mode, groups)
    (first, rows), (second, columns) = (
        Axis(size, taps, step, pad, padding_mode == "circular").without_unused_taps()
        for size, taps, step, pad in zip(input_size, kernel.shape[2:], _pair(stride), pads, strict=True)
    )
    kernel = kernel[:, :, rows.start : rows.stop, columns.start : columns.stop]
    parts = [_one_group(part, (first, second)) for part in kernel.chunk(groups)]
    value, method = max(parts, key=lambda part: part[0])
    if not math.isfinite(value):
        return Bound(value, method, proved=False, reason="the bound overflows float64", rounded_outward=False)
    return Bound(value, f"largest of {groups} groups; {method}" if groups > 1 else method)


def _copied_bound(
    kernel: Tensor, size: tuple[int, int], stride: tuple[int, int], pads: list[tuple[int, int]], mode: str, groups: int
) -> Bound:
    """Padding by copies of pixels: the matrix where it is small, else the norm of the copying times the rest."""
    padded = size[0] + sum(pads[0]), size[1] + sum(pads[1])
    axes = [Axis(n, taps, s, (0, 0), False) for n, taps, s in zip(padded, kernel.shape[2:], stride, strict=True)]
    parts = kernel.chunk(groups)
    rows = parts[0].shape[0] * axes[0].outputs * axes[1].outputs
    columns = kernel.shape[1] * math.prod(size)
    if rows * columns <= MATRIX_ENTRIES and rows * columns * min(rows, columns) * groups <= MATRIX_EFFORT:
        first, second = (axis.taps() @ copies_of(n, pad, mode) for axis, n, pad in zip(axes, size, pads, strict=True))
        value = max(_matrix_norm(part, first, second, repeated=True) for part in parts)
        return Bound(value, f"norm of the {rows} x {columns} matrix by Cholesky, exact")
    rest = convolution_bound(kernel, padded, stride, 0, "zeros", groups)
    if not rest.proved:
        return rest
    copying = padding_bound(size, (pads[0], pads[1]), mode)
    return Bound(up(rest.value * copying.value), f"{rest.method}; times {copying.value:.3g}, pixels that are copied")


def dilated(kernel: Tensor, dilation: tuple[int, int]) -> Tensor:
    """The kernel with zeros between its taps: (out, in, d (h - 1) + 1, e (w - 1) + 1)."""
    if dilation == (1, 1):
        return kernel
    out_channels, in_channels, height, width = kernel.shape
    spread = kernel.new_zeros(out_channels, in_channels, dilation[0] * (height - 1) + 1, dilation[1] * (width - 1) + 1)
    spread[:, :, :: dilation[0], :: dilation[1]] = kernel
    return spread


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _paddings(
    padding: Pair | Sides | Literal["same", "valid"], taps: tuple[int, ...], stride: tuple[int, int]
) -> list[tuple[int, int]]:
    """(before, after) of each axis; ``"same"`` puts the odd one after, as torch does.

    Raises:
        ValueError: ``"same"`` with a stride.
    """
    if padding == "same":
        if stride != (1, 1):
            raise ValueError("padding 'same' needs stride 1")
        return [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in taps]
    if padding == "valid":
        return [(0, 0), (0, 0)]
    assert not isinstance(padding, str)
    if isinstance(padding, int):
        return [(padding, padding)] * 2
    return [(pad, pad) if isinstance(pad, int) else pad for pad in padding]


def _one_group(kernel: Tensor, axes: tuple[Axis, Axis]) -> tuple[float, str]:
    """The least bound that the effort allows, with its method."""
    rows = kernel.shape[0] * axes[0].outputs * axes[1].outputs
    columns = kernel.shape[1] * axes[0].size * axes[1].size
    embeddings = list(itertools.product(circles(axes[0]), circles(axes[1])))
    if not embeddings or not bool(kernel.any()):
        return 0.0, "no output depends on the input"
    exact = any(first.exact and second.exact for first, second in embeddings)
    products = rows * columns * min(rows, columns)
    limit = MATRIX_EFFORT if _coarse(kernel, embeddings) else QUICK
    affordable = rows * columns <= MATRIX_ENTRIES and products <= limit
    if affordable and not exact:
        return _matrix_bound(kernel, axes), f"norm of the {rows} x {columns} matrix by Cholesky, exact"
    effort = sum(_grid_effort(kernel, first, second) for first, second in embeddings)
    if effort > LEISURE:
        embeddings = embeddings[:1]
        effort = _grid_effort(kernel, *embeddings[0])
    if effort <= GRID_EFFORT:
        bounds = [(_circle_bound(kernel, first, second), first, second) for first, second in embeddings]
        value, first, second = min(bounds, key=lambda found: found[0])
        grid = f"{first.points} x {second.points} frequencies by Cholesky"
        return value, grid + (", exact" if exact else ", loose by O(1/n^2)")
    return _unfolding_bound(kernel, axes)


def _coarse(kernel: Tensor, embeddings: list[tuple[Circle, Circle]]) -> bool:
    """Whether frequencies may be more than about 5% loose: on few pixels, or where pixels are repeated."""
    repeated = all(first.copies * second.copies > 1 for first, second in embeddings)
    taps = zip(embeddings[0], kernel.shape[2:], strict=True)
    return repeated or any(k > 1 and circle.points < FINE * -(-k // circle.stride) for circle, k in taps)


def _matrix_bound(kernel: Tensor, axes: tuple[Axis, Axis]) -> float:
    """The norm of the layer's matrix."""
    return _matrix_norm(kernel, axes[0].taps(), axes[1].taps(), repeated=axes[0].circular)


def _matrix_norm(kernel: Tensor, first: Tensor, second: Tensor, *, repeated: bool) -> float:
    """The norm of the matrix that taps make of a kernel; where they meet in a pixel their sum is rounded, and added."""
    # A power of two changes no mantissa, and keeps the squares below away from underflow.
    kernel, exponent = normalized(kernel)
    assert exponent is not None
    half = torch.einsum("oiab,qbx->oiaqx", kernel, second)
    matrix = torch.einsum("oiaqx,pay->opqiyx", half, first)
    value = spectral_norm_bound(matrix.reshape(math.prod(matrix.shape[:3]), -1))
    if not repeated:
        return scaled(value, exponent)
    terms = kernel.shape[2] * kernel.shape[3]
    sums = float(torch.linalg.norm(kernel.abs().sum(dim=(2, 3))))
    outputs = len(first) * len(second)
    value = up(value + up(gamma(2 * terms) * math.sqrt(outputs) * sums * (1 + gamma(kernel.numel())), 8))
    return scaled(value, exponent)


def _grid_effort(kernel: Tensor, first: Circle, second: Circle) -> float:
    out_channels, in_channels = kernel.shape[0], kernel.shape[1] * first.stride * second.stride
    matrices = first.points * (second.points // 2 + 1)
    return 8.0 * matrices * out_channels * in_channels * min(out_channels, in_channels)


def _circle_bound(kernel: Tensor, first: Circle, second: Circle) -> float:
    phases = polyphase(kernel, (first.stride, second.stride))
    value = grid_bound(phases, first.points, second.points, (first.twisted, second.twisted))
    copies = first.copies * second.copies
    return value if copies == 1 else up(value * up(math.sqrt(copies)))


def _unfolding_bound(kernel: Tensor, axes: tuple[Axis, Axis]) -> tuple[float, str]:
    """For every image size. The convolution on phases has fewer taps, which is tighter unless most are zero."""
    strides = (axes[0].stride, axes[1].stride)
    copies = 1
    for axis in axes:
        if axis.circular:
            # A part of the stride-1 circle, unless there are more outputs than places on it.
            places = axis.size // math.gcd(axis.stride, axis.size)
            copies *= -(-axis.outputs // places)
            strides = strides if axis.size % axis.stride == 0 else (1, 1)
    value = min(unfolding_bound(_present(polyphase(kernel, strides))), unfolding_bound(_present(kernel)))
    value = value if copies == 1 else up(value * up(math.sqrt(copies)))
    return value, "sqrt(h w) times the smallest unfolding norm, typically 1.5 to 1.7 times loose"


def _present(kernel: Tensor) -> Tensor:
    """The kernel without rows and columns of zeros: an unfolding does not depend on where its taps lie."""
    taps = kernel.ne(0).any(dim=0).any(dim=0)
    return kernel[:, :, taps.any(dim=1)][:, :, :, taps.any(dim=0)]
