"""Augmentation in batches, on the device, on bytes: shift by some pixels and flip.

Not ``torchvision.transforms.v2``, which crops all images of a batch alike (``tests/data/test_torchvision.py``) and one
by one takes half as long again on a CPU, and a kernel launch for each image on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(
    images: Tensor,
    generator: torch.Generator,
    part: slice = slice(None),
    of: int | None = None,
    *,
    padding: int = 4,
    padding_mode: str = "constant",
) -> Tensor:
    """A random crop of each padded image, mirrored with probability 1/2.

    Args:
        images: (N, C, H, W) uint8.
        generator: on the CPU, so that every device sees the same crops.
        part, of: which ones they are of a batch of so many, so that several processes draw what one would.
        padding: pixels on every side.
        padding_mode: what stands around it: black for ``constant``, its mirror image for ``reflect``.

    Returns:
        (N, C, H, W) uint8.
    """
    count, channels, height, width = images.shape
    whole = of or count
    shifts = torch.randint(0, 2 * padding + 1, (2, whole), generator=generator)[:, part].to(images.device)
    flips = torch.randint(0, 2, (whole, 1), generator=generator)[part].bool().to(images.device)
    if padding_mode == "reflect":
        rows, columns = (_reflected(size, padding, images.device) for size in (height, width))
        padded = images[:, :, rows][:, :, :, columns]
    else:
        padded = F.pad(images, (padding,) * 4)
    rows = shifts[0].unsqueeze(1) + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, -1)
    columns = torch.where(flips, columns.flip(1), columns) + shifts[1].unsqueeze(1)
    batch = torch.arange(count, device=images.device).reshape(-1, 1, 1, 1)
    plane = torch.arange(channels, device=images.device).reshape(1, -1, 1, 1)
    return padded[batch, plane, rows[:, None, :, None], columns[:, None, None, :]]


def _reflected(size: int, padding: int, device: torch.device | None = None) -> Tensor:
    """Which of ``size`` pixels stand in a row that is continued by mirroring it at its first and last pixel.

    >>> _reflected(4, 2).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    period = max(1, 2 * (size - 1))
    steps = torch.arange(-padding, size + padding, device=device) % period
    return torch.minimum(steps, period - steps)
