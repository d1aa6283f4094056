"""A plain convolution as ``torch.nn.Conv2d`` computes it, with no parametrisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipscope.bounds.axes import polyphase
from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.padding import MODES, padding_bound, sources
from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.bounds.strided import Sides, convolution_bound, dilated
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.padding import padded
from lipscope.layers.roundings import affine_rounding
from lipscope.records import Bound, Shape

Pair = tuple[int, int]
PADDING_MODES = MODES


class Conv2d(LinearLayer):
    """``torch.nn.Conv2d``; the padding may differ on the two sides of an axis.

    Args:
        weight: (out, in / groups, h, w).
        bias: (out,), or None.
        stride, dilation: (vertical, horizontal).
        padding: (vertical, horizontal), or ((top, bottom), (left, right)).
        padding_mode: ``"zeros"``, ``"circular"``, ``"reflect"`` or ``"replicate"``.
        groups: they divide both numbers of channels.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Pair = (1, 1),
        padding: Pair | Sides = (0, 0),
        padding_mode: str = "zeros",
        groups: int = 1,
        dilation: Pair = (1, 1),
    ) -> None:
        super().__init__()
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding mode {padding_mode!r} is not one of {', '.join(PADDING_MODES)}")
        if weight.shape[0] % groups:
            raise ValueError(f"{weight.shape[0]} output channels cannot be put in {groups} groups")
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.stride, self.padding, self.padding_mode, self.groups = stride, padding, padding_mode, groups
        self.dilation = dilation
        self.kind = f"conv {weight.shape[2]}x{weight.shape[3]}" + "".join(
            f", {word}"
            for word, said in (
                (f"stride {_pair_text(stride)}", stride != (1, 1)),
                (f"dilation {_pair_text(dilation)}", dilation != (1, 1)),
                (f"{groups} groups", groups > 1),
                (padding_mode, padding_mode != "zeros"),
            )
            if said
        )

    @property
    def sides(self) -> Sides:
        """The padding as ((top, bottom), (left, right))."""
        vertical, horizontal = self.padding
        if isinstance(vertical, int) or isinstance(horizontal, int):
            assert isinstance(vertical, int)
            assert isinstance(horizontal, int)
            return (vertical, vertical), (horizontal, horizontal)
        return vertical, horizontal

    @property
    def taps(self) -> Pair:
        """The height and width that the kernel covers, dilation included."""
        height, width = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.weight.shape[2:], strict=True))
        return height, width

    def linear(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, self.bias)

    def _convolved(self, x: Tensor, bias: Tensor | None) -> Tensor:
        (top, bottom), (left, right) = self.sides
        padding = (top, left)
        if self.padding_mode != "zeros" or (top, left) != (bottom, right) or min(padding) < 0:
            x = padded(x, self.sides, self.padding_mode)
            padding = (0, 0)
        weight = self.weight.to(x.dtype)
        shift = None if bias is None else bias.to(x.dtype)
        return torch.conv2d(x, weight, shift, self.stride, padding, self.dilation, self.groups)

    def circular_kernel(self, input_shape: Shape) -> Tensor | None:
        """Of a circular layer in one group that covers the image exactly: its phases by the stride."""
        _, *sizes = input_shape
        _, *places = self.output_shape(input_shape)
        fits = all(n == s * m for n, s, m in zip(sizes, self.stride, places, strict=True))
        if self.padding_mode != "circular" or self.groups > 1 or not fits:
            return None
        return polyphase(dilated(self.weight.detach(), self.dilation), self.stride)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm at this image size, by frequencies, by the matrix, or by unfoldings; the method says which."""
        _, height, width = input_shape
        return convolution_bound(
            self.weight.detach(),
            (height, width),
            self.stride,
            self.sides,
            self.padding_mode,
            self.groups,
            self.dilation,
        )

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """One sum of products an output on the padded image, whose norm grows with the copies of pixels."""
        outputs, *places = self.output_shape(input_shape)
        copying = padding_bound(input_shape[1:], self.sides, self.padding_mode).value
        kernel, size = self.weight.detach(), math.prod(places)
        absolute = outward(max(absolute_bound(part) for part in kernel.chunk(self.groups)) * copying)
        return affine_rounding(
            self.bound(input_shape).value,
            absolute,
            kernel[0].numel(),
            self.bias,
            size,
            outputs * size,
            norm,
            arithmetic,
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H', W')."""
        outputs, inputs, *_ = self.weight.shape
        if len(input_shape) != 3 or input_shape[0] != inputs * self.groups:
            raise ValueError(f"expects {inputs * self.groups} channels, got shape {input_shape}")
        size = [len(sources(n, sides, self.padding_mode)) for n, sides in zip(input_shape[1:], self.sides, strict=True)]
        return (outputs, *window_places((size[0], size[1]), self.taps, self.stride, (0, 0)))


def window_places(size: Shape, taps: Pair, stride: Pair, padding: Pair) -> Pair:
    """How many places a window of ``taps`` has in each direction.

    Raises:
        ValueError: it does not fit even once.

    >>> window_places((8, 8), (3, 3), (2, 2), (1, 1))
    (4, 4)
    """
    places = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, taps, stride, padding, strict=True)]
    if min(places) < 1:
        raise ValueError(f"a window of {taps[0]}x{taps[1]} does not fit into {size[0]}x{size[1]} padded by {padding}")
    return places[0], places[1]


def _pair_text(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
