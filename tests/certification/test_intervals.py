from __future__ import annotations

import pytest
from hypothesis import strategies as st
from scipy.stats import beta, binom

from lipscope.certification.intervals import clopper_pearson
from tests.always import always


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 10_000, 50_000])
@pytest.mark.parametrize("share", [0.0, 1e-4, 0.0158, 0.2, 0.539, 0.6946, 0.999, 1.0])
def test_it_is_the_quantile_of_the_beta_distribution(n: int, share: float) -> None:
    count = round(share * n)
    low, high = clopper_pearson(count, n)
    assert low == pytest.approx(beta.ppf(0.025, count, n - count + 1) if count else 0.0, rel=1e-8)
    assert 1 - high == pytest.approx(1 - beta.ppf(0.975, count + 1, n - count) if count < n else 0.0, rel=1e-6)


def test_by_hand() -> None:
    """All of n: P(X = n | p) = p^n, so the lower end is the n-th root of 0.025; none of n mirrors it."""
    assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1, rel=1e-12), 1.0)
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1, rel=1e-12))


@always(
    n=st.integers(1, 400),
    share=st.floats(0, 1),
    level=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_it_covers_at_its_level(n: int, share: float, level: float) -> None:
    """The rate is inside, and neither end can be moved inwards: each tail holds just (1 - level) / 2."""
    count = round(share * n)
    low, high = clopper_pearson(count, n, level)
    assert 0 <= low <= count / n <= high <= 1
    if count:
        assert binom.sf(count - 1, n, low) == pytest.approx((1 - level) / 2, rel=1e-7)
    if count < n:
        assert binom.cdf(count, n, high) == pytest.approx((1 - level) / 2, rel=1e-7)


@pytest.mark.parametrize(("count", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_count_is_refused(count: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of {n}"):
        clopper_pearson(count, n)
