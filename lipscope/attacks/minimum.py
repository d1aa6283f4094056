"""The minimum-norm attack: linearised steps to the nearest boundary, then refinement with a shrinking norm.

DeepFool (Moosavi-Dezfooli et al., CVPR 2016) and FAB (Croce & Hein, ICML 2020) project on the linearised boundary;
FMN (Pintor et al., NeurIPS 2021) alternates gradient steps with an l2 ball that shrinks while the class stays changed.
On networks that preserve gradient norm the first is nearly exact, and the second removes what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lipscope.attacks.best import Best
from lipscope.attacks.target import Target, linearised, margins, norms, spread

PROJECTIONS = 5
"""Linearised steps before the refinement."""

OVERSHOOT = 1.02
"""Of the linearised distance, so that a step ends beyond the boundary and not on it."""

TOWARDS_IMAGE = 0.1
"""The weight of the boundary's point nearest to the image, against that nearest to the current point."""

NEWTON = 12
"""Steps of the piecewise linear equation of a projection; it ends after finitely many, mostly three or four."""


def minimum(best: Best, steps: int, restarts: int, on_step: Callable[[], None] = lambda: None) -> None:
    """Search the nearest adversarial of every image; restart k begins towards the k-th nearest class.

    Args:
        best: what is known, and what is attacked.
        steps: of the refinement, in each restart.
        restarts: how many classes are tried first.
        on_step: called after each evaluation.
    """
    target = best.target
    rows = target.everything()
    with torch.no_grad():
        every = margins(target.net(target.images), target.predicted) / target.constants
    order = every.argsort(dim=1)
    for number in range(min(restarts, every.shape[1] - 1)):
        # All classes compete in every step of the first search; the others must be led away from its end.
        rival = None if number == 0 else order[:, number]
        search = _Search(target, rows)
        search.project(rival, on_step)
        search.refine(steps, on_step)
        found = torch.nonzero(torch.isfinite(search.distance)).squeeze(1)
        if len(found):
            best.offer_nearest(search.nearest[found], rows[found])


class _Search:
    """One search from every image: the current point, and the nearest misclassified one (in float32) so far."""

    def __init__(self, target: Target, rows: Tensor) -> None:
        self.target, self.rows = target, rows
        self.images = target.images[rows]
        self.point = self.images.clone()
        self.nearest = self.images.clone()
        self.distance = torch.full((len(rows),), math.inf, device=rows.device)

    def _note(self, crossed: Tensor) -> None:
        distance = norms(self.point - self.images)
        nearer = crossed & (distance < self.distance)
        self.distance = torch.where(nearer, distance, self.distance)
        self.nearest = torch.where(spread(nearer, self.point), self.point, self.nearest)

    def project(self, rival: Tensor | None, on_step: Callable[[], None]) -> None:
        """Step to the linearised boundary, mostly from the current point and a little from the image itself."""
        for _ in range(PROJECTIONS):
            first = linearised(self.target, self.rows, self.point, rival)
            self._note(first.crossed)
            at_image = first.margin + (first.gradient * (self.images - self.point)).flatten(1).sum(dim=1)
            beyond = (OVERSHOOT - 1) * at_image.abs()
            from_image = onto_boundary(self.images, first.gradient, at_image + beyond)
            from_point = onto_boundary(self.point, first.gradient, first.margin + beyond)
            self.point = TOWARDS_IMAGE * from_image + (1 - TOWARDS_IMAGE) * from_point
            on_step()

    def refine(self, steps: int, on_step: Callable[[], None]) -> None:
        """Descend on the nearest class's margin within a ball that shrinks when the class changes and grows when not.

        Both the step and the change of the ball fall by half a cosine, so that the end is as fine as float32 allows.
        """
        known = torch.isfinite(self.distance)
        self.point = torch.where(spread(known, self.point), self.nearest, self.point)
        ball = torch.where(known, self.distance, norms(self.point - self.images))
        for step in range(steps):
            first = linearised(self.target, self.rows, self.point)
            self._note(first.crossed)
            fall = (1 + math.cos(math.pi * step / steps)) / 2
            shrink, length = 0.001 + 0.02 * fall, (0.01 + 0.19 * fall) * ball
            known = torch.isfinite(self.distance)
            grown = torch.where(known, torch.minimum(ball * (1 + shrink), self.distance), ball * (1 + 10 * shrink))
            ball = torch.where(first.crossed, torch.minimum(ball, self.distance) * (1 - shrink), grown)
            away = first.gradient / spread(norms(first.gradient).clamp(min=1e-30), self.point)
            change = self.point - self.images - spread(length, away) * away
            change = change * spread(ball / norms(change).clamp(min=1e-30), change)
            self.point = (self.images + change).clamp(0, 1)
            on_step()


def onto_boundary(points: Tensor, gradient: Tensor, margin: Tensor) -> Tensor:
    """The point of [0, 1]^d nearest to each point where the linearised margin is 0; the point itself where it is below.

    The minimiser of ||y - x|| under margin + g . (y - x) <= 0 and the box is clip(x - t g), t >= 0; its left side is
    convex and piecewise linear in t, so Newton's steps from t = 0 rise to the root (or to the corner nearest to it).

    Args:
        points: (k, C, H, W) in [0, 1].
        gradient: the same shape, g.
        margin: (k,).
    """
    length = torch.zeros_like(margin)
    for _ in range(NEWTON):
        raw = points - spread(length, points) * gradient
        moved = raw.clamp(0, 1)
        left = margin + (gradient * (moved - points)).flatten(1).sum(dim=1)
        slope = (gradient.square() * (raw == moved)).flatten(1).sum(dim=1)
        further = torch.where(slope > 0, length + left / slope.clamp(min=1e-30), length).clamp(min=0)
        # On a GPU the comparison would cost more than the steps that it saves: it waits for the device.
        if not further.is_cuda and torch.equal(further, length):
            break
        length = further
    return (points - spread(length, points) * gradient).clamp(0, 1)
