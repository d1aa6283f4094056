"""Bars in eighths of a cell."""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉█"
BLOCKS = " ▁▂▃▄▅▆▇█"
"""Zero to eight eighths of a cell, from the left and from below."""


def progress_bar(done: int, total: int, width: int) -> str:
    """The bar in eighths of a cell.

    >>> progress_bar(1, 4, 6)
    '█▌    '
    """
    eighths = min(8 * width * done // total, 8 * width) if total > 0 else 0
    full, rest = divmod(max(eighths, 0), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)
