"""Bars in eighths of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉█"
BLOCKS = " ▁▂▃▄▅▆▇█"
"""Zero to eight eighths of a cell, from the left and from below."""


def bar(share: float, width: int) -> str:
    """A share of ``width`` cells, in eighths of a cell; held between nothing and all, and never nothing for something.

    >>> bar(0.25, 6), bar(7.0, 2), bar(1e-9, 6)
    ('█▌', '██', '▏')
    """
    full, rest = divmod(max(round(8 * width * min(max(share, 0.0), 1.0)), 1 if share > 0 else 0), 8)
    return "█" * full + EIGHTHS[rest].strip()


def sparkline(values: Sequence[float], cells: int) -> str:
    """At most ``cells`` of the values that are finite, between their least and largest; level within a millionth.

    >>> sparkline([1.0, 1.5, 2.0], 8), sparkline([1.0, 1.0 + 1e-9], 8), sparkline(range(100), 4)
    ('▁▄█', '▄▄', '▁▃▅█')
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) > cells:
        finite = [finite[round(k * (len(finite) - 1) / max(cells - 1, 1))] for k in range(cells)]
    scale = max(map(abs, finite), default=0.0) or 1.0  # else the span of huge values could overflow
    scaled = [value / scale for value in finite]
    low, span = min(scaled, default=0.0), max(scaled, default=0.0) - min(scaled, default=0.0)
    return "".join(BLOCKS[1 + int(7 * (value - low) / span)] if span > 1e-6 else BLOCKS[4] for value in scaled)
