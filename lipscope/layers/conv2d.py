"""A plain convolution: any stride, zero or circular padding, groups, with no parametrisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.axes import polyphase
from lipscope.bounds.rounding import Arithmetic
from lipscope.bounds.strided import convolution_bound
from lipscope.layers.contract import LinearLayer, Rounding
from lipscope.layers.roundings import affine_rounding
from lipscope.records import Bound, Shape

PADDING_MODES = ("zeros", "circular")


class Conv2d(LinearLayer):
    """``torch.nn.Conv2d`` with dilation 1.

    Args:
        weight: (out, in / groups, h, w).
        bias: (out,), or None.
        stride, padding: (vertical, horizontal).
        padding_mode: ``"zeros"`` or ``"circular"``.
        groups: they divide both numbers of channels.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        padding_mode: str = "zeros",
        groups: int = 1,
    ) -> None:
        super().__init__()
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding mode {padding_mode!r} is not one of {', '.join(PADDING_MODES)}")
        if weight.shape[0] % groups:
            raise ValueError(f"{weight.shape[0]} output channels cannot be put in {groups} groups")
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.stride, self.padding, self.padding_mode, self.groups = stride, padding, padding_mode, groups
        self.kind = f"conv {weight.shape[2]}x{weight.shape[3]}" + "".join(
            f", {word}"
            for word, said in (
                (f"stride {_pair_text(stride)}", stride != (1, 1)),
                (f"{groups} groups", groups > 1),
                ("circular", padding_mode == "circular"),
            )
            if said
        )

    def linear(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H', W')."""
        return self._convolved(x, self.bias)

    def _convolved(self, x: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode == "circular" and any(padding):
            vertical, horizontal = padding
            x = F.pad(x, (horizontal, horizontal, vertical, vertical), mode="circular")
            padding = (0, 0)
        weight = self.weight.to(x.dtype)
        shift = None if bias is None else bias.to(x.dtype)
        return torch.conv2d(x, weight, shift, self.stride, padding, (1, 1), self.groups)

    def circular_kernel(self, input_shape: Shape) -> Tensor | None:
        """Of a circular layer in one group that covers the image exactly: its phases by the stride."""
        _, *sizes = input_shape
        _, *places = self.output_shape(input_shape)
        fits = all(n == s * m for n, s, m in zip(sizes, self.stride, places, strict=True))
        if self.padding_mode != "circular" or self.groups > 1 or not fits:
            return None
        return polyphase(self.weight.detach(), self.stride)

    def bound(self, input_shape: Shape) -> Bound:
        """The norm at this image size, by frequencies, by the matrix, or by unfoldings; the method says which."""
        return self._norm(self.weight.detach(), input_shape)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """A sum of products and the bias in every output; |K| has a norm of its own at this image size."""
        shape = self.output_shape(input_shape)
        absolute = self._norm(self.weight.detach().double().abs(), input_shape).value
        return affine_rounding(
            self.bound(input_shape).value, absolute, self.weight[0].numel(), self.bias, math.prod(shape[1:]),
            math.prod(shape), norm, arithmetic,
        )  # fmt: skip

    def _norm(self, kernel: Tensor, input_shape: Shape) -> Bound:
        _, height, width = input_shape
        return convolution_bound(kernel, (height, width), self.stride, self.padding, self.padding_mode, self.groups)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(out, H', W')."""
        outputs, inputs, *taps = self.weight.shape
        if len(input_shape) != 3 or input_shape[0] != inputs * self.groups:
            raise ValueError(f"expects {inputs * self.groups} channels, got shape {input_shape}")
        sizes = window_places(input_shape[1:], (taps[0], taps[1]), self.stride, self.padding)
        if self.padding_mode == "circular" and any(
            pad > size for pad, size in zip(self.padding, input_shape[1:], strict=True)
        ):
            raise ValueError(f"circular padding {self.padding} goes more than once around {input_shape[1:]}")
        return (outputs, *sizes)


def window_places(
    size: Shape, taps: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
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


def _pair_text(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
