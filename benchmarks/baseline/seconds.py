"""What a call takes, by the clock and by the processors."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """Of the clock, and of the processors for this process."""

    wall: float
    processor: float

    @staticmethod
    def of(run: Callable[[], object]) -> Seconds:
        """How long a call takes."""
        wall, processor = time.perf_counter(), time.process_time()
        run()
        return Seconds(time.perf_counter() - wall, time.process_time() - processor)

    @staticmethod
    def median(every: list[Seconds]) -> Seconds:
        """Each by itself."""
        return Seconds(statistics.median(s.wall for s in every), statistics.median(s.processor for s in every))
