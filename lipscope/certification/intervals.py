"""Confidence intervals of a rate, from the exact binomial distribution."""

from __future__ import annotations

import math

LEVEL = 0.95
METHOD = "Clopper-Pearson"

WIDTH = 1e-13
"""The bisection ends at this width, relative to the upper end."""


def clopper_pearson(count: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The two-sided interval of the rate when ``count`` of ``n`` independent trials succeeded.

    The lower end p solves P(X >= count | p) = (1 - level) / 2 for a binomial X, and the upper end is one minus the
    lower end for the failures (Clopper & Pearson, Biometrika 1934). It covers the true rate with at least the
    probability ``level``: a statement about images drawn like these, an estimate and not a proof.

    Raises:
        ValueError: not 0 <= count <= n, or n = 0.

    >>> [round(end, 4) for end in clopper_pearson(8, 10)]
    [0.4439, 0.9748]
    """
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n}")
    tail = (1 - level) / 2
    return _lower(count, n, tail), 1 - _lower(n - count, n, tail)


def _lower(count: int, n: int, tail: float) -> float:
    """The p with P(X >= count | p) = tail, from below; 0 for a count of 0."""
    if count == 0:
        return 0.0
    low, high = 0.0, count / n
    while high - low > WIDTH * high:
        middle = (low + high) / 2
        if _at_least(count, n, middle) < tail:
            low = middle
        else:
            high = middle
    return low


def _at_least(count: int, n: int, p: float) -> float:
    """P(X >= count) for n trials of probability p <= count / n, where the terms of the sum only fall."""
    odds = p / (1 - p) if p < 1 else math.inf
    log_choose = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    log_first = log_choose + count * math.log(p) + ((n - count) * math.log1p(-p) if count < n else 0.0)
    total, term = 1.0, 1.0
    for i in range(count, n):
        term *= (n - i) / (i + 1) * odds
        total += term
        if term < 1e-18 * total:
            break
    return math.exp(log_first) * total
