"""Augmentation in batches, on the device, on bytes: shift by up to four pixels and flip.

Not ``torchvision.transforms.v2``, which crops all images of a batch alike (``tests/data/test_torchvision.py``) and one
by one takes half as long again on a CPU, and a kernel launch for each image on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = 4


def crop_and_flip(
    images: Tensor, generator: torch.Generator, part: slice = slice(None), of: int | None = None
) -> Tensor:
    """A random crop of each image padded with 4 black pixels, mirrored with probability 1/2.

    Args:
        images: (N, C, H, W) uint8.
        generator: on the CPU, so that every device sees the same crops.
        part, of: which ones they are of a batch of so many, so that several processes draw what one would.

    Returns:
        (N, C, H, W) uint8.
    """
    count, channels, height, width = images.shape
    whole = of or count
    shifts = torch.randint(0, 2 * PADDING + 1, (2, whole), generator=generator)[:, part].to(images.device)
    flips = torch.randint(0, 2, (whole, 1), generator=generator)[part].bool().to(images.device)
    padded = F.pad(images, (PADDING,) * 4)
    rows = shifts[0].unsqueeze(1) + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, -1)
    columns = torch.where(flips, columns.flip(1), columns) + shifts[1].unsqueeze(1)
    batch = torch.arange(count, device=images.device).reshape(-1, 1, 1, 1)
    plane = torch.arange(channels, device=images.device).reshape(1, -1, 1, 1)
    return padded[batch, plane, rows[:, None, :, None], columns[:, None, None, :]]
