"""What an attack sees: the network, the images, the predictions that it tries to change."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lipscope.bounds.rounding import gamma, up
from lipscope.environment import plain_products
from lipscope.models.composition import LipschitzNet

LARGEST_PASS = 100
"""Images at a time in float64, which needs twice the memory."""


@dataclass(frozen=True)
class Target:
    """n images whose predictions are attacked.

    Args:
        net: in eval mode, without gradients of its weights.
        pixels: (n, C, H, W) uint8.
        predicted: (n,) int64, the class whose prediction is certified.
        constants: (n, classes) float32, c_li L for the predicted class l: how fast f_l - f_i can fall.
        radius: (n,) float64, within which the prediction is claimed to hold.
        index: (n,) record numbers; with the seed they fix every random draw, whatever the batches.
        seed: of the random draws.
    """

    net: LipschitzNet
    pixels: Tensor
    predicted: Tensor
    constants: Tensor
    radius: Tensor
    index: tuple[int, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Tensor:
        """(n, C, H, W) float32 in [0, 1], as they are certified."""
        return self.pixels.to(torch.float32) / 255

    @cached_property
    def settled(self) -> Tensor:
        """(classes, classes), the differences of logits that no image changes; NaN elsewhere."""
        return self.net.head.settled_pairs().to(self.pixels.device)

    def everything(self) -> Tensor:
        """The numbers of all images, (n,)."""
        return torch.arange(len(self), device=self.pixels.device)

    @torch.no_grad()
    def margin(self, points: Tensor, rows: Tensor) -> Tensor:
        """(k,) the smallest f_l - f_i over all i != l at k points, each near the image of its row."""
        return margins(self.net(points), self.predicted[rows], self.settled).amin(dim=1)

    @torch.no_grad()
    def margin64(self, points: Tensor, rows: Tensor) -> Tensor:
        """The same, evaluated in float64: below 0 another class wins, strictly.

        In the arithmetic that sound radii speak of (docs/soundness.md).
        """
        parts = zip(points.split(LARGEST_PASS), rows.split(LARGEST_PASS), strict=True)
        with plain_products():
            return torch.cat([self.margin(some.to(torch.float64), which) for some, which in parts])

    @torch.no_grad()
    def class64(self, points: Tensor, rows: Tensor) -> Tensor:
        """(k,) int64, the class in float64 at k points that :meth:`margin64` finds misclassified."""
        parts = zip(points.split(LARGEST_PASS), rows.split(LARGEST_PASS), strict=True)
        with plain_products():
            every = [
                margins(self.net(some.to(torch.float64)), self.predicted[which], self.settled) for some, which in parts
            ]
        return torch.cat([one.argmin(dim=1) for one in every])

    def noise(self, rows: Tensor, purpose: str) -> Tensor:
        """(k, C, H, W) standard normal float32: a function of seed, record number and purpose alone."""
        drawn = [_normal(f"{self.seed}/{self.index[row]}/{purpose}", self.net.input_shape) for row in rows.tolist()]
        return torch.stack(drawn).to(self.pixels.device)


def _normal(key: str, shape: tuple[int, ...]) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little", signed=True)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def margins(logits: Tensor, predicted: Tensor, settled: Tensor | None = None) -> Tensor:
    """f_l - f_i for every class i, (n, classes); inf where i is the predicted class l itself.

    Args:
        logits: (n, classes).
        predicted: (n,) l.
        settled: (classes, classes), the differences that are the same for all images, NaN elsewhere: rounding may see
            them the other way round, and refutes nothing.

    >>> margins(torch.tensor([[1.0, 3.0, 2.5]]), torch.tensor([1])).tolist()
    [[2.0, inf, 0.5]]
    """
    own = predicted.unsqueeze(1)
    differences = logits.gather(1, own) - logits
    if settled is not None:
        exact = settled[predicted].to(differences)
        differences = torch.where(exact.isnan(), differences, exact)
    return differences.scatter(1, own, math.inf)


@dataclass(frozen=True)
class Linearised:
    """The network at k points, to first order.

    Args:
        margin: (k,) f_l - f_i for the chosen rival i.
        gradient: (k, C, H, W) of that margin.
        crossed: (k,) whether some class has overtaken l, in float32.
    """

    margin: Tensor
    gradient: Tensor
    crossed: Tensor


def linearised(target: Target, rows: Tensor, points: Tensor, rival: Tensor | None = None) -> Linearised:
    """Margin and gradient against a rival; by default the one with the least margin / (c L), the nearest as certified.

    Args:
        target: what is attacked.
        rows: (k,) whose images the points are near.
        points: (k, C, H, W) float32.
        rival: (k,) classes.
    """
    points = points.detach().requires_grad_(True)
    with torch.enable_grad():
        every = margins(target.net(points), target.predicted[rows])
        if rival is None:
            rival = (every.detach() / target.constants[rows]).argmin(dim=1)
        margin = every.gather(1, rival.unsqueeze(1)).squeeze(1)
        (gradient,) = torch.autograd.grad(margin.sum(), points)
    return Linearised(margin.detach(), gradient, every.detach().amin(dim=1) < 0)


def norms(vectors: Tensor) -> Tensor:
    """(k,) l2 norms of (k, ...), in the dtype given."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1)
    return lengths


def spread(factors: Tensor, images: Tensor) -> Tensor:
    """(k,) shaped (k, 1, 1, 1), to multiply k images."""
    return factors.reshape(-1, *([1] * (images.ndim - 1)))


def distances(points: Tensor, pixels: Tensor) -> Tensor:
    """(k,) float64: upper bounds on the l2 distance from float32 points to images, rounded up.

    The larger of the distances to k/255 as float32 has it, which the network sees, and as float64 has it, so that
    whoever means either by "the image" is told the truth.

    Args:
        points: (k, C, H, W) float32.
        pixels: (k, C, H, W) uint8.
    """
    exact = points.to(torch.float64)
    seen = (pixels.to(torch.float32) / 255).to(torch.float64)
    larger = torch.maximum(norms(exact - seen), norms(exact - pixels.to(torch.float64) / 255))
    size = pixels[0].numel()
    # A subtraction errs by at most 2^-53 (numbers in [0, 1]), as does the quotient by 255 in float64.
    absolute = up(2.0**-52 * math.sqrt(size), 2)
    widened = larger * (1 + gamma(size + 4)) + absolute
    return torch.nextafter(widened, torch.full_like(widened, math.inf))
