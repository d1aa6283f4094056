"""Padding by copies of pixels: which pixel each padded one repeats, and the norm of that.

Each padded pixel is one pixel of the image or nothing, so the squared norm of the padded image is the sum of squares
weighted with how often each pixel occurs, and the norm of the map is the root of the largest number.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.rounding import up
from lipscope.records import Bound

LARGEST = 2**20
"""Padded places along an axis; a description costs nothing to state."""

MODES = ("zeros", "circular", "reflect", "replicate")


def sources(size: int, padding: tuple[int, int], mode: str) -> list[int | None]:
    """The pixel that each padded place repeats; None for zeros. Negative padding cuts off.

    Raises:
        ValueError: padding that the mode cannot do on so few pixels.

    >>> sources(3, (1, 2), "reflect"), sources(3, (2, 0), "circular"), sources(3, (1, -1), "zeros")
    ([1, 0, 1, 2, 1, 0], [1, 2, 0, 1, 2], [None, 0, 1])
    """
    if mode not in MODES:
        raise ValueError(f"padding mode {mode!r} is not one of {', '.join(MODES)}")
    if size + sum(map(abs, padding)) > LARGEST:
        raise ValueError(f"padding {padding} is too large")
    most = {"circular": size, "reflect": size - 1}.get(mode, math.inf)
    cut = min(padding[0], 0) + min(padding[1], 0)
    if max(padding) > most or size + sum(padding) < 1 or size + cut < 1:
        raise ValueError(f"{mode} padding {padding} does not go with {size} pixels")
    found: list[int | None] = []
    for place in range(-padding[0], size + padding[1]):
        if mode == "circular":
            found.append(place % size)
        elif mode == "replicate":
            found.append(min(max(place, 0), size - 1))
        elif mode == "reflect":
            back = abs(place)
            found.append(back if back < size else 2 * (size - 1) - back)
        else:
            found.append(place if 0 <= place < size else None)
    return found


def copies_of(size: int, padding: tuple[int, int], mode: str) -> Tensor:
    """(padded, size) float64: 1 where a padded place repeats a pixel."""
    matrix = torch.zeros(size + sum(padding), size, dtype=torch.float64)
    for row, source in enumerate(sources(size, padding, mode)):
        if source is not None:
            matrix[row, source] = 1.0
    return matrix


def padding_bound(size: tuple[int, ...], padding: tuple[tuple[int, int], ...], mode: str) -> Bound:
    """The root of how often a pixel occurs at most: exactly 1 for zeros.

    >>> padding_bound((4, 4), ((1, 1), (0, 0)), "zeros").value, padding_bound((4, 4), ((1, 1), (1, 1)), "reflect").value
    (1.0, 2.0)
    """
    most = math.prod(
        max(1, int(copies_of(n, sides, mode).sum(0).max())) for n, sides in zip(size, padding, strict=True)
    )
    method = f"each pixel occurs at most {most} times" if most > 1 else "no pixel occurs twice"
    root = math.isqrt(most)
    return Bound.exactly(float(root), method) if root**2 == most else Bound(up(math.sqrt(most)), method)
