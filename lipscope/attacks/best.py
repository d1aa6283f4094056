"""The nearest adversarial of every image so far, each confirmed in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.attacks.target import Target, distances, spread

PUSHES = (0.0, 2.0**-20, 2.0**-17, 2.0**-14, 2.0**-12, 2.0**-11, 2.0**-10)
"""How much further out, relatively, a point is tried when float64 does not see the class change there."""

BEYOND = (1 + 2.0**-6, 1 + 2.0**-4, 1 + 2.0**-2, 2.0)
"""Multiples of a point on its line, tried last: next to a tie float32's grain is a large part of the distance."""

SEARCHES = 8
"""Evaluations of a line search; the margin is piecewise linear, so that the secant soon ends at float32's grain."""


CUT = 0.02
"""Of the bracket: the least that a step of the line search cuts off."""


class Best:
    """What the attacks have found; points come in by :meth:`offer` and only the nearest stay.

    Args:
        target: what is attacked.

    Attributes:
        point: (n, C, H, W) float32, in [0, 1].
        distance: (n,) float64, rounded up; inf where nothing was found.
        found_by: (n,) int64, the number of the attack; -1 where nothing was found.
        in_float32: (n,) whether float32 sees the changed class too.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.point = target.images
        device = target.pixels.device
        self.distance = torch.full((len(target),), math.inf, dtype=torch.float64, device=device)
        self.found_by = torch.full((len(target),), -1, dtype=torch.int64, device=device)
        self.in_float32 = torch.zeros(len(target), dtype=torch.bool, device=device)
        self.attack = 0

    def offer(self, points: Tensor, rows: Tensor) -> Tensor:
        """Keep points that are nearer than the best and misclassified in float64.

        Args:
            points: (k, C, H, W) float32.
            rows: (k,) distinct image numbers.

        Returns:
            (k,) whether float64 confirms the class change; False where a point was not nearer and not evaluated.
        """
        confirmed = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        inside = ((points >= 0) & (points <= 1)).flatten(1).all(dim=1)
        distance = distances(points, self.target.pixels[rows])
        nearer = torch.nonzero(inside & (distance < self.distance[rows])).squeeze(1)
        if not len(nearer):
            return confirmed
        candidates, which = points[nearer], rows[nearer]
        confirmed[nearer] = self.target.margin64(candidates, which) < 0
        kept = confirmed[nearer]
        candidates, which, distance = candidates[kept], which[kept], distance[nearer][kept]
        if len(which):
            self.point[which] = candidates
            self.distance[which] = distance
            self.found_by[which] = self.attack
            self.in_float32[which] = self.target.margin(candidates, which) < 0
        return confirmed

    def changed(self) -> Tensor:
        """(n,) int64, the class in float64 at the nearest point; -1 where nothing was found."""
        classes = torch.full_like(self.found_by, -1)
        rows = torch.nonzero(torch.isfinite(self.distance)).squeeze(1)
        if len(rows):
            classes[rows] = self.target.class64(self.point[rows], rows)
        return classes

    def offer_nearest(self, points: Tensor, rows: Tensor) -> None:
        """Offer the place where the class changes between each image and a misclassified point.

        A search on the line by the secant through bracketing margins (Illinois), then a step outward where float64
        does not agree.

        Args:
            points: (k, C, H, W) float32, another class in float32.
            rows: (k,) distinct image numbers.
        """
        images = self.target.images[rows]
        steps = points - images

        def at(share: Tensor) -> Tensor:
            return (images + spread(share, steps) * steps).clamp(0, 1)

        low, high = torch.zeros(len(rows), device=rows.device), torch.ones(len(rows), device=rows.device)
        above, below = self.target.margin(images, rows), self.target.margin(points, rows)
        usable = torch.nonzero(below < 0).squeeze(1)
        if not len(usable):
            return
        if len(usable) < len(rows):
            self.offer_nearest(points[usable], rows[usable])
            return
        for _ in range(SEARCHES):
            # Rounding stops a secant that lands on the root: some of the bracket is always cut off on either side.
            share = low + (high - low) * (above / (above - below)).clamp(CUT, 1 - CUT)
            margin = self.target.margin(at(share), rows)
            crossed = margin < 0
            # The end that stays twice counts half, else it would stay for ever.
            above = torch.where(crossed, above / 2, margin)
            below = torch.where(crossed, margin, below / 2)
            low, high = torch.where(crossed, low, share), torch.where(crossed, share, high)
        open_rows = torch.arange(len(rows), device=rows.device)
        for push in PUSHES:
            tried = at((high * (1 + push)).clamp(max=1))[open_rows]
            open_rows = open_rows[~self.offer(tried, rows[open_rows])]
            if not len(open_rows):
                return
        tried = points[open_rows]
        for multiple in BEYOND:
            open_rows = open_rows[~self.offer(tried, rows[open_rows])]
            if not len(open_rows):
                return
            tried = at(torch.full_like(high, multiple))[open_rows]
        self.offer(tried, rows[open_rows])
