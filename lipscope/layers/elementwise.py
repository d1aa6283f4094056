"""Activations that act on each number alone, with the steepest slope of each and what its evaluation may err by."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds import slopes
from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import Arithmetic, outward, up
from lipscope.layers.contract import LipschitzLayer, Rounding
from lipscope.records import Bound, Shape

LIBRARY_ROUNDOFFS = 16
"""What a composition of exp, tanh, erf or log1p with a few operations may be off by, in units of u.

An assumption about libraries, with room, as that about sines in :mod:`lipscope.layers.householder`.
"""


class Elementwise(LipschitzLayer):
    """A function of one number, applied to all.

    Args:
        kind: for a person.
        function: of a tensor.
        slope: sup |f'|, proved.
        method: how.
        at_zero: |f(0)|.
        relative, absolute: |fl(f)(x) - f(x)| <= u (relative |x| + absolute), underflow aside.
        lifted: at least every factor, and by how much a number that underflowed may be multiplied.
    """

    gradient_norm_preserving = False

    def __init__(
        self,
        kind: str,
        function: Callable[[Tensor], Tensor],
        slope: float,
        method: str,
        *,
        at_zero: float = 0.0,
        relative: float = 0.0,
        absolute: float = 0.0,
        lifted: float = 1.0,
    ) -> None:
        super().__init__()
        self.kind, self.function = kind, function
        self._slope = Bound.exactly(slope, method) if slope in (0.25, 0.5, 1.0, 1.5) else Bound(up(slope, 4), method)
        self._at_zero, self._relative, self._absolute, self._lifted = at_zero, relative, absolute, lifted

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.function(x)

    def bound(self, input_shape: Shape) -> Bound:
        """The steepest slope."""
        return self._slope

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """The error of every number, together at most u (relative ||x|| + absolute sqrt(n))."""
        root = math.sqrt(math.prod(input_shape))
        exact = outward(self._slope.value * norm + self._at_zero * root)
        if not (self._relative or self._absolute):
            return Rounding(0.0, arithmetic.held(exact))
        error = arithmetic.unit_roundoff * (self._relative * norm + self._absolute * root)
        flushed = 64 * arithmetic.smallest * self._lifted * (root + norm)
        error = arithmetic.held(outward(error + flushed), max(64 * norm, self._lifted))
        return Rounding(error, arithmetic.held(outward(exact + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape


class ReLU(Elementwise):
    """max(x, 0): 1-Lipschitz, and it loses the gradient of every number that it cuts."""

    def __init__(self) -> None:
        super().__init__("ReLU", torch.relu, 1.0, "slopes 0 and 1")


class LeakyReLU(Elementwise):
    """x where x > 0 and s x elsewhere.

    Args:
        slope: s.

    Raises:
        ValueError: it is not finite.
    """

    def __init__(self, slope: float) -> None:
        if not math.isfinite(slope):
            raise ValueError(f"the slope must be a finite number, got {slope}")
        super().__init__(
            f"leaky ReLU {slope:g}",
            lambda x: F.leaky_relu(x, slope),
            max(1.0, abs(slope)),
            f"slopes 1 and {slope:g}",
            relative=2 * abs(slope),
            lifted=max(1.0, abs(slope)),
        )
        self.slope = slope
        self.gradient_norm_preserving = abs(slope) == 1


class PReLU(LipschitzLayer):
    """x where x > 0 and a_c x elsewhere, c the channel.

    Args:
        weight: (C,), or (1,) for all channels.
    """

    kind = "PReLU"
    gradient_norm_preserving = False

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.prelu(x, self.weight.to(x.dtype))

    def bound(self, input_shape: Shape) -> Bound:
        """The largest of 1 and |a_c|."""
        largest = float(self.weight.detach().abs().max())
        return Bound.exactly(max(1.0, largest), "slopes 1 and the weights")

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """One product a number."""
        factor = length_bound(self.weight.detach())
        flushed = 4 * arithmetic.smallest * (1 + factor) * (math.sqrt(math.prod(input_shape)) + norm)
        error = outward(2 * arithmetic.unit_roundoff * factor * norm + flushed)
        error = arithmetic.held(error, 2 * factor * max(norm, 1.0))
        return Rounding(error, arithmetic.held(outward(self.bound(input_shape).value * norm + error)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if len(self.weight) not in (1, input_shape[0]):
            raise ValueError(f"{len(self.weight)} slopes for {input_shape[0]} channels")
        return input_shape


def absolute() -> Elementwise:
    """|x|: an isometry on each side of 0, so gradients keep their norm."""
    layer = Elementwise("absolute value", torch.abs, 1.0, "slopes -1 and 1")
    layer.gradient_norm_preserving = True
    return layer


def clamp(least: float, most: float) -> Elementwise:
    """min(max(x, least), most): ``Hardtanh`` and ``ReLU6``.

    Raises:
        ValueError: least > most.
    """
    if not least <= most:
        raise ValueError(f"no number lies between {least} and {most}")
    at_zero = abs(min(max(0.0, least), most))
    finite = [abs(end) for end in (least, most) if math.isfinite(end)]
    # The ends are rounded to the arithmetic.
    absolute = 2 * max(finite, default=0.0)
    return Elementwise(
        f"clamp to [{least:g}, {most:g}]", lambda x: x.clamp(least, most), 1.0, "slopes 0 and 1",
        at_zero=at_zero, absolute=absolute,
    )  # fmt: skip


def sigmoid() -> Elementwise:
    """1 / (1 + exp(-x))."""
    return Elementwise("sigmoid", torch.sigmoid, 0.25, "slope 1/4 at 0", at_zero=0.5, absolute=LIBRARY_ROUNDOFFS)


def tanh() -> Elementwise:
    """The hyperbolic tangent."""
    return Elementwise("tanh", torch.tanh, 1.0, "slope 1 at 0", relative=LIBRARY_ROUNDOFFS)


def softplus(beta: float) -> Elementwise:
    """log(1 + exp(beta x)) / beta, without the threshold from which torch takes x instead and jumps.

    Raises:
        ValueError: beta is not positive.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    return Elementwise(
        "softplus" if beta == 1 else f"softplus {beta:g}",
        lambda x: torch.relu(x) + torch.log1p(torch.exp(-(x * beta).abs())) / beta,
        1.0, "slopes from 0 to 1", at_zero=math.log(2) / beta * (1 + 2**-40),
        relative=LIBRARY_ROUNDOFFS, absolute=LIBRARY_ROUNDOFFS / beta, lifted=max(1.0, beta),
    )  # fmt: skip


def elu(alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Elementwise:
    """Scale x for x > 0 and scale alpha (exp(input_scale x) - 1) elsewhere: ``ELU``, ``CELU`` and ``SELU``.

    Raises:
        ValueError: a negative input_scale, with which the exponential grows without bound.
    """
    if not input_scale >= 0:
        raise ValueError(f"no Lipschitz constant holds with the input scale {input_scale}: it must not be negative")
    steep = abs(scale) * max(1.0, up(up(abs(alpha)) * abs(input_scale)))
    return Elementwise(
        f"ELU {alpha:g}" if scale == 1 else f"ELU {alpha:g}, times {scale:g}",
        lambda x: scale * torch.where(x > 0, x, alpha * torch.expm1(input_scale * x.clamp(max=0.0))),
        steep if scale == 1 else up(steep), "the larger of its two slopes at 0",
        relative=LIBRARY_ROUNDOFFS * steep,
        lifted=max(1.0, steep, up(abs(scale) * abs(alpha)), *map(abs, (alpha, scale, input_scale))),
    )  # fmt: skip


def gelu(form: str) -> Elementwise:
    """``x Phi(x)``, or its approximation by tanh.

    Args:
        form: ``"none"`` or ``"tanh"``, as of ``torch.nn.GELU``.

    Raises:
        ValueError: another form.
    """
    if form not in ("none", "tanh"):
        raise ValueError(f"GELU has the forms none and tanh, not {form!r}")
    slope, method = (slopes.GELU, "slope at sqrt 2") if form == "none" else (slopes.GELU_TANH, "interval arithmetic")
    kind = "GELU" if form == "none" else "GELU, tanh form"
    return Elementwise(kind, lambda x: F.gelu(x, approximate=form), slope, method, relative=LIBRARY_ROUNDOFFS)


def silu() -> Elementwise:
    """``x / (1 + exp(-x))``."""
    return Elementwise("SiLU", F.silu, slopes.SILU, "slope where x tanh(x/2) = 2", relative=LIBRARY_ROUNDOFFS)


def hardswish() -> Elementwise:
    """``x min(max(x + 3, 0), 6) / 6``."""
    return Elementwise("hard swish", F.hardswish, slopes.HARD_SWISH, "slope 3/2 at 3", relative=LIBRARY_ROUNDOFFS)


def softsign() -> Elementwise:
    """``x / (1 + |x|)``."""
    return Elementwise("softsign", F.softsign, 1.0, "slope 1 at 0", relative=LIBRARY_ROUNDOFFS)
