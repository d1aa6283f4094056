from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from lipscope.bounds.orthogonality import circular_floor
from tests import dense
from tests.always import always
from tests.layers.contract import noise


@always(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    size=st.floats(0, 2),
    noisy=st.sampled_from([0.0, 1e-8, 1e-3, 0.1, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_it_is_below_every_singular_value(
    sizes: tuple[int, int, int, int, int], size: float, noisy: float, seed: int
) -> None:
    """Around a multiple of the kernel that shifts an image, which is orthogonal; larger than the grid, too."""
    outputs, inputs, extent, height, width = sizes
    kernel = noisy * noise(outputs, inputs, extent, extent, seed=seed)
    kernel[:, :, -1, 0] += size * torch.eye(outputs, inputs, dtype=torch.float64)
    kernel = kernel.float()
    floor = circular_floor(kernel, height, width)
    matrix = dense.circular_matrix(kernel.double().numpy(), height, width)
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert 0 <= floor <= float(singular.min()) + 1e-13
    if noisy == 0.0 and size == 1.0:
        assert floor > 1 - 1e-12


def test_what_it_cannot_tell() -> None:
    assert circular_floor(torch.zeros(2, 2, 3, 3), 4, 4) == 0.0
    assert circular_floor(torch.full((2, 2, 3, 3), torch.nan), 4, 4) == 0.0
    assert circular_floor(torch.full((1, 1, 1, 1), 3e38), 4, 4) == 0.0
    assert circular_floor(2 * torch.eye(3)[:, :, None, None], 4, 4) == 0.0
    assert 1 - 1e-12 < circular_floor(torch.eye(3)[:, :, None, None], 4, 4) <= 1
    assert 0.7499 < circular_floor(0.75 * torch.eye(3, 2)[:, :, None, None], 4, 4) <= 0.75
