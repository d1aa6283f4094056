"""Projected gradient descent in an l2 ball, with restarts (Madry et al., ICLR 2018), on the margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from lipscope.attacks.best import Best
from lipscope.attacks.target import linearised, norms, spread
from lipscope.units import largest_not_above

INSIDE = 1 - 1e-5
"""Of eps: the ball that is searched, so that float32's rounding does not leave the ball that is meant."""

STRIDE = 2.5
"""Of eps: the sum of all steps."""

PATIENCE = 4
"""Steps without progress after which an image's restart ends."""

PROGRESS = 0.005
"""A fall of the least margin by less than this share is none."""


def pgd(
    best: Best, eps: Sequence[Fraction], steps: int, restarts: int, on_step: Callable[[], None] = lambda: None
) -> None:
    """Attack at every eps the images that are not broken at it yet.

    An image that breaks is dropped at once; one whose margin falls no more ends its restart. The first restart begins
    at the nearest adversarial known, drawn into the ball (at the image where there is none), the others at random on
    the ball. An adversarial is drawn to the boundary, so that it may break smaller eps too.

    Args:
        best: what is known, and what is attacked.
        eps: the radii.
        steps: of each restart.
        restarts: at each eps.
        on_step: called after each evaluation.
    """
    for radius in sorted(set(eps)):
        limit = largest_not_above(radius)
        for restart in range(restarts):
            rows = torch.nonzero(best.distance > limit).squeeze(1)
            if len(rows) and limit > 0:
                _descend(best, rows, limit * INSIDE, steps, restart, on_step)


def _descend(best: Best, rows: Tensor, eps: float, steps: int, restart: int, on_step: Callable[[], None]) -> None:
    target = best.target
    images = target.images[rows]
    start = best.point[rows] - images if restart == 0 else target.noise(rows, f"pgd/{eps}/{restart}")
    points = _into(images, start, eps, outward=restart > 0)
    least = torch.full((len(rows),), math.inf, device=rows.device)
    since = torch.zeros_like(rows)
    for step in range(steps + 1):
        first = linearised(target, rows, points)
        on_step()
        if bool(first.crossed.any()):
            best.offer_nearest(points[first.crossed], rows[first.crossed])
        since = torch.where(first.margin < (1 - PROGRESS) * least, 0, since + 1)
        least = torch.minimum(least, first.margin)
        stays = ~first.crossed & (since < PATIENCE)
        rows, images, points, gradient = rows[stays], images[stays], points[stays], first.gradient[stays]
        least, since = least[stays], since[stays]
        if not len(rows) or step == steps:
            return
        # Long steps first, short ones last, together STRIDE eps.
        length = eps * STRIDE * 2 * (steps - step) / (steps * (steps + 1))
        points = _into(images, points - images - length * _unit(gradient), eps)


def _into(images: Tensor, changes: Tensor, eps: float, *, outward: bool = False) -> Tensor:
    """The images changed by at most eps: drawn into the ball (with ``outward`` onto it), then into [0, 1].

    Clipping moves no pixel further from the image's, which lies in [0, 1], so the second step keeps the first.
    """
    lengths = norms(changes).clamp(min=1e-30)
    factors = eps / lengths if outward else (eps / lengths).clamp(max=1.0)
    return (images + spread(factors, changes) * changes).clamp(0, 1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / spread(norms(vectors).clamp(min=1e-30), vectors)
