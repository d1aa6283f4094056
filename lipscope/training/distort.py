"""Distortion in batches, on the device: turn, scale, shear and recolour every image a little, each in its own way.

Not ``torchvision.transforms.v2``, whose turns and colours are the same for all images of a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FULL = {
    "angle": math.radians(20),
    "scale": 0.2,
    "shear": 0.1,
    "brightness": 0.1,
    "contrast": 0.2,
    "saturation": 0.4,
    "cast": 0.05,
}
"""At a strength of 1: every image draws each of them uniformly between minus and plus that.

Angles in radians; scale, shear and contrast as logarithms of factors; brightness and the cast (a shift of each channel)
as shares of white; saturation as a share of itself.
"""


def distort(
    images: Tensor, generator: torch.Generator, strength: float, part: slice = slice(None), of: int | None = None
) -> Tensor:
    """Every image turned, scaled and sheared about its middle, mirrored at its border, and recoloured.

    Args:
        images: (N, C, H, W) uint8.
        generator: on the CPU, so that every device sees the same draws.
        strength: times :data:`FULL`; 0 returns the images.
        part, of: which ones they are of a batch of so many, so that several processes draw what one would.

    Returns:
        (N, C, H, W) uint8.
    """
    count, channels = images.shape[:2]
    if not strength or not count:
        return images
    drawn = torch.rand((of or count, len(FULL) - 1 + channels), generator=generator)[part].to(images.device)
    angle, scale, shear, brightness, contrast, saturation, *cast = (strength * (2 * drawn - 1)).unbind(1)

    turn, grow, slant = angle * FULL["angle"], (scale * FULL["scale"]).exp(), (shear * FULL["shear"]).exp()
    zero = torch.zeros_like(turn)
    rows = (
        torch.stack([turn.cos() * grow * slant, -turn.sin() * grow, zero], dim=1),
        torch.stack([turn.sin() * grow, turn.cos() * grow / slant, zero], dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def each(values: Tensor) -> Tensor:
        return values.reshape(count, -1, 1, 1)

    grey = moved.mean(dim=1, keepdim=True)
    moved = grey + (moved - grey) * each(1 + saturation * FULL["saturation"])
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    shift = each(brightness * FULL["brightness"]) + each(torch.stack(cast, dim=1) * FULL["cast"])
    moved = middle + (moved - middle) * each((contrast * FULL["contrast"]).exp()) + 255 * shift
    return moved.round_().clamp_(0, 255).to(torch.uint8)
