"""The search around the claimed radius itself, where rounding decides: float32 neighbours, round-off, ties."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lipscope.attacks.best import Best
from lipscope.attacks.target import linearised, norms, spread

SHARES = (0.99, 1 - 1e-4, 1 - 1e-6, 1 - 2.0**-23, 1 + 1e-6)
"""Of the claimed radius: how far out the points lie; the last is beyond it, where a tight certificate must give way."""

NUDGES = 6
"""Neighbours of the most promising point that are tried: by the gradient's signs and at random."""

SUSPICIOUS = 1e-4
"""Float32 margins below this are evaluated in float64: rounding may hide a class change."""


def boundary(best: Best, on_step: Callable[[], None] = lambda: None) -> None:
    """Try points just inside (and just beyond) the claimed radius, and the floats next to them.

    The directions are those of steepest descent for the nearest class, at the image and at the radius, and that of the
    nearest adversarial known. The point with the least margin is then moved by one to four units in the last place of
    every pixel, by the signs of the gradient and at random: the round-off that an attacker of Jia & Rinard's kind uses
    (*Exploiting verified neural networks via floating point numerical error*, SAS 2021). The image itself is among
    the points: a tie is a certificate of radius 0.

    Args:
        best: what is known, and what is attacked.
        on_step: called after each evaluation.
    """
    target = best.target
    rows, images, radius = target.everything(), target.images, target.radius.to(torch.float32)
    lowest, least = images, _tried(best, images, rows)
    on_step()
    first = linearised(target, rows, images)
    on_step()
    steepest = -first.gradient
    known = torch.isfinite(best.distance)
    towards = torch.where(spread(known, images), best.point - images, steepest)
    at_radius = linearised(target, rows, _along(images, steepest, radius))
    on_step()
    for direction in (steepest, -at_radius.gradient, towards):
        for share in SHARES:
            points = _along(images, direction, radius * share)
            margin = _tried(best, points, rows)
            on_step()
            lower = (margin < least) & (share < 1)
            least, lowest = torch.where(lower, margin, least), torch.where(spread(lower, points), points, lowest)
    signs = linearised(target, rows, lowest).gradient.sign()
    on_step()
    for number in range(NUDGES):
        if number % 2 == 0:
            nudged = ulps(lowest, -signs, 1 + number // 2)
        else:
            nudged = ulps(lowest, target.noise(rows, f"boundary/{number}").sign(), 1)
        _tried(best, nudged, rows)
        on_step()


def _tried(best: Best, points: Tensor, rows: Tensor) -> Tensor:
    """Offer what float32 finds misclassified or suspiciously close to it; (k,) the float32 margins."""
    margin = best.target.margin(points, rows)
    near = torch.nonzero(margin < SUSPICIOUS).squeeze(1)
    if len(near):
        best.offer(points[near], rows[near])
    return margin


def _along(images: Tensor, direction: Tensor, lengths: Tensor) -> Tensor:
    """Points at these distances in a direction, clipped to [0, 1]; the other pixels make up what clipping loses."""
    change = torch.zeros_like(images)
    unit = direction / spread(norms(direction).clamp(min=1e-30), direction)
    scale = lengths
    for _ in range(3):
        change = (images + spread(scale, unit) * unit).clamp(0, 1) - images
        reached = norms(change).clamp(min=1e-30)
        scale = torch.minimum(scale * (lengths / reached).clamp(min=1.0, max=4.0), lengths * 16)
    # Never further out than asked for.
    change = change * spread((lengths / norms(change).clamp(min=1e-30)).clamp(max=1.0), change)
    return (images + change).clamp(0, 1)


def ulps(points: Tensor, signs: Tensor, count: int) -> Tensor:
    """Every pixel moved to its ``count``-th float32 neighbour in the direction of a sign, within [0, 1].

    >>> ulps(torch.tensor([0.5]), torch.tensor([-1.0]), 1).item() == 0.5 - 2.0**-25
    True
    """
    towards = torch.where(signs > 0, math.inf, torch.where(signs < 0, -math.inf, points))
    for _ in range(count):
        points = torch.nextafter(points, towards)
    return points.clamp(0, 1)
