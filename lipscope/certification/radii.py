"""From logits to certified radii: every pair of classes, every step rounded towards a smaller radius."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.certification.budget import TIMES_PAID
from lipscope.errors import LipscopeError


class NotFiniteError(LipscopeError):
    """A logit is NaN or infinite."""


@dataclass(frozen=True)
class Pairs:
    """What the differences f_l - f_i of two logits may do, as functions of the image.

    Args:
        constants: (classes, classes) float64, c_li, proved from above: the constant of f_l - f_i on the features.
        errors: (classes, classes) float64, e_li >= |(f^_l - f^_i) - (f_l - f_i)|, the rounding of what is computed.
        settled: (classes, classes) float64, f_l - f_i where it is the same for all features, known exactly in its sign;
            NaN elsewhere.
        lipschitz: L, proved from above, from pixels to features.
        diameter: of pixel space, the largest radius that there is.
    """

    constants: Tensor
    errors: Tensor
    settled: Tensor
    lipschitz: float
    diameter: float


@dataclass(frozen=True)
class Radii:
    """What n logit vectors certify.

    Args:
        predicted, runner_up: (n,) int64; the runner-up is the class of the pair that decides the radius, which
            need not have the second largest logit.
        radius: (n,) float64, >= 0, l2 in [0, 1] pixel space.
        margin: (n,) float64, f^_predicted - f^_runner_up as computed; the difference itself where it is settled.
    """

    predicted: Tensor
    runner_up: Tensor
    radius: Tensor
    margin: Tensor


def certified_radii(logits: Tensor, pairs: Pairs) -> Radii:
    """Radius of the largest logit's class l: min over *every* i != l of (f^_l - f^_i - 2 e_li) / (c_li L).

    ICLR 2022, proposition 1, less the rounding errors (docs/soundness.md, theorem 4). Ties have radius 0.

    Args:
        logits: (n, classes), in any dtype.
        pairs: see :class:`Pairs`.

    Raises:
        NotFiniteError: a logit is not finite.

    >>> zero, nan = torch.zeros(2, 2).double(), torch.full((2, 2), math.nan).double()
    >>> logits = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    >>> certified_radii(logits, Pairs(zero + 1.5, zero + 0.25, nan, 1.0, 9.0)).radius.tolist()
    [0.99999..., 0.0]
    """
    if not bool(torch.isfinite(logits).all()):
        raise NotFiniteError("a logit is NaN or infinite", why="the weights are finite, so the sums overflowed")
    logits = logits.to(torch.float64)
    predicted = logits.argmax(dim=1)
    rows = torch.arange(len(logits))
    margins = logits[rows, predicted].unsqueeze(1) - logits
    every = radius_of(margins, predicted.unsqueeze(1), torch.arange(logits.shape[1]).unsqueeze(0), pairs)
    # The class itself is masked by its index.
    every[rows, predicted] = math.inf
    radius, runner_up = every.min(dim=1)
    settled = pairs.settled[predicted, runner_up]
    margin = torch.where(settled.isnan(), margins[rows, runner_up], settled)
    return Radii(predicted, runner_up, radius, margin)


def radius_of(margins: Tensor, classes: Tensor, others: Tensor, pairs: Pairs) -> Tensor:
    """(margin - 2 e) / (c L) of pairs of classes, rounded towards 0; 0 where the margin does not exceed its error.

    A settled pair certifies all of pixel space if its difference is positive, and nothing otherwise.

    Args:
        margins: float64, computed differences of logits.
        classes, others: int64, l and i, which together have the shape of the margins.
        pairs: see :class:`Pairs`.
    """
    # The product by 2 is exact.
    kept = _below(_below(margins) - TIMES_PAID * pairs.errors[classes, others])
    quotients = _below(kept / _above(pairs.constants[classes, others] * pairs.lipschitz))
    # Whatever is not certainly positive, NaN included, certifies nothing.
    radii = torch.where(kept > 0, quotients, torch.zeros_like(quotients)).clamp(min=0.0, max=pairs.diameter)
    settled = pairs.settled[classes, others]
    decided = torch.where(settled > 0, torch.full_like(radii, pairs.diameter), torch.zeros_like(radii))
    return torch.where(settled.isnan(), radii, decided)


def _below(values: Tensor) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, -math.inf))


def _above(values: Tensor) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, math.inf))
