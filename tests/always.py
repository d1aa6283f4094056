"""Properties that claim "always": a hundred cases under ``make test``, ten thousand more under ``make slow``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

CASES = 100
MORE = 300
MANY = 10_000


def always(**strategies: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """Turn a check of drawn values into a test: the same 100 cases every day, 300, and 10,000 new ones, when slow."""

    def decorate(check: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize(
            "cases", [CASES, *(pytest.param(many, marks=pytest.mark.slow) for many in (MORE, MANY))]
        )
        def test(cases: int) -> None:
            run = settings(
                max_examples=cases,
                deadline=None,
                derandomize=cases < MANY,
                database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )(given(**strategies)(check))
            run()

        test.__name__ = test.__qualname__ = check.__name__
        test.__doc__ = check.__doc__
        return test

    return decorate
