"""Steps down a convex potential: x -> x - 2 G^T relu(G x + c), 1-Lipschitz for ||G|| <= 1.

Almost everywhere the Jacobian is I - 2 G^T S G, S diagonal with entries 0 and 1, and 0 <= G^T S G <= ||G||^2. So its
eigenvalues lie in [1 - 2 ||G||^2, 1], and L = max(1, 2 ||G||^2 - 1). CPL (Meunier et al., ICML 2022) and SLL (Araujo et
al., ICLR 2023) are of this form, x - 2 K^T D relu(K x + b) with a positive diagonal D: relu is positively homogeneous,
so G = D^(1/2) K and c = D^(1/2) b. They differ in D, of which the proof knows nothing: it is about G as it is stored.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import UNBOUNDED, Rounding
from lipscope.layers.joints import Sum
from lipscope.layers.reshape import pad_channels, pixel_unshuffle
from lipscope.layers.roundings import affine_rounding, length
from lipscope.layers.scaled import ScaledConv2d
from lipscope.records import Bound, Shape


class PotentialConv2d(ScaledConv2d):
    """The step on C = max(in stride^2, out) channels: those of the unshuffled image and zeros; the first are kept.

    Args:
        family: its name for a person.
        in_channels, out_channels: as of any convolution.
        kernel_size: of G, odd.
        stride: 1 or 2, by pixel-unshuffle.
        side: height and width of the input, for which a frozen kernel is scaled to be proved.
    """

    def __init__(
        self, family: str, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int
    ) -> None:
        self.channels = max(in_channels * stride**2, out_channels)
        shape = (self.channels, self.channels, kernel_size, kernel_size)
        kind = f"{family} {kernel_size}x{kernel_size}"
        super().__init__(kind, in_channels, out_channels, stride, shape, side, self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        x = pad_channels(pixel_unshuffle(x, self.stride), self.channels)
        kernel = self.effective_kernel().to(x.dtype)
        padding = kernel.shape[-1] // 2
        slope = F.conv2d(x, kernel, self.bias.to(x.dtype), padding=padding).relu()
        step = F.conv_transpose2d(slope, kernel[:, : self.out_channels], padding=padding)
        return x[:, : self.out_channels] - 2 * step

    def bound(self, input_shape: Shape) -> Bound:
        """Max(1, 2 ||G||^2 - 1), with a proved ||G||."""
        norm = self.kernel_norm(input_shape)
        if norm <= 1:
            return Bound.exactly(1.0, "a step down a convex potential, ||G|| <= 1 by frequencies")
        return Bound(max(1.0, up(2 * up(norm * norm) - 1)), f"2 ||G||^2 - 1, ||G|| <= {norm:.6g} by frequencies")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """That of G x + c, carried through G^T; that of G^T; and of the difference; none while it trains."""
        _, height, width = self.output_shape(input_shape)
        kernel, places = self.effective_kernel().detach(), height * width
        largest, absolute = self.kernel_norm(input_shape), absolute_bound(kernel)
        size, terms = self.channels * places, kernel[0].numel()
        inner = affine_rounding(largest, absolute, terms, self.bias, places, size, norm, arithmetic)
        back = affine_rounding(largest, absolute, terms, None, places, size, inner.norm, arithmetic)
        step = Rounding(outward(largest * inner.error + back.error), back.norm)
        if self.scaling is not None:
            step = UNBOUNDED
        error = Sum((1.0, -2.0)).rounded([Rounding(0.0, norm), step], size, arithmetic).error
        # f(0) = -2 G^T relu(c).
        offset = 2 * largest * length(self.bias) * math.sqrt(places)
        return Rounding(error, arithmetic.held(outward(self.bound(input_shape).value * norm + offset + error)))
