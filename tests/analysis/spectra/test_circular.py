from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipscope.analysis.spectra.circular import circular_singular_values
from tests import dense
from tests.always import always

KERNELS = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-4, 4, allow_subnormal=False))
)


@always(kernel=KERNELS, height=st.integers(1, 6), width=st.integers(1, 6))
def test_all_singular_values_of_the_circulant_matrix(kernel: np.ndarray, height: int, width: int) -> None:
    expected = np.linalg.svd(dense.circular_matrix(kernel, height, width), compute_uv=False)
    values = circular_singular_values(torch.from_numpy(kernel), height, width).numpy()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12 * (1 + np.abs(kernel).sum()))


def test_in_several_pieces(monkeypatch) -> None:
    kernel = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = circular_singular_values(kernel, 7, 4)
    monkeypatch.setattr("lipscope.analysis.spectra.circular.AT_ONCE", 1)
    torch.testing.assert_close(circular_singular_values(kernel, 7, 4), whole, rtol=1e-13, atol=1e-13)


def test_subnormal_parts_of_a_symbol() -> None:
    """Found by the long run of the property above: the decomposition of these symbols was NaN."""
    kernel = np.full((2, 3, 1, 2), 8.88629599e-300)
    kernel[0, 0, 0, 0] = 1.0
    expected = np.linalg.svd(dense.circular_matrix(kernel, 1, 2), compute_uv=False)
    values = circular_singular_values(torch.from_numpy(kernel), 1, 2).numpy()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
