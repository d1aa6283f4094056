"""Keeping what is computed in a thread from holding up the keys."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lipscope.system import yield_to_others


@contextmanager
def uncollected(library: str = "") -> Iterator[None]:
    """Take what is made inside, and all that is there, out of the collector's sight, until ``gc.unfreeze``.

    A full collection visits every object while all threads wait: with torch imported, or the header of a file with
    100,000 tensors read, 0.06 to 0.1 s, measured here on two cores. Where the ``library`` that is imported inside is
    there already, nothing is done: what has become garbage since would be kept for ever.
    """
    if library in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


POLITENESS = 5
"""Added to the niceness of a thread that computes."""


def yield_to_keys() -> None:
    """Let the thread that answers keys go before the calling one and those that it starts, where all want a core.

    Only on Linux, where a thread has a priority of its own. Keys wait half as long there while all cores compute.
    """
    yield_to_others(POLITENESS)


class Precedence:
    """Threads that compute wait where they can while the app's thread has much to do.

    Both run Python, and the interpreter would give each half of the time, whatever their priority.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """The app's thread works inside, and goes first."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def wait(self) -> None:
        """Go on when the app's thread has done what it does now; a computing thread asks between two steps."""
        self._free.wait(PATIENCE)


PATIENCE = 5.0
"""Seconds: nothing that is painted takes so long."""
