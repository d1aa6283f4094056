"""Keeping what is computed in a thread from holding up the keys."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lipscope.system import yield_to_others


@contextmanager
def quiet_import(name: str) -> Iterator[None]:
    """Import a large library inside, without the full collections that its objects set off, then and later.

    A full collection visits every object while all threads wait: with torch imported 0.06 to 0.1 s, measured here on
    two cores. Its objects live as long as the program, so they are taken out of the collector's sight. Where the
    library is there already, nothing is done: what has become garbage since would be kept for ever.

    >>> with quiet_import("sys"):
    ...     gc.isenabled()
    True
    """
    if name in sys.modules:
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
