"""A disk that is full, without filling one: this process may write no file beyond a few bytes."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk(limit: int = 16_384) -> Iterator[None]:
    """Every write beyond ``limit`` bytes of a file fails with an OSError."""
    # Python would leave half of a file of bytecode, and read that the next time.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before
