from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.bounds.convolution import unfolding_bound
from lipscope.layers.frequency_series import FrequencySeries, frequency_rounding
from lipscope.layers.taylor import taylor_exponential
from tests import dense
from tests.always import always
from tests.certification import fifty_digits
from tests.layers.contract import noise


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize(("height", "width"), [(1, 4), (4, 1), (3, 3), (4, 7), (6, 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_series_of_the_matrix(kernel_size: int, height: int, width: int, count: int) -> None:
    kernel, x = 0.2 * noise(3, 3, kernel_size, kernel_size, seed=1), noise(count, 3, height, width)
    inner = dense.zero_padded_matrix(kernel.numpy(), height, width)
    truth = x.flatten(1).numpy() @ dense.series(inner, 12).T
    found = FrequencySeries(kernel, height, width, 12)
    np.testing.assert_allclose(found(x, 3).flatten(1).numpy(), truth, rtol=1e-12, atol=1e-12)


def test_channels_that_are_missing_are_zero_and_only_the_first_are_given() -> None:
    kernel, x = 0.2 * noise(4, 4, 3, 3), noise(2, 3, 4, 5)
    series = FrequencySeries(kernel, 4, 5, 6)
    padded = torch.cat([x, torch.zeros(2, 1, 4, 5, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(series(x, 2), series(padded, 4)[:, :2], rtol=1e-13, atol=1e-13)


def test_float64_takes_this_way_unless_a_gradient_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, x = 0.1 * noise(2, 2, 3, 3), noise(8, 2, 4, 4)
    taken: list[torch.dtype] = []

    class Spy(FrequencySeries):
        def forward(self, x: torch.Tensor, outputs: int) -> torch.Tensor:
            taken.append(x.dtype)
            return super().forward(x, outputs)

    monkeypatch.setattr("lipscope.layers.taylor.FrequencySeries", Spy)
    with_gradient = taylor_exponential(x, kernel, 5)
    with torch.no_grad():
        taylor_exponential(x.float(), kernel.float(), 5)
        taylor_exponential(x[:, :, :1, :1], kernel, 5)
        assert not taken
        torch.testing.assert_close(taylor_exponential(x, kernel, 5), with_gradient, rtol=1e-13, atol=1e-13)
    assert taken == [torch.float64]


@always(
    seed=st.integers(0, 2**31), size=st.tuples(st.integers(1, 3), st.integers(2, 3)), terms=st.integers(1, 4),
    scale=st.sampled_from([1.0, 1e-3, 3.0, 1e-200, 1e60]), image=st.sampled_from([1.0, 1e-300, 1e100]),
)  # fmt: skip
def test_the_rounding_error_is_covered(
    seed: int, size: tuple[int, int], terms: int, scale: float, image: float
) -> None:
    """Kernels that are not skew, of any norm, against the series in fifty digits."""
    kernel = scale * noise(2, 2, 3, 3, seed=seed)
    x = image * noise(1, 2, *size, seed=seed + 1)
    rho = unfolding_bound(kernel)
    lipschitz = sum(rho**k for k in range(terms + 1)) * (1 + 1e-12)
    exact = fifty_digits.exactly(x[0])
    norm = float(fifty_digits.length(exact)) * (1 + 1e-12)
    bound = frequency_rounding(kernel, size, terms, rho, lipschitz, norm)
    computed = FrequencySeries(kernel, *size, terms)(x, 2)[0]
    if not computed.isfinite().all():
        assert bound == np.inf
        return
    truth = fifty_digits.series(kernel.numpy(), exact, terms)
    assert fifty_digits.length(fifty_digits.exactly(computed) - truth) <= bound
