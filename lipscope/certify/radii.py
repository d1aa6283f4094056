"""From margins to certified radii."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.errors import LipscopeError


class NotFiniteError(LipscopeError):
    """A logit is NaN or infinite."""


@dataclass(frozen=True)
class Radii:
    """What n logit vectors certify.

    Args:
        predicted, runner_up: (n,) int64; the runner-up is the class of the pair that decides the radius, which
            need not have the second largest logit.
        radius: (n,) float64, >= 0, l2 in [0, 1] pixel space.
        margin: (n,) float64, f_predicted - f_runner_up.
    """

    predicted: Tensor
    runner_up: Tensor
    radius: Tensor
    margin: Tensor


def certified_radii(logits: Tensor, pair_bounds: Tensor, lipschitz: float, largest: float) -> Radii:
    """Radius of the predicted class l: min over *every* i != l of (f_l - f_i) / (c_li L) (ICLR 2022, proposition 1).

    Computed in float64 from the logits as they are, and rounded down: a real-arithmetic radius. Ties give 0.

    Args:
        logits: (n, classes).
        pair_bounds: (classes, classes), proved constants c_li of f_l - f_i on the features; the diagonal is ignored.
        lipschitz: L, the proved constant from pixels to features.
        largest: the diameter of pixel space; a pair whose difference is constant certifies everything in it.

    Raises:
        NotFiniteError: a logit is not finite.

    >>> logits, c = torch.tensor([[3.0, 2.0, 1.9], [1.0, 1.0, 0.0]]), torch.tensor([[0, 1, 8], [1, 0, 1], [8, 1, 0.0]])
    >>> certified_radii(logits, c, 1.0, 9.0).radius.tolist(), certified_radii(logits, c, 1.0, 9.0).runner_up.tolist()
    ([0.13750..., 0.0], [2, 1])
    """
    if not bool(torch.isfinite(logits).all()):
        raise NotFiniteError("a logit is NaN or infinite", why="the weights are finite, so the sums overflowed")
    logits = logits.to(torch.float64)
    predicted = logits.argmax(dim=1)
    rows = torch.arange(len(logits), device=logits.device)
    margins = logits[rows, predicted].unsqueeze(1) - logits
    quotients = radius_of(margins, pair_bounds.to(logits)[predicted], lipschitz, largest)
    # The class itself is masked by its index.
    quotients[rows, predicted] = math.inf
    radius, runner_up = quotients.min(dim=1)
    return Radii(predicted, runner_up, radius, margins[rows, runner_up])


def radius_of(margins: Tensor, constants: Tensor, lipschitz: float, largest: float) -> Tensor:
    """Margin / (c L) in float64, every step rounded towards a smaller radius; 0 where the margin is not positive.

    Args:
        margins: float64, differences of logits.
        constants: c, of the same shape; 0 where the rows of a pair are equal.
        lipschitz: L.
        largest: the cap, which also covers a margin over a constant of 0.
    """
    denominators = _next(constants * lipschitz, math.inf)
    quotients = _next(_next(margins, -math.inf) / denominators, -math.inf)
    return torch.where(margins > 0, quotients, torch.zeros_like(margins)).clamp(min=0.0, max=largest)


def _next(values: Tensor, towards: float) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, towards))
