"""The exponential series of a zero-padded convolution as plain matrix products, one a tap, for float64.

torch's convolutions are slow in float64, and on a GPU they may choose an algorithm that is no sum of products
(Winograd, FFT), which the proofs of rounding errors do not cover. Here every output is a sum of C k^2 products at most.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FEWEST_IMAGES = 8
"""With fewer the products are too small to be worth their number."""

IMAGES_AT_A_TIME = 64
"""So that a product is large, and the two buffers stay in the cache of a core."""


def tapwise_exponential(x: Tensor, kernel: Tensor, terms: int) -> Tensor:
    """sum_{k <= n} A^k x / k!, A the convolution with ``kernel`` and zero padding; without gradients.

    Args:
        x: (N, C, H, W).
        kernel: (C, C, k, k), k odd.
    """
    taps = kernel.permute(2, 3, 1, 0).contiguous()
    return torch.cat([_series(images, taps, terms) for images in x.split(IMAGES_AT_A_TIME)])


def _series(x: Tensor, taps: Tensor, terms: int) -> Tensor:
    """The series for a few images; positions come first in memory, so that a tap is a shift and copies nothing."""
    count, channels, height, width = x.shape
    term = x.permute(2, 3, 0, 1).reshape(height, width * count, channels).clone()
    total, image = term.clone(), torch.empty_like(term)
    for k in range(1, terms + 1):
        _convolve(term, taps, count, image)
        total.add_(image, alpha=1 / math.factorial(k))
        term, image = image, term
    return total.reshape(height, width, count, channels).permute(2, 3, 0, 1)


def _convolve(term: Tensor, taps: Tensor, count: int, image: Tensor) -> None:
    """Fill ``image`` with A ``term``, both (H, W N, C), from taps (k, k, in, out)."""
    height, width = term.shape[0], term.shape[1] // count
    middle = taps.shape[0] // 2
    for y in range(height):
        torch.mm(term[y], taps[middle, middle], out=image[y])
        for a in range(max(0, middle - y), min(2 * middle, middle - y + height - 1) + 1):
            for b in range(2 * middle + 1):
                first, last = max(0, middle - b), width - max(0, b - middle)
                if (a, b) != (middle, middle) and first < last:
                    shift = b - middle
                    source = term[y + a - middle, (first + shift) * count : (last + shift) * count]
                    image[y, first * count : last * count].addmm_(source, taps[a, b])
