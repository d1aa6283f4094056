"""Waiting for an event, not for a clock: the limit is only for what is stuck."""

from __future__ import annotations

import time
from collections.abc import Callable

GENEROUS = 600.0
"""Seconds after which something is not slow but stuck, however busy the machine."""


def wait_until(condition: Callable[[], object], told: Callable[[], object] = lambda: "", every: float = 0.005) -> None:
    """Look every few seconds until the condition holds; what ``told`` says is shown if it never does."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(every)
