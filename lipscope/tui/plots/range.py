"""The numbers that an axis covers; without numpy, which the first paint does without."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The numbers that an axis of characters covers."""

    low: float  # low, high: its ends, low < high
    high: float

    def column(self, value: float, columns: int) -> int:
        """The column that holds ``value``, of ``columns``; the ends belong to the first and the last.

        >>> Range(0.0, 1.0).column(0.5, 10), Range(0.0, 1.0).column(1.0, 10)
        (5, 9)
        """
        share = (value - self.low) / (self.high - self.low)
        return min(max(math.floor(share * columns), 0), columns - 1)


UNIT = Range(0.0, 1.0)
"""Of shares."""
