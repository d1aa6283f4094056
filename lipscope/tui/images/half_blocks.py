"""Images as characters: two pixels a cell by half blocks, or dots of braille where there are no colours."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App

from lipscope.tui.plots.canvas import braille

UPPER = "▀"
"""The upper half block: its foreground is the upper pixel, its background the lower one."""

THRESHOLDS = np.array([[1, 5], [7, 3], [2, 6], [8, 4]]) / 9
"""Of the eight dots of a cell, spread so that grey is even: those under the light of their pixel are drawn."""

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""The weights of red, green and blue in ITU-R BT.709."""

LARGEST_SCALE = 4

Pixels = NDArray[np.uint8]
"""(3, height, width), channels red, green, blue."""


def fitting(height: int, width: int, columns: int, rows: int) -> tuple[int, int]:
    """The size in pixels, of the same proportions, that an image takes in ``columns`` x ``rows`` cells of two pixels.

    Whole multiples where it grows, so that every pixel stays a square; anything where it must shrink.

    >>> fitting(32, 32, 70, 40), fitting(32, 32, 40, 10), fitting(32, 32, 200, 60)
    ((64, 64), (20, 20), (96, 96))
    """
    scale = min(columns / width, 2 * rows / height)
    if scale >= 1:
        whole = min(int(scale), LARGEST_SCALE)
        return height * whole, width * whole
    return max(int(height * scale) // 2 * 2, 2), max(int(width * scale), 1)


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """The image at another size, every new pixel the mean of the area that it covers.

    >>> resized(np.array([[[0, 100], [100, 200]]] * 3, np.uint8), 1, 1)[0]
    array([[100]], dtype=uint8)
    """
    if pixels.shape[1:] == (height, width):
        return pixels
    down, across = _areas(pixels.shape[1], height), _areas(pixels.shape[2], width)
    mixed = np.einsum("ih,chw,jw->cij", down, pixels.astype(np.float64), across, optimize=True)
    scaled: Pixels = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return scaled


def _areas(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): the share that each old pixel has in each new one; every row sums to 1."""
    edges = np.arange(new + 1) * (old / new)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(old)
    overlap = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    areas: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return areas


def coloured_line(pixels: Pixels, line: int) -> list[Segment]:
    """One line of cells: the pixels of rows 2 line and 2 line + 1; below an odd last row there is nothing."""
    upper = pixels[:, 2 * line].T.tolist()
    if 2 * line + 1 >= pixels.shape[1]:
        return [Segment(UPPER, Style(color=Color.from_rgb(*colour))) for colour in upper]
    lower = pixels[:, 2 * line + 1].T.tolist()
    return [
        Segment(UPPER, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        for above, below in zip(upper, lower, strict=True)
    ]


def plain_line(pixels: Pixels, line: int, *, dark: bool) -> str:
    """One line of cells without colours, in dots of braille: more where the image is brighter, less on light ground.

    >>> plain_line(np.array([[[0, 128, 255]] * 2] * 3, np.uint8), 0, dark=True)
    ' ⢕⣿'
    """
    light = np.tensordot(LUMINANCE, pixels[:, 2 * line : 2 * line + 2] / 255, axes=1)
    ink = np.repeat(light if dark else 1 - light, 4 // len(light), axis=0)  # (4 rows of dots, columns)
    drawn = ink[:, :, None] > THRESHOLDS[:, None, :]
    return braille(drawn.reshape(4, -1))[0]


def pixel_line(app: App[object], pixels: Pixels, line: int, style: Style) -> list[Segment]:
    """One line of cells, in colours but for NO_COLOR, a theme of the terminal's own, or 16 colours."""
    few = not app.is_headless and app.console.color_system in (None, "standard", "windows")
    if few or app.no_color or "NO_COLOR" in os.environ or app.native_ansi_color:
        return [Segment(plain_line(pixels, line, dark=app.current_theme.dark), style)]
    return coloured_line(pixels, line)


def difference(image: Pixels, changed: NDArray[np.float32]) -> tuple[Pixels, float]:
    """What was added to an image, to ``changed`` in [0, 1], around a middle grey, so that the largest change is full.

    With the factor of its magnification: 0 where nothing differs.
    """
    change = changed.astype(np.float64) - image / 255
    largest = float(np.abs(change).max(initial=0.0))
    factor = 0.5 / largest if largest > 0 else 0.0
    picture: Pixels = np.clip(np.rint(255 * (0.5 + factor * change)), 0, 255).astype(np.uint8)
    return picture, factor
